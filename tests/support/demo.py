# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests/demo.sh shows: the same stacked threads, first without balancerd, then with it."""

import fcntl
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import daemon, hogs, machine, procfs, tree, varlink  # noqa: E402

HOG = "hog"
N_HOGS = 4
SECONDS = 5
# Of the CPUs' time: what others may have had before it is said that this blurs the figures.
OTHERS_SHARE = 0.1
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LEDGER = Path("/run/balancerd/private/ledger")


def say(text=""):
    try:
        print(text, flush=True)
    except OSError:  # nobody reads any more: end in order, and quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def interrupt(_number, _frame):
    """Unwinds every `with`, once: what undoes our changes is not interrupted."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def refuse_company():
    """Unable where a balancerd runs on this machine already: its lock is on its ledger."""
    flock = struct.Struct("hhqqi4x")
    try:
        with LEDGER.open("rb") as file:
            lock = fcntl.fcntl(file, fcntl.F_GETLK, flock.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except FileNotFoundError:
        return
    if flock.unpack(lock)[0] != fcntl.F_UNLCK:
        raise machine.Unable(f"a balancerd balances it already ({LEDGER} is locked); end that first")


@dataclass(frozen=True)
class Shown:
    """One run of the hogs."""

    told: hogs.Told
    busy_sec: float  # CPU time that was used on their CPUs meanwhile, by anybody

    def waits(self):
        """Seconds that all hogs together waited for a CPU."""
        return self._increase("wait_nsec")

    def others(self):
        """Seconds of CPU time that others had."""
        return max(0.0, self.busy_sec - self._increase("run_nsec"))

    def seconds_of_work(self):
        totals = [0] + [work for _at, work in self.told.work_by_tick()]
        return [after - before for before, after in zip(totals, totals[1:])]

    def _increase(self, counter):
        """Seconds, from the hogs' first reports to their last."""
        first, last = (sum(getattr(one, counter) for one in self.told.reports[when]) for when in ("start", "end"))
        return (last - first) / 1e9


def run_hogs(arranged, at_last=None):
    """Stacks the hogs on the first CPU, tells each second as it passes.

    AT_LAST is called before the last second, while they still run, with their numbers.
    """
    busy_before = procfs.busy_sec(arranged.cpus)
    with hogs.Hogs(
        threads=N_HOGS, stack=arranged.cpus[0], for_msec=SECONDS * 1000, preexec=arranged.join
    ) as run:
        for second in range(1, SECONDS + 1):
            if second < SECONDS:
                run.wait_for_ticks(second)
            else:
                run.wait_for_end()
            reports = run.told.reports["tick" if second < SECONDS else "end"][-N_HOGS:]
            where = " ".join(str(report.cpu) for report in reports)
            work = run.told.work_by_tick()
            done = work[-1][1] - (work[-2][1] if len(work) > 1 else 0)
            say(f"    second {second}: work {done / 1000:8.0f} k   threads on CPUs {where}")
            if at_last and second == SECONDS - 1:
                at_last(run.told.tids())
        return Shown(run.told, procfs.busy_sec(arranged.cpus) - busy_before)


def print_table(before, after, moves, n_cpus):
    say()
    say(f"{'':24}{'without':>12}{'with balancerd':>16}")
    works = before.seconds_of_work(), after.seconds_of_work()
    for second, (without, with_) in enumerate(zip(*works), 1):
        say(f"work in second {second:<9}{without / 1000:>10.0f} k{with_ / 1000:>14.0f} k")
    total_before, total_after = map(sum, works)
    say(f"{'work in all':<24}{total_before / 1000:>10.0f} k{total_after / 1000:>14.0f} k")
    say(f"{'waited, all threads':<24}{before.waits():>10.1f} s{after.waits():>14.1f} s")
    say(f"{'had by others':<24}{before.others():>10.1f} s{after.others():>14.1f} s")
    say(f"{'moves of these threads':<24}{0:>12}{moves:>16}")
    say(f"{'':24}{'':12}{total_after / total_before:>15.2f} times the work")
    say("\nk: a thousand batches of the threads' arithmetic.")
    say("waited: time that threads were ready to run and had no CPU, added up.")
    say("had by others: time of these CPUs that other threads had, or other guests of a virtual machine's host.")
    if max(before.others(), after.others()) > OTHERS_SHARE * n_cpus * SECONDS:
        say("\nThis machine was busy otherwise, so the two do not compare: do it again when it is idle.")


class Log:
    """Shows what the daemon says; of the moves those of the hogs alone, since they are what is shown."""

    def __init__(self):
        self.moves = Counter()  # by thread
        self.n_others = 0

    def take(self, line):
        move = daemon.parse_move(line)
        if move and move.made:
            self.moves[move.tid] += 1
        if move and move.comm != HOG:
            self.n_others += 1
        else:
            say(f"    {line}")

    def end(self):
        if self.n_others:
            say(f"    ... and {self.n_others} moves of other threads of this machine")


def explain(folder, tids, log):
    """Lets balancectl say why a hog that was moved is where it is."""
    moved = [tid for tid in tids if log.moves[tid]]
    if not moved:
        return
    command = ["balancectl", "explain", str(moved[0])]
    say(f"\n    $ {' '.join(command)}")
    done = subprocess.run(
        [tree.BUILD / command[0], *command[1:], "--socket", varlink.socket_path(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="backslashreplace", check=False,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        say(f"    {line}")
    say()


def show(arranged, log):
    say(f"The kernel balances no threads over CPUs {', '.join(map(str, arranged.cpus))} now:")
    say(f"    {arranged.how}")
    say(f"\n{N_HOGS} busy threads start on CPU {arranged.cpus[0]}, allowed everywhere. Without balancerd:\n")
    before = run_hogs(arranged)
    say("\nThe same with balancerd:\n")
    with tempfile.TemporaryDirectory(prefix="balancerd-demo-") as folder:
        with daemon.Daemon(folder, on_line=log.take) as balancerd:
            after = run_hogs(arranged, lambda tids: explain(folder, tids, log))
            balancerd.stop()
            log.end()
            own = set(after.told.tids())
            moves = sum(1 for move in balancerd.moves() if move.made and move.tid in own)
    print_table(before, after, moves, len(arranged.cpus))


def told_change(tid, was, now, moves):
    by = f"balancerd moved it {moves[tid]} times" if moves[tid] else "no move of balancerd was on it"
    return f"    {procfs.comm(tid)} (thread {tid}): {was} became {now}; {by}"


def told_end(arranged, masks, moves):
    """The last words, by what the files and the threads say now."""
    if not arranged.is_put_back():
        return [f"The kernel does not balance all CPUs again; undo by hand: {arranged.how}"]
    changed = procfs.changed_threads(masks, procfs.masks())
    if changed:
        told = [told_change(*change, moves) for change in changed]
        return ["The kernel balances all CPUs again. Masks that changed meanwhile:", *told]
    return ["The kernel balances all CPUs again; every mask is what it was."]


def main():
    for number in ENDING:
        signal.signal(number, interrupt)
    masks = procfs.masks()
    arranged = None
    log = Log()
    status = 0
    try:
        refuse_company()
        with machine.unbalanced_cpus() as arranged:
            show(arranged, log)
    except machine.Unable as error:
        say(f"This machine cannot show it: {error}.")
        status = 1
    except KeyboardInterrupt:
        say("\nInterrupted.")
        status = 130
    if arranged:
        say()
        for line in told_end(arranged, masks, log.moves):
            say(line)
    return status


if __name__ == "__main__":
    sys.exit(main())
