#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the tests of tests/vm/guest on real kernels with systemd as process 1, in QEMU.

    run.py [--guest NAME] [--machine NAME] [--test FILE[::TEST]] [--long] [--junit FILE]
           [--jobs N] [--folder FOLDER] [--append WORDS]
    run.py --shell [--guest NAME] [--machine NAME]

GUESTS and MACHINES are those of recipes.py. A test runs on every guest, and on the machines that its
file names (MACHINES = ("default", "trixie/flat"): with a guest before it, on that one alone in the short
set, from which no test was chosen). Each pair of guest and machine is booted once for all its tests;
where one of them hangs or the guest dies, it has failed, and the rest gets a new boot.
A boot that got on with nothing is the last one: what is left has failed too. What the emulator itself
breaks off, by an assertion of its own, is told and run again.
"""

import argparse
import ast
import os
import shutil
import signal
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.dont_write_bytecode = True

import build  # noqa: E402
import emulator  # noqa: E402
import images  # noqa: E402
import payload  # noqa: E402
import recipes  # noqa: E402

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
GUEST_TESTS = HERE / "guest"

# For what is not a test: reading them, and getting from one to the next.
BETWEEN_LIMIT_SEC = 60
# A session with more boots that the emulator has broken off fails.
BROKEN_BOOTS_MAX = 2
# A guest that is slow, not hung, tells on its console where a test is when its limit is over.
GRACE_SEC = 5


@dataclass
class Result:
    """What became of a test on a guest."""

    test: str  # FILE::TEST
    guest: str
    machine: str
    result: str  # passed, failed, skipped, inapplicable
    text: str = ""
    seconds: float = 0.0
    figures: dict = field(default_factory=dict)


@dataclass
class Bench:
    """What all runs have in common."""

    cache: Path
    emulator: tuple
    build: Path
    stage: Path
    folder: Path  # for what a run needs and leaves
    tests: Path
    append: str  # to each kernel's command line
    long: bool

    def new_folder(self):
        return Path(tempfile.mkdtemp(prefix="run-", dir=self.folder))

    def write_payload(self, folder, guest, machine, files):
        environment = f"export BALANCERD_GUEST={guest} BALANCERD_MACHINE={machine}"
        environment += f" BALANCERD_LONG={'1' if self.long else ''}\n"
        path = folder / "payload"
        payload.write(path, SOURCE, self.build, self.stage, self.tests, {"environment": environment, **files})
        return path


# Which tests.


def machines_of(path):
    """What a file of tests says in MACHINES. One that cannot be read fails in a guest."""
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except (SyntaxError, ValueError):
        body = []
    for node in body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MACHINES":
            return ast.literal_eval(node.value)
    return ("default",)


def pairs(path, guests, everywhere):
    """{(guest, machine)} of GUESTS that a file wants; "GUEST/MACHINE" is for that guest alone, unless EVERYWHERE."""
    wanted = (one.rpartition("/") for one in machines_of(path))
    return {
        (name, machine)
        for guest, _separator, machine in wanted
        for name in guests
        if everywhere or guest in ("", name)
    }


def plan(folder, guests, machine=None, test=None, everywhere=False):
    """[(guest, machine, what to run)] by guest. TEST: a file's name without test_ and .py, or a
    pattern of such names, and a test in it."""
    stem, separator, name = (test or "").partition("::")
    files = [path for path in sorted(folder.glob("test_*.py")) if not stem or path.match(f"test_{stem}.py")]
    wanted = defaultdict(list)
    for path in files:
        for pair in pairs(path, guests, everywhere):
            if machine in (None, pair[1]):
                wanted[pair].append(f"{payload.place(folder)}/{path.name}{separator}{name}")
    return [
        (guest, one, wanted[guest, one]) for guest in guests for one in recipes.MACHINES if (guest, one) in wanted
    ]


# Running them.


def label(nodeid):
    """A test's name without the folders."""
    path, separator, name = nodeid.partition("::")
    return f"{Path(path).stem.removeprefix('test_')}{separator}{name}"


