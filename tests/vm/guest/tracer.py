# SPDX-License-Identifier: LGPL-2.1-or-later
"""bpftrace in a guest: `with Tracer(folder) as tracer: ...; trace = tracer.finish()`.

A trace that is not whole is none: what was printed is counted in the kernel, and so is what the kernel
did not run a probe for.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from support import witness

from vm.guest import systemd

# Events about this process, of the kinds that it can cause.
MARK = re.compile(rf"^(call|called|queued|migrate) (\d+) \d+ \d+ {os.getpid()}\b", re.M)
N_KINDS = 4


def move_about():
    """Has the kernel move this process to another CPU and back."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    os.sched_setaffinity(0, {max(cpus)})
    os.sched_setaffinity(0, cpus)


class Tracer:
    def __init__(self, folder):
        self.path = Path(folder) / "trace"
        program = Path(folder) / "program.bt"
        program.write_text(witness.PROGRAM, encoding="ascii")
        # On one CPU: it would be moved by its own events otherwise, without an end.
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", "bpftrace", "-q", "-B", "line", "-o", self.path, program],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def __enter__(self):
        try:
            self.mark()
            self.began = time.monotonic_ns()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_exc):
        self.end()

    def text(self):
        return self.path.read_text(encoding="ascii", errors="replace") if self.path.exists() else ""

    def mark(self):
        """Waits until it shows what happens from now on."""
        since = time.monotonic_ns()

        def is_marked():
            assert self.process.poll() is None, self.process.stdout.read()
            move_about()
            return len({kind for kind, at in MARK.findall(self.text()) if int(at) > since}) == N_KINDS

        systemd.wait_for(is_marked, "bpftrace traces", patience=2 * systemd.PATIENCE_SEC)

    def misses(self):
        """How often the kernel did not run a probe, since another one ran on that CPU."""
        folder = Path(f"/proc/{self.process.pid}/fdinfo")
        found = re.findall(r"^recursion_misses:\s*(\d+)$", "".join(map(Path.read_text, folder.iterdir())), re.M)
        assert found, "the kernel does not count them"
        return sum(map(int, found))

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        said, _nothing = self.process.communicate(timeout=systemd.PATIENCE_SEC)
        return said

    def finish(self):
        """Ends it. Returns the Trace, which is whole."""
        until = time.monotonic_ns()
        self.mark()
        assert self.misses() == 0
        said = self.end()
        text = self.text()
        assert (self.process.returncode, said.strip()) == (0, ""), said
        (told,) = re.findall(r"^@told: (\d+)$", text, re.M)
        assert len(witness.events(text)) == int(told), "events were lost"
        return witness.parse(text, self.began, until)
