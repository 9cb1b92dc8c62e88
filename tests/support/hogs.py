# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running the hog program and reading what it says about itself."""

import os
import signal
import subprocess
from dataclasses import dataclass, field

from . import procfs, tree

PATIENCE_SEC = 120


@dataclass
class Report:
    """What one hog said at one moment."""

    tid: int
    at_nsec: int
    since_start_usec: int
    work: int
    run_nsec: int
    wait_nsec: int
    cpu: int
    mask: int


@dataclass
class Change:
    """A hog found itself on another CPU, or with another mask."""

    tid: int
    at_nsec: int
    cpu: int
    mask: int


@dataclass
class Told:
    """All that a run of hogs said, in order."""

    reports: dict = field(default_factory=lambda: {"start": [], "tick": [], "end": []})
    changes: list = field(default_factory=list)

    def take(self, line):
        event, *pairs = line.split()
        values = dict(pair.split("=") for pair in pairs)
        mask = int(values.pop("mask"), 16)
        numbers = {key: int(value) for key, value in values.items()}
        if event == "change":
            self.changes.append(Change(mask=mask, **numbers))
        else:
            self.reports[event].append(Report(mask=mask, **numbers))

    def tids(self):
        return [report.tid for report in self.reports["start"]]

    def cpus_of(self, tid):
        """The CPUs that a hog found itself on, one after the other."""
        path = []
        for change in self.changes:
            if change.tid == tid and (not path or path[-1] != change.cpu):
                path.append(change.cpu)
        return path

    def work_by_tick(self):
        """[(seconds since the start, work of all hogs so far)], the end included."""
        totals = {}
        for report in self.reports["tick"] + self.reports["end"]:
            totals.setdefault(report.at_nsec, [report.since_start_usec / 1e6, 0])[1] += report.work
        return [tuple(totals[at]) for at in sorted(totals)]

    def spread_usec(self, n_cpus):
        """When the hogs first were on N_CPUS CPUs at once, since the start; None if never."""
        start = self.reports["start"][0]
        begin_nsec = start.at_nsec - start.since_start_usec * 1000
        where = {}
        for change in sorted(self.changes, key=lambda change: change.at_nsec):
            where[change.tid] = change.cpu
            if len(set(where.values())) >= n_cpus:
                return max(0, (change.at_nsec - begin_nsec) // 1000)
        return None


class Hogs:
    """Busy threads, stacked on one CPU if asked to: `with Hogs(threads=4, stack=0) as hogs`."""

    def __init__(self, *, prefix=(), preexec=None, program=tree.HOG, **options):
        arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        self.told = Told()
        self.process = subprocess.Popen(
            [*prefix, program, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            encoding="ascii",
            preexec_fn=preexec,
            start_new_session=True,  # Ctrl-C is for us: we end them
        )
        self.n_hogs = int(options.get("threads", options.get("processes", 4)))
        self.wait_for_reports("start", self.n_hogs)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.stop()

    def next_line(self):
        """Takes one line more; False at the end."""
        line = self.process.stdout.readline()
        if line:
            self.told.take(line)
        return bool(line)

    def wait_for_reports(self, event, count):
        while len(self.told.reports[event]) < count:
            if not self.next_line():
                raise RuntimeError(f"the hogs ended before {count} {event} lines")

    def wait_for_ticks(self, count):
        self.wait_for_reports("tick", count * self.n_hogs)

    def wait_until_spread(self, n_cpus=2):
        """Waits until they have seen themselves on N_CPUS CPUs at once. Returns when that was, in
        microseconds since the start."""
        while (spread := self.told.spread_usec(n_cpus)) is None:
            assert self.seconds() < PATIENCE_SEC, "never spread"
            if not self.next_line():
                raise RuntimeError("the hogs ended before they were spread")
        return spread

    def wait_until(self, condition):
        """Waits until CONDITION holds for the set of CPUs that they were last on."""
        where = set()
        deadline = self.seconds() + PATIENCE_SEC
        while not condition(where):
            assert self.seconds() < deadline, f"on {where}"
            self.wait_for_ticks(self.n_ticks() + 1)
            where = {report.cpu for report in self.told.reports["tick"][-self.n_hogs :]}

    def wait_until_on(self, cpus):
        """Waits until CPUS are those that they were last on."""
        self.wait_until(lambda where: where == set(cpus))

    def n_ticks(self):
        """How often they have reported by now."""
        return len(self.told.reports["tick"]) // self.n_hogs

    def seconds(self):
        """How long they have run, by their last report."""
        reports = self.told.reports["tick"] or self.told.reports["start"]
        return reports[-1].since_start_usec / 1e6

    def wait_for_end(self):
        """Reads all that is left to say. Without for_msec only a signal makes it end."""
        while self.next_line():
            pass
        return self.process.wait()

    def masks(self):
        return procfs.masks([self.process.pid, *self.children()])

    def children(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        try:
            with open(path, encoding="ascii") as file:
                return [int(pid) for pid in file.read().split()]
        except (*procfs.GONE, NotADirectoryError):
            return []

    def stop(self):
        """Ends them and takes their last words. Returns what was told. Harmless when done twice."""
        if not self.process.stdout.closed:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            self.wait_for_end()
            self.process.stdout.close()
        return self.told


def stacked(arranged, **options):
    """Four hogs on the first of the CPUs that are ARRANGED (machine.Unbalanced)."""
    return Hogs(
        **{"threads": 4, "stack": arranged.cpus[0], "every_msec": 100, **options},
        preexec=arranged.join,
    )


def all_cpus():
    """CPUs that this process may use, in order."""
    return sorted(os.sched_getaffinity(0))


def confine(cpus, arranged=None):
    """For preexec_fn: a program that may use CPUS only, where ARRANGED has them."""

    def prepare():
        if arranged:
            arranged.join()
        os.sched_setaffinity(0, cpus)

    return prepare
