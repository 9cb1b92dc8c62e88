# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon's socket from outside: bytes in and out, JSON on top, other users.

Shares nothing with the daemon's code. What waits, waits in poll() for what it names, PATIENCE_SEC at
most; nothing sleeps.
"""

import collections
import contextlib
import errno
import json
import os
import select
import signal
import socket
import struct
import time
from dataclasses import dataclass, field

PATIENCE_SEC = 60
SOCKET_NAME = "io.balancerd"
SERVICE = "org.varlink.service"
NOBODY = 65534
MESSAGE_MAX = 64 << 10  # the longest that the daemon takes or sends, its NUL included


class Closed(Exception):
    """The other end has closed the connection; what had come of a message stands in it."""


class Refused(Exception):
    """The reply is an error."""

    def __init__(self, reply):
        super().__init__(f"{reply.error} {reply.parameters}")
        self.error = reply.error
        self.parameters = reply.parameters


def socket_path(runtime_dir):
    return os.path.join(runtime_dir, SOCKET_NAME)


def connected_socket(path, timeout=PATIENCE_SEC):
    """A non-blocking socket. Waits while the daemon's queue of connections is full."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # Nothing can be polled before connect(); it goes by the limit for sending, see socket(7).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(timeout), 0))
        sock.connect(os.fspath(path))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class Raw:
    """A connection of bytes: `with Raw.connect(path) as raw`."""

    def __init__(self, sock, timeout=PATIENCE_SEC):
        self.sock = sock
        self.timeout = timeout
        self.received = b""

    @classmethod
    def connect(cls, path, timeout=PATIENCE_SEC):
        return cls(connected_socket(path, timeout), timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    def wait(self, events, timeout=None):
        """Waits until poll(2) has one of EVENTS, or tells of an end; False: not in time."""
        poll = select.poll()
        poll.register(self.sock, events)
        return bool(poll.poll(1000 * (self.timeout if timeout is None else timeout)))

    def send_some(self, data):
        """Sends what the socket takes at once; returns how much that was."""
        try:
            return self.sock.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(self.received) from error

    def send(self, data):
        """Sends all of it, as the daemon takes it."""
        view = memoryview(data)
        while view:
            sent = self.send_some(view)
            view = view[sent:]
            if view and not sent and not self.wait(select.POLLOUT):
                raise TimeoutError(f"{len(view)} bytes were not taken in time")

    def shut(self, how=socket.SHUT_WR):
        self.sock.shutdown(how)

    def receive_some(self):
        """What is there, without waiting; b"" at the end of the stream; None: nothing is there."""
        try:
            return self.sock.recv(1 << 16)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def receive(self):
        """Waits for bytes; b"" at the end of the stream."""
        while True:
            data = self.receive_some()
            if data is not None:
                return data
            if not self.wait(select.POLLIN):
                raise TimeoutError(f"no more than {self.received[:200]!r} in time")

    def message(self):
        """Waits for the next message, and returns it without its NUL."""
        while b"\0" not in self.received:
            data = self.receive()
            if not data:
                raise Closed(self.received)
            self.received += data
        text, _nul, self.received = self.received.partition(b"\0")
        return text

    def messages_to_end(self):
        """All messages until the other end closes the connection."""
        found = []
        while True:
            try:
                found.append(self.message())
            except Closed:
                assert self.received == b"", f"ends within a message: {self.received[:200]!r}"
                return found

    def is_closed(self):
        """Waits for the end; what comes before it is dropped. False: not in time."""
        try:
            while self.receive():
                pass
        except TimeoutError:
            return False
        return True

    def peer_pid(self):
        """The process that listens."""
        size = struct.calcsize("3i")
        return struct.unpack("3i", self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]


# JSON.


def _no_key_twice(pairs):
    found = dict(pairs)
    assert len(found) == len(pairs), f"a key stands twice: {[key for key, _value in pairs]}"
    return found


def _no_constant(name):
    raise AssertionError(f"{name} is not JSON")


def parse(text):
    """JSON as RFC 8259 has it: UTF-8, no NaN; no key twice."""
    return json.loads(
        text.decode("utf-8"), object_pairs_hook=_no_key_twice, parse_constant=_no_constant
    )


def encode(method, parameters=None, **flags):
    """A call as bytes, NUL included. FLAGS: more, oneway, upgrade."""
    call = {"method": method}
    if parameters is not None:
        call["parameters"] = parameters
    call.update({key: value for key, value in flags.items() if value})
    return json.dumps(call, separators=(",", ":")).encode() + b"\0"


@dataclass(frozen=True)
class Reply:
    parameters: dict = field(default_factory=dict)
    error: str = None
    continues: bool = False

    def __post_init__(self):
        assert isinstance(self.parameters, dict), self
        assert self.error is None or isinstance(self.error, str), self
        assert isinstance(self.continues, bool), self
        assert not (self.error and self.continues), self

    @classmethod
    def of(cls, text):
        """A reply has what Varlink gives it, and nothing else."""
        members = parse(text)
        assert isinstance(members, dict), text
        assert set(members) <= {"parameters", "error", "continues"}, text
        return cls(**members)


class Client:
    """Calls over a Raw connection. CHECK(method, reply) is called with every reply."""

    def __init__(self, raw, check=None):
        self.raw = raw
        self.check = check
        self.expected = collections.deque()  # methods whose replies are still to come

    @classmethod
    def connect(cls, path, check=None, timeout=PATIENCE_SEC):
        return cls(Raw.connect(path, timeout), check)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self):
        self.raw.close()

    def send(self, method, parameters=None, **flags):
        self.raw.send(encode(method, parameters, **flags))
        if not flags.get("oneway"):
            self.expected.append(method)

    def receive(self):
        """Waits for the next reply, an error or not."""
        reply = Reply.of(self.raw.message())
        method = self.expected[0] if self.expected else None
        if self.check:
            self.check(method, reply)
        if self.expected and not reply.continues:
            self.expected.popleft()
        return reply

    def ask(self, method, parameters=None, **flags):
        """The reply, an error or not."""
        self.send(method, parameters, **flags)
        return self.receive()

    def call(self, method, parameters=None):
        """The reply's parameters; Refused where it is an error."""
        reply = self.ask(method, parameters)
        assert not reply.continues, reply
        if reply.error:
            raise Refused(reply)
        return reply.parameters

    def more(self, method, parameters=None):
        """A generator of the parameters of all replies."""
        self.send(method, parameters, more=True)
        while True:
            reply = self.receive()
            if reply.error:
                raise Refused(reply)
            yield reply.parameters
            if not reply.continues:
                return

    def oneway(self, method, parameters=None):
        self.send(method, parameters, oneway=True)

    def pipeline(self, calls):
        """Sends all CALLS, [(method, parameters), ...], in one write; their replies."""
        self.raw.send(b"".join(encode(*call) for call in calls))
        self.expected.extend(call[0] for call in calls)
        return [self.receive() for _call in calls]