class Session:
    """All tests of a guest on a machine, in as many boots as it takes."""

    def __init__(self, bench, guest, machine, wanted, tell):
        self.bench, self.guest, self.machine, self.tell = bench, guest, machine, tell
        self.image = images.image(bench.cache, guest)
        self.left = list(wanted)  # files first, then tests
        self.current = None  # the test that runs
        self.n_settled = 0  # tests of which it is known what became
        self.n_broken = 0  # boots
        self.emulated = None  # the latest
        self.stopped = False
        self.seconds = 0.0
        self.results = []

    def keep(self, nodeid, result, **values):
        self.results.append(Result(label(nodeid), self.guest, self.machine, result, **values))
        self.tell(self.results[-1])

    def fail(self, run, nodeid, why, text=""):
        said = f"{why}\n{text}\n--- the guest's console\n{run.console()}"
        self.keep(nodeid, "failed", text=said, seconds=round(run.seconds(), 1))

    def settle(self, nodeid):
        self.left.remove(nodeid)
        self.current = None
        self.n_settled += 1

    def take(self, run, event):
        """Takes what the guest tells. Returns for how long it may tell nothing then."""
        kind, limit = event.pop("event"), BETWEEN_LIMIT_SEC
        if kind == "collected":
            self.left = event["tests"]
        elif kind == "unreadable":
            self.fail(run, event["test"], "it cannot be read", event["text"])
        elif kind == "begin":
            self.current, limit = event["test"], event["limit"] + GRACE_SEC
        elif kind == "end":
            self.settle(event["test"])
            self.keep(event.pop("test"), **event)
        return limit

    def follow(self, run):
        """Takes all that the guest tells; Ended where it ends before the tests do."""
        limit = emulator.BOOT_LIMIT_SEC
        while (event := run.next_event(limit))["event"] != "done":
            limit = self.take(run, event)
        if self.left:
            raise emulator.Ended("pytest has ended")

    def broken(self, error):
        """Takes that the emulator has died. Returns whether what is left is to be run again."""
        self.n_broken += 1
        print(f"{self.guest}/{self.machine}: {error}: what is left is run again", flush=True)
        return self.n_broken <= BROKEN_BOOTS_MAX

    def stop(self):
        """Ends the guest that runs, from another thread; there is no other after it."""
        self.stopped = True
        if self.emulated:
            self.emulated.stop()

    def boot(self):
        """One boot. Returns whether another one is to follow: it got on with the tests."""
        folder = self.bench.new_folder()
        disk = self.bench.write_payload(folder, self.guest, self.machine, {"arguments": "\n".join(self.left) + "\n"})
        machine, n_before = recipes.MACHINES[self.machine], self.n_settled
        with emulator.Run(self.bench.emulator, self.image, machine, disk, folder, self.bench.append) as run:
            self.emulated = run
            try:
                self.follow(run)
            except emulator.Broken as error:
                if self.broken(error):
                    return True
                self.fail(run, "boot", str(error))
                return False
            except emulator.Ended as ended:
                self.fail(run, self.current or "boot", f"the guest failed: {ended}")
                if self.current:
                    self.settle(self.current)
        return self.n_settled > n_before

    def run(self):
        began = time.monotonic()
        while self.left and not self.stopped and self.boot():
            pass
        for test in self.left:
            self.keep(test, "failed", text="not run: see what became of the boot")
        self.seconds = time.monotonic() - began
        return self.results


def run_all(sessions, n_jobs):
    """So many at a time. An interrupt ends those that run and begins no other."""
    with ThreadPoolExecutor(n_jobs) as pool:
        try:
            for done in [pool.submit(one.run) for one in sessions]:
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for one in sessions:
                one.stop()
            raise


# Telling what became of them.


def show_progress(result):
    where = f"{result.guest}/{result.machine}"
    print(f"{where:20} {result.test:60} {result.result:12} {result.seconds:6.1f} s", flush=True)


def table(results, guests):
    """Lines: a test a row, a guest a column."""
    rows = defaultdict(dict)
    for one in results:
        rows[f"{one.test} ({one.machine})"][one.guest] = "not applicable" if one.result == "inapplicable" else one.result
    width = max(map(len, rows), default=0)
    yield f"{'test (machine)':{width}}  " + "  ".join(f"{guest:14}" for guest in guests)
    for name, cells in rows.items():
        yield f"{name:{width}}  " + "  ".join(f"{cells.get(guest, '-'):14}" for guest in guests)


