# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for the service manager: takes what a daemon notifies, keeps its descriptors, passes them.

    with Manager() as manager:
        daemon_ = start_daemon(**manager.passing(("varlink", listener)), wait=False)
        manager.wait_for(READY="1")

As systemd does, it takes a message only from the process that it started (SO_PASSCRED), keeps
descriptors by name (FDSTORE=1), none twice, drops them (FDSTOREREMOVE=1), and gives them to the next daemon as
descriptors 3 and up (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES).
"""

import os
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass

PATIENCE_SEC = 60
N_FDS_MAX = 16

# Becomes the daemon with the descriptors that its arguments name as 3 and up. LISTEN_PID is the
# daemon's own, so it is set by the process that becomes it.
EXEC = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",") if fd]
high = [os.dup2(fd, 200 + n) for n, fd in enumerate(fds)]
for fd in set(fds):
    os.close(fd)
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n, inheritable=True)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Message:
    """A notification: its assignments, in the order of the text, and who sent it."""

    pid: int
    fields: dict

    def has(self, fields):
        return all(self.fields.get(key) == value for key, value in fields.items())


class Manager:
    def __init__(self, watchdog_usec=None):
        self.name = f"\0balancerd-test-manager-{os.getpid()}-{id(self)}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.name)
        self.watchdog_usec = watchdog_usec
        self.messages = []  # all that came, oldest first
        self.stored = []  # [(name, descriptor)]

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.socket.close()
        self.forget()

    def forget(self, name=None):
        """Closes what is stored under NAME, or all."""
        kept = [pair for pair in self.stored if name is not None and pair[0] != name]
        for pair in self.stored:
            if pair not in kept:
                os.close(pair[1])
        self.stored = kept

    def take(self, name):
        """The one stored descriptor of that name; the manager's own."""
        (fd,) = [fd for stored, fd in self.stored if stored == name]
        return fd

    def environment(self):
        return {
            "NOTIFY_SOCKET": "@" + self.name[1:],
            **({"WATCHDOG_USEC": str(self.watchdog_usec)} if self.watchdog_usec else {}),
        }

    def passing(self, *fds):
        """Arguments for daemon.Daemon: pass FDS, [(name, descriptor or object with fileno)], to it."""
        if not fds:
            return {"env": self.environment()}
        numbers = [fd if isinstance(fd, int) else fd.fileno() for _name, fd in fds]
        return {
            "prefix": [sys.executable, "-c", EXEC, ",".join(map(str, numbers))],
            "pass_fds": numbers,
            "env": {
                **self.environment(),
                "LISTEN_FDS": str(len(fds)),
                "LISTEN_FDNAMES": ":".join(name for name, _fd in fds),
            },
        }

    def _store(self, name, fd):
        if any(os.path.sameopenfile(fd, other) for _name, other in self.stored):
            os.close(fd)
        else:
            self.stored.append((name, fd))

    def _note(self, message, fds):
        names = message.fields
        if names.get("FDSTORE") == "1":
            assert fds, names
            for fd in fds:
                self._store(names["FDNAME"], fd)
            return
        assert not fds, names
        if names.get("FDSTOREREMOVE") == "1":
            self.forget(names["FDNAME"])

    def receive(self, timeout=PATIENCE_SEC):
        """The next message, or None when none comes in time."""
        if not select.select([self.socket], [], [], timeout)[0]:
            return None
        space = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4 * N_FDS_MAX)
        data, control, flags, _address = self.socket.recvmsg(1 << 16, space, socket.MSG_CMSG_CLOEXEC)
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        pid, fds = None, []
        for _level, kind, value in control:
            if kind == socket.SCM_CREDENTIALS:
                pid = struct.unpack("3i", value)[0]
            elif kind == socket.SCM_RIGHTS:
                fds += struct.unpack(f"{len(value) // 4}i", value)
        lines = data.decode().split("\n")
        message = Message(pid, dict(line.split("=", 1) for line in lines if line))
        self._note(message, fds)
        self.messages.append(message)
        return message

    def wait_for(self, **fields):
        """Waits for a message, from now on, that has all FIELDS; returns it."""
        deadline = time.monotonic() + PATIENCE_SEC
        while True:
            message = self.receive(max(0, deadline - time.monotonic()))
            assert message, f"no {fields} in time: {self.messages}"
            if message.has(fields):
                return message

    def drain(self):
        """Takes what is there; returns it."""
        found = []
        while message := self.receive(0):
            found.append(message)
        return found
