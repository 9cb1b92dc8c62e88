# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon that says what a test wants it to: true, false, old, new, cut short, or nothing.

    with StandIn(path, {"GetStatus": [{"version": "0.1.0"}]}) as stand_in:
        ...
    assert stand_in.calls == [{"method": "io.balancerd.GetStatus"}]

A method's answer is a list of what is done when it is called: a dict is a reply with these parameters,
Error an error, Bytes are sent as they are, CLOSE ends the connection, SILENCE says nothing more. All
replies of a list but the last one announce that others follow, and the last one too where ENDLESS
stands behind it. A function is given the call's parameters and returns such a list. "*" answers every other
method.
"""

import contextlib
import json
import os
import socket
import threading
from dataclasses import dataclass, field

CLOSE = "close"
SILENCE = "silence"
ENDLESS = "endless"
INTERFACE = "io.balancerd."


@dataclass
class Error:
    name: str
    parameters: dict = field(default_factory=dict)


@dataclass
class Bytes:
    data: bytes


class StandIn:
    """Listens at PATH until the end of its `with`. GREETING: bytes that every connection gets
    before it has said anything, and is closed. BY_BYTE: nothing is sent in one piece."""

    def __init__(self, path, answers=None, greeting=None, by_byte=False):
        self.calls = []
        self._answers = answers or {}
        self._greeting = greeting
        self._by_byte = by_byte
        self._connections = []
        self._threads = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(os.fspath(path))
        self._socket.listen(16)
        os.chmod(path, 0o666)

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_exc):
        # shutdown() wakes up whoever is in accept() or recv(); close() alone does not.
        for sock in [self._socket, *self._connections]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in [self._socket, *self._connections]:
            sock.close()

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._socket.accept()
                self._connections.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection):
        # The client may leave whenever it likes.
        with contextlib.suppress(OSError):
            if self._greeting is not None:
                self._send(connection, self._greeting)
            else:
                self._answer_all(connection)
            connection.shutdown(socket.SHUT_RDWR)

    def _answer_all(self, connection):
        received = b""
        while True:
            while b"\0" not in received:
                data = connection.recv(4096)
                if not data:
                    return
                received += data
            text, _nul, received = received.partition(b"\0")
            call = json.loads(text)
            self.calls.append(call)
            if self._answer(connection, call) == CLOSE:
                return

    def _answer(self, connection, call):
        method = call["method"].removeprefix(INTERFACE)
        steps = self._answers.get(method, self._answers.get("*"))
        if callable(steps):
            steps = steps(call.get("parameters") or {})
        if steps is None:
            steps = [Error("org.varlink.service.MethodNotFound", {"method": INTERFACE + method})]
        for number, step in enumerate(steps):
            if step in (CLOSE, SILENCE):
                if step == SILENCE:
                    connection.recv(1)  # until the client leaves
                return CLOSE
            if step != ENDLESS:
                self._send(connection, encode(step, continues=number + 1 < len(steps)))
        return None

    def _send(self, connection, data):
        pieces = [data[i : i + 1] for i in range(len(data))] if self._by_byte else [data]
        for piece in pieces:
            connection.sendall(piece)


def encode(step, continues=False):
    if isinstance(step, Bytes):
        return step.data
    reply = {"parameters": step}
    if isinstance(step, Error):
        reply = {"error": step.name, "parameters": step.parameters}
    elif continues:
        reply["continues"] = True
    return json.dumps(reply).encode() + b"\0"
