# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benches share: interleaved runs, medians with their spread, tables."""

import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

from . import daemon, machine, procfs


def n_pairs(default):
    """How many pairs to run: BALANCERD_BENCH_PAIRS, if set, for a quick look."""
    return int(os.environ.get("BALANCERD_BENCH_PAIRS", default))


def interleave(n, *runs):
    """Calls each of RUNS N times, in turns, every second time in reverse order, so that what drifts
    on the machine meets all of them alike. Returns a list of results for each."""
    results = [[] for _run in runs]
    for i in range(n):
        order = list(enumerate(runs))
        for number, run in reversed(order) if i % 2 else order:
            results[number].append(run())
    return results


def spread(values, form="{:.3f}"):
    """Median (least ... most), as text."""
    if not values:
        return "-"
    middle, least, most = (form.format(f(values)) for f in (statistics.median, min, max))
    return f"{middle} ({least} ... {most})"


def table(title, rows, command):
    """Prints ROWS, the first of them the headings, and the command that prints them."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}  [{command}]")
    for number, row in enumerate(rows):
        print("  " + "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
    print(flush=True)


@contextlib.contextmanager
def running_daemon(*arguments, **options):
    """A daemon in a runtime folder of its own."""
    with tempfile.TemporaryDirectory(prefix="balancerd-bench-") as folder:
        with daemon.Daemon(folder, *arguments, **options) as running:
            yield running


class Usage:
    """CPU time and wakeups of a process over a span."""

    def __init__(self, pid):
        self.pid = pid
        self.at = time.monotonic()
        self.run_nsec = procfs.run_nsec(pid)
        self.switches = procfs.voluntary_switches(pid)

    def since(self):
        """(milliseconds of CPU time, wakeups) a second since it was made."""
        now = Usage(self.pid)
        seconds = now.at - self.at
        return (
            (now.run_nsec - self.run_nsec) / 1e6 / seconds,
            (now.switches - self.switches) / seconds,
        )


class NoMemoryGroup:
    """Stands in where memory is not accounted by control groups."""

    def join(self):
        pass

    def bytes(self):
        return None


class MemoryGroup:
    """A control group that accounts for the memory of what joins it, the kernel's part included."""

    def __init__(self, folder, usage):
        self.folder = folder
        self.usage = usage

    def join(self):
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def bytes(self):
        return int((self.folder / self.usage).read_text())


@contextlib.contextmanager
def memory_group():
    for root, point, fs_type, options in machine.mounts():
        v1 = fs_type == "cgroup" and "memory" in options
        v2 = fs_type == "cgroup2" and "memory" in (point / "cgroup.controllers").read_text().split()
        if root == "/" and (v1 or v2):
            folder = Path(point) / "balancerd-bench"
            folder.mkdir()
            try:
                # v1 counts the kernel's memory in usage_in_bytes, as v2 does in memory.current.
                yield MemoryGroup(folder, "memory.usage_in_bytes" if v1 else "memory.current")
            finally:
                remove(folder)
            return
    yield NoMemoryGroup()


def remove(folder):
    """The kernel lets go of the last process a moment after it has ended."""
    for _attempt in range(50):
        try:
            folder.rmdir()
            return
        except OSError:
            time.sleep(0.1)
    folder.rmdir()
