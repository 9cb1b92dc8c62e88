# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon that is talked to: judged connections to it, and what it holds meanwhile."""

import contextlib
import os
import re
import tempfile
from pathlib import Path

from . import daemon, interface, procfs, tree, varlink

INTERFACE_FILE = tree.SOURCE / "src/api/io.balancerd.varlink"
INTERFACE = interface.parse(INTERFACE_FILE.read_text(encoding="ascii"))
JUDGE = interface.Judge(INTERFACE, interface.parse(interface.SERVICE_TEXT))

# It samples often, so that a test that waits for samples does not wait long.
QUIET = ("--set", "balance.quietTick=100ms")


class Served:
    """Wraps a running daemon.Daemon. Connections are closed at the end."""

    def __init__(self, running, runtime_dir):
        self.daemon = running
        self.path = varlink.socket_path(runtime_dir)
        self.open = contextlib.ExitStack()

    @property
    def pid(self):
        return self.daemon.process.pid

    def raw(self, user=None):
        """A connection of bytes; of a varlink.User, if given."""
        raw = user.raw(self.path) if user else varlink.Raw.connect(self.path)
        return self.open.enter_context(raw)

    def connect(self, user=None):
        """A connection whose every reply is held to the interface."""
        return varlink.Client(self.raw(user), JUDGE.check)

    def assert_serves(self, user=None):
        """Somebody new is served in full, and gone for the daemon too."""
        with self.connect(user) as client:
            assert client.call("org.varlink.service.GetInfo")["interfaces"] == [
                "org.varlink.service",
                "io.balancerd",
            ]
            assert client.call("io.balancerd.GetStatus")["pid"] > 0
            client.raw.shut()
            assert client.raw.is_closed()

    def n_descriptors(self):
        """All that are open; those on threads, which the daemon watches, come and go."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def n_sockets(self):
        found = 0
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found += os.readlink(f"/proc/{self.pid}/fd/{name}").startswith("socket:")
        return found

    def memory_kb(self):
        """Memory of its own that it has touched and not given back."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"^RssAnon:\s*(\d+) kB", status, re.M)[1])

    def cpu_nsec(self):
        return procfs.run_nsec(self.pid)

    def wait_for_samples(self, n, client, each=lambda: None):
        """Until the daemon has sampled N times more; calls EACH before every look."""
        seen = last = client.call("io.balancerd.GetStatus")["samples"]
        deadline = varlink.Deadline()
        while last < seen + n:
            deadline.check()
            each()
            last = client.call("io.balancerd.GetStatus")["samples"]
        return last - seen

    def stop(self):
        """Ends it, and holds it to an end in order without a flood of lines."""
        self.open.close()
        assert self.daemon.stop() == 0, self.daemon.lines
        assert len(self.daemon.complaints()) < 20, self.daemon.lines


@contextlib.contextmanager
def serving(*arguments, observe=True, **options):
    """A Served in a runtime folder of its own, which must come to an end in order."""
    arguments = (*(["--observe"] if observe else []), *QUIET, *arguments)
    with tempfile.TemporaryDirectory(prefix="balancerd-test-") as folder:
        os.chmod(folder, 0o755)
        with daemon.Daemon(folder, *arguments, **options) as running:
            served = Served(running, folder)
            try:
                yield served
                served.stop()
            finally:
                served.open.close()
                # pytest shows this where the test failed.
                print("\n".join(running.lines))
