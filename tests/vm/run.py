#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the tests of tests/vm/guest on real kernels with systemd as process 1, in QEMU.

    run.py [--guest NAME]... [--machine NAME]... [--test FILE[::TEST]]... [--long] [--junit FILE]
           [--jobs N] [--folder FOLDER] [--append WORDS]
    run.py --shell [--guest NAME] [--machine NAME]

GUESTS and MACHINES are those of recipes.py. A test runs on every guest, and on the machines that its
file names (MACHINES = ("default", "trixie/flat"): with a guest before it, on that one alone in the short
set, from which no test was chosen). Those marked `long` are of the long set, or are named: FILE::TEST.
Each pair of guest and machine is booted once for all its tests; where one of them hangs or the guest
dies, it has failed, and the rest gets a new boot, though not for ever. A boot that got on with nothing is
the last one: what is left has failed too. What the emulator itself breaks off, by an assertion of its
own, is told and run again.
"""

import argparse
import ast
import os
import shutil
import signal
import subprocess
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
# With so many guests lost, each by another test, the rest of a session is not run: CI would not see its end.
LOST_BOOTS_MAX = 5
# A guest that is slow, not hung, tells on its console where a test is when its limit is over.
GRACE_SEC = 5
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Refused(Exception):
    """What was asked for cannot be run; the text says why."""


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
    found = set()
    for one in machines_of(path):
        guest, _separator, machine = one.rpartition("/")
        if guest not in ("", *recipes.GUESTS) or machine not in recipes.MACHINES:
            raise Refused(f"{path.name}: MACHINES: there is no {one!r}")
        found |= {(name, machine) for name in guests if everywhere or guest in ("", name)}
    return found


def files_of(folder, test):
    """[(file, what follows its name)]. TEST: a file's name without test_ and .py, or a pattern of such
    names; with ::TEST, one in it."""
    stem, separator, name = test.partition("::")
    found = sorted(folder.glob(f"test_{stem}.py"))
    if not found:
        raise Refused(f"there is no test_{stem}.py in {folder}")
    return [(path, separator + name) for path in found]


def plan(folder, guests, machines=(), tests=(), everywhere=False):
    """[(guest, machine, what to run)] by guest. No MACHINES, no TESTS: all of them."""
    wanted = defaultdict(list)
    for test in tests or ["*"]:
        for path, inside in files_of(folder, test):
            for pair in pairs(path, guests, everywhere):
                if not machines or pair[1] in machines:
                    wanted[pair].append(f"{payload.place(folder)}/{path.name}{inside}")
    if not wanted:
        raise Refused("these tests are for other guests or machines (--long: every machine on every guest)")
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
        self.n_broken = self.n_lost = 0  # boots
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
            self.fail(run, event["test"], "none of its tests can be had", event["text"])
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

    def broken(self, run, error):
        """Takes that the emulator has died. Returns whether what is left is to be run again."""
        self.n_broken += 1
        if self.n_broken > BROKEN_BOOTS_MAX:
            self.fail(run, "boot", str(error))
            return False
        print(f"{self.guest}/{self.machine}: {error}: what is left is run again", flush=True)
        return True

    def lost(self, run, ended):
        """Takes that the guest has ended before its tests. Returns whether another one is to run the rest."""
        self.n_lost += 1
        self.fail(run, self.current or "boot", f"the guest failed: {ended}")
        if self.current:
            self.settle(self.current)
        return self.n_lost < LOST_BOOTS_MAX

    def stop(self):
        """Ends the guest that runs, from another thread; there is no other after it."""
        self.stopped = True
        if self.emulated:
            self.emulated.stop()

    def boot(self):
        """One boot. Returns whether another one is to follow: it got on with the tests."""
        self.current, n_before = None, self.n_settled
        folder = self.bench.new_folder()
        disk = self.bench.write_payload(folder, self.guest, self.machine, {"arguments": "\n".join(self.left) + "\n"})
        machine = recipes.MACHINES[self.machine]
        with emulator.Run(self.bench.emulator, self.image, machine, disk, folder, self.bench.append) as run:
            self.emulated = run
            if self.stopped:  # before there was anything to end
                return False
            try:
                self.follow(run)
            except emulator.Broken as error:
                return not self.stopped and self.broken(run, error)
            except emulator.Ended as ended:
                return self.lost(run, ended) and self.n_settled > n_before
        return False

    def run(self):
        began = time.monotonic()
        try:
            while self.left and not self.stopped and self.boot():
                pass
        except OSError as error:  # no room for what a boot needs, say
            self.keep("boot", "failed", text=str(error))
        self.seconds = time.monotonic() - began

    def outcome(self):
        """The results of all its tests: those that were not run have failed."""
        why = "not run: " + ("the bench was ended" if self.stopped else "see what became of the boot")
        not_run = [Result(label(test), self.guest, self.machine, "failed", why) for test in self.left]
        nothing = Result("boot", self.guest, self.machine, "failed", "none of its tests is in this set")
        return self.results + not_run or [nothing]


def run_all(sessions, n_jobs):
    """So many at a time, those with the most files first, so that no long one is left for the end. An
    interrupt ends those that run and begins no other."""
    by_length = sorted(sessions, key=lambda one: len(one.left), reverse=True)
    with ThreadPoolExecutor(n_jobs) as pool:
        try:
            for done in [pool.submit(one.run) for one in by_length]:
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
        verdict = "not applicable" if one.result == "inapplicable" else one.result
        rows[f"{one.test} ({one.machine})"][one.guest] = verdict
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
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items())
    for line in (*table(results, guests), "", *notes(results), "", spent):
        print(line)
    for one in results:
        if one.result == "failed":
            print(f"\n--- failed: {one.guest}/{one.machine}: {one.test}\n{one.text}")
    kinds = [one.result for one in results]
    print("\n" + ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("passed", "failed", "skipped")))
    if junit:
        write_junit(junit, results)
    return 1 if "failed" in kinds or not results else 0


def terminal_size():
    """Of this terminal, as stty takes it."""
    columns, lines = shutil.get_terminal_size()
    return f"rows {lines} cols {columns}\n"


def arguments():
    parser = argparse.ArgumentParser(description="runs tests on real kernels", allow_abbrev=False)
    parser.add_argument("--guest", choices=recipes.GUESTS, action="append", default=[])
    parser.add_argument("--machine", choices=recipes.MACHINES, action="append", default=[])
    parser.add_argument("--test", metavar="FILE[::TEST]", action="append", default=[])
    parser.add_argument("--long", action="store_true", help="the long set")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="guests at a time (2)")
    parser.add_argument("--junit", type=Path)
    parser.add_argument("--folder", type=Path, default=GUEST_TESTS, help="of tests, in place of tests/vm/guest")
    parser.add_argument("--append", metavar="WORDS", default="", help="for the kernel's command line")
    parser.add_argument("--shell", action="store_true", help="no tests: a root shell on the guest's console")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error("argument --jobs: one or more")
    if options.shell and (options.test or len(options.guest) > 1 or len(options.machine) > 1):
        parser.error("argument --shell: takes one guest and one machine, and no test")
    return options


def shell(bench, guest, machine):
    """A root shell in a guest. Returns its status."""
    image, folder = images.image(bench.cache, guest), bench.new_folder()
    disk = bench.write_payload(folder, guest, machine, {"shell": terminal_size()})
    return emulator.shell(bench.emulator, image, recipes.MACHINES[machine], disk, folder, bench.append)


def run_tests(bench, wanted, guests, options):
    """Runs what plan() found, and reports; so, too, what there is when an interrupt ends it. Returns the status."""
    sessions = [Session(bench, *one, show_progress) for one in wanted]
    began = time.monotonic()
    try:
        run_all(sessions, options.jobs)
    finally:
        times = {guest: sum(one.seconds for one in sessions if one.guest == guest) for guest in guests}
        times["all"] = time.monotonic() - began
        status = report([result for one in sessions for result in one.outcome()], guests, times, options.junit)
    return status


def main(options):
    guests = list(dict.fromkeys(options.guest or recipes.GUESTS))
    tests = options.folder.resolve()
    everywhere = options.long or bool(options.test)
    wanted = [] if options.shell else plan(tests, guests, options.machine, options.test, everywhere)
    build_folder = Path(os.environ.get("top_builddir", os.getcwd())).resolve()
    cache = images.cache_folder()
    with tempfile.TemporaryDirectory(prefix="balancerd-vm-") as place:
        folder = Path(place)
        payload.install(build_folder, folder / "stage")
        bench = Bench(
            cache, images.emulator(cache), build_folder, folder / "stage", folder, tests, options.append, options.long
        )
        if options.shell:
            return shell(bench, guests[0], (options.machine or ["default"])[0])
        return run_tests(bench, wanted, guests, options)


def end(number, _frame):
    """Ends this program in order: with no guest left, and nothing in the way of files."""
    sys.exit(f"run.py: ended by {signal.Signals(number).name}")


if __name__ == "__main__":
    for ending in ENDING:
        if signal.getsignal(ending) != signal.SIG_IGN:  # nohup(1), or a shell's background
            signal.signal(ending, end)
    try:
        sys.exit(main(arguments()))
    except (build.Unable, Refused, subprocess.CalledProcessError) as error:
        sys.exit(f"run.py: {error}")