# Other users.


class User:
    """A process of another user that opens connections, which are then used from here: the daemon
    sees that user. `with User(uid) as user: user.connect(path)`; its `pid` is a thread of theirs."""

    def __init__(self, uid=NOBODY, gid=NOBODY, groups=()):
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            with contextlib.suppress(BaseException):
                self.link.close()
                os.setgroups(list(groups))
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
                _serve(theirs)
                status = 0
            os._exit(status)
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.link.close()
        os.waitpid(self.pid, 0)

    def connected_socket(self, path, timeout=PATIENCE_SEC):
        self.link.send(os.fsencode(path))
        answer, fds, _flags, _address = socket.recv_fds(self.link, 16, 1)
        number = int(answer or errno.ECHILD)
        if number:
            raise OSError(number, os.strerror(number), path)
        sock = socket.socket(fileno=fds[0])
        sock.setblocking(False)
        return sock

    def raw(self, path, timeout=PATIENCE_SEC):
        return Raw(self.connected_socket(path), timeout)

    def connect(self, path, check=None, timeout=PATIENCE_SEC):
        return Client(self.raw(path, timeout), check)


def _serve(link):
    """For each path that is asked for: the error's number, or 0 and the connection."""
    while path := link.recv(4096):
        try:
            with connected_socket(path) as sock:
                socket.send_fds(link, [b"0"], [sock.fileno()])
        except OSError as error:
            link.send(str(error.errno).encode())


def in_child(function, uid=None, gid=None, groups=()):
    """Calls FUNCTION in a child, as another user if UID is given; returns what it returns, which must
    be JSON. For what must be done by a process that ends, or with a process of one's own."""
    gid = uid if gid is None else gid
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        result = {"failed": "ended"}
        try:
            os.close(reading)
            if uid is not None:
                os.setgroups(list(groups))
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
            result = {"returned": function()}
        except BaseException as error:  # pylint: disable=broad-exception-caught
            result = {"failed": repr(error)}
        finally:
            with open(writing, "w", encoding="utf-8") as file:
                json.dump(result, file)
            os._exit(0)
    os.close(writing)
    try:
        with open(reading, encoding="utf-8") as file:
            result = json.loads(file.read() or '{"failed": "killed"}')
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.waitpid(pid, 0)
    assert "returned" in result, result["failed"]
    return result["returned"]


class Deadline:
    """For loops that wait by asking: check() fails once PATIENCE_SEC have passed."""

    def __init__(self, timeout=PATIENCE_SEC):
        self.at = time.monotonic() + timeout

    def check(self):
        assert time.monotonic() < self.at, "not in time"