def notes(results):
    """Lines: why something was not applicable, and figures."""
    for one in results:
        if one.result in ("inapplicable", "skipped"):
            yield f"{one.result}: {one.guest}/{one.machine}: {one.test}: {one.text}"
    for one in results:
        for name, value in one.figures.items():
            yield f"figure: {one.guest}/{one.machine}: {one.test}: {name}: {value}"


def printable(text):
    """What XML can hold of it."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def write_junit(path, results):
    """What can be tested, as JUnit has it."""
    root = ElementTree.Element("testsuite", name="guests")
    for one in results:
        if one.result == "inapplicable":
            continue
        case = ElementTree.SubElement(
            root, "testcase", name=f"{one.guest}/{one.machine}: {one.test}", time=str(one.seconds)
        )
        if one.result == "failed":
            ElementTree.SubElement(case, "failure", message="failed").text = printable(one.text)
        elif one.result == "skipped":
            ElementTree.SubElement(case, "skipped", message=printable(one.text))
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8")


def report(results, guests, times, junit):
    print()
    for line in (*table(results, guests), "", *notes(results)):
        print(line)
    for one in results:
        if one.result == "failed":
            print(f"\n--- failed: {one.guest}/{one.machine}: {one.test}\n{one.text}")
    print("\n" + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items()))
    kinds = [one.result for one in results]
    print(", ".join(f"{kinds.count(kind)} {kind}" for kind in ("passed", "failed", "skipped")))
    if junit:
        write_junit(junit, results)
    return 1 if "failed" in kinds or not results else 0


def terminal_size():
    """Of this terminal, as stty takes it."""
    columns, lines = shutil.get_terminal_size()
    return f"rows {lines} cols {columns}\n"


def arguments():
    parser = argparse.ArgumentParser(description="runs tests on real kernels", allow_abbrev=False)
    parser.add_argument("--guest", choices=recipes.GUESTS, action="append")
    parser.add_argument("--machine", choices=recipes.MACHINES)
    parser.add_argument("--test", metavar="FILE[::TEST]")
    parser.add_argument("--long", action="store_true", help="the long set")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="guests at a time (2)")
    parser.add_argument("--junit", type=Path)
    parser.add_argument("--folder", type=Path, default=GUEST_TESTS, help="of tests, in place of tests/vm/guest")
    parser.add_argument("--append", metavar="WORDS", default="", help="for the kernel's command line")
    parser.add_argument("--shell", action="store_true", help="no tests: a root shell on the guest's console")
    return parser.parse_args()


def main():
    options = arguments()
    guests = options.guest or list(recipes.GUESTS)
    build_folder = Path(os.environ.get("top_builddir", os.getcwd())).resolve()
    cache = images.cache_folder()
    with tempfile.TemporaryDirectory(prefix="balancerd-vm-") as place:
        folder = Path(place)
        payload.install(build_folder, folder / "stage")
        bench = Bench(
            cache, images.emulator(cache), build_folder, folder / "stage", folder,
            options.folder.resolve(), options.append, options.long,
        )  # fmt: skip
        if options.shell:
            guest, machine = guests[0], options.machine or "default"
            image, run = images.image(cache, guest), bench.new_folder()
            disk = bench.write_payload(run, guest, machine, {"shell": terminal_size()})
            return emulator.shell(bench.emulator, image, recipes.MACHINES[machine], disk, run, options.append)
        everywhere = options.long or options.test is not None
        sessions = [
            Session(bench, *one, show_progress)
            for one in plan(bench.tests, guests, options.machine, options.test, everywhere)
        ]
        began = time.monotonic()
        run_all(sessions, options.jobs)
        times = {guest: sum(one.seconds for one in sessions if one.guest == guest) for guest in guests}
        times["all"] = time.monotonic() - began
        return report([result for one in sessions for result in one.results], guests, times, options.junit)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("run.py: ended by a signal"))
    try:
        sys.exit(main())
    except build.Unable as error:
        sys.exit(f"run.py: {error}")
