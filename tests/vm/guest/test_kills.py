# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service is killed again and again while hogs are stacked again and again: no mask is lost."""

import contextlib
import os
import random
import select
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from support import hogs, journald, kills, procfs

from vm.guest import stacks, systemd, tampering

MACHINES = ("trixie/isolated",)

N_KILLS = 200 if os.environ.get("BALANCERD_LONG") else 50
# An odd number: once they are spread over two CPUs they take turns, so that there is always a next move.
N_HOGS = 9
# A daemon lives for so long at most, most of which is its start. Each tenth is killed amid a move, which
# would otherwise be too short to be hit often; its calls take so long.
LIFE_SEC = 1.5
AMID_EACH = 10
CALL_USEC = 5000000

CGROUP = Path("/sys/fs/cgroup/system.slice") / systemd.SERVICE

# systemd starts it again whatever happens, and soon.
AGAIN = """
[Unit]
StartLimitIntervalSec=0
[Service]
RestartSec=20ms
"""


def running():
    """The daemon's process, if it runs; what else belongs to the unit does not count."""
    try:
        pids = (CGROUP / "cgroup.procs").read_text(encoding="ascii").split()
    except OSError:  # between two daemons there may be no such cgroup
        return None
    for pid in pids:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except procfs.GONE:
            continue
        if command[0].endswith(b"/balancerd") and b"--restore" not in command:
            return int(pid)
    return None


@contextlib.contextmanager
def killing(pid):
    """PID is killed at the end of the block, which returns when no thread of it is left."""
    fd = os.pidfd_open(pid)
    try:
        yield
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        assert select.select([fd], [], [], systemd.PATIENCE_SEC)[0]
    finally:
        os.close(fd)


class Stack:
    """Hogs that are put on one CPU again and again; their masks are what they were afterwards."""

    def __init__(self, run, cpus):
        self.tids, self.cpus = run.told.tids(), cpus

    def restack(self):
        """For the next daemon: one that runs would take it for somebody else's wish."""
        for tid in self.tids:
            os.sched_setaffinity(tid, {self.cpus[0]})
            os.sched_setaffinity(tid, self.cpus)

    def n_narrow(self):
        return sum(len(os.sched_getaffinity(tid)) == 1 for tid in self.tids)


def masks():
    """Of all threads but the kernel's own, of which it sets the masks itself."""
    return {tid: thread for tid, thread in procfs.masks().items() if not procfs.is_kernel_thread(tid)}


def compare(before):
    """Waits until each thread was seen with the mask that it had BEFORE, since those that a daemon is
    moving are narrow for a moment. Returns how many were looked at, and as text those that kept another."""
    now = masks()
    n_looked_at = len(now.keys() & before.keys())
    deadline = time.monotonic() + systemd.PATIENCE_SEC
    while (changed := procfs.changed_threads(before, now)) and time.monotonic() < deadline:
        again = {tid: procfs.read_thread(tid, tid) for tid, _was, _now in changed}
        now = {tid: thread for tid, thread in again.items() if thread}
    return n_looked_at, procfs.changed_masks(before, now)


def told_restored(since):
    """What was given back, by the journal."""
    found = Counter()
    for one in systemd.entries(since, journald.by_id("RESTORED")):
        found.update({key: int(one[f"BALANCERD_{key.upper()}"]) for key in kills.PARTS})
    return found


def kill_soon(chance):
    """Kills a daemon at any instant of its life."""
    with killing(systemd.wait_for(running, "a daemon")):
        time.sleep(chance.uniform(0, LIFE_SEC))


def moves(pid):
    """Whether it has come so far that it has a thread that moves others."""
    return any(procfs.comm(tid).startswith("mover/") for tid in procfs.threads_of(pid))


def kill_amid_a_move(stack):
    """Kills a daemon between the two calls of a move, which take long for that."""
    pid = systemd.wait_for(running, "a daemon")
    systemd.wait_for(lambda: moves(pid), "a mover")
    with tampering.tampered(pid, f"delay_enter={CALL_USEC}", "1+"), killing(pid):
        stack.restack()
        systemd.wait_for(stack.n_narrow, "a move")


def kill_all(chance, stack, tally):
    """Kills N_KILLS daemons, and compares all masks after each. Returns how many each left narrow."""
    before, narrow = masks(), []
    systemd.systemctl("start", "--no-block", "balancerd")
    while len(narrow) < N_KILLS and not tally.wrong:
        if len(narrow) % AMID_EACH == 0:
            kill_amid_a_move(stack)
        else:
            kill_soon(chance)
        narrow.append(stack.n_narrow())
        tally.add(*compare(before))
        stack.restack()
    systemd.systemctl("stop", "balancerd")
    n_looked_at, wrong = compare(before)
    tally.n_looked_at += n_looked_at
    tally.wrong += wrong
    return narrow


# A guest beside others takes up to five seconds for each.
@pytest.mark.limit(15 * N_KILLS)
def test_killed_at_random_instants(record_property):
    """After each kill, and at the end, every thread of the machine has the mask that it had."""
    seed = random.randrange(1 << 32)
    tally, since, began = kills.Tally(), systemd.cursor(), time.monotonic()
    with systemd.drop_in(AGAIN), hogs.stacked(stacks.isolated(), threads=N_HOGS) as run:
        narrow = kill_all(random.Random(seed), Stack(run, stacks.isolated().cpus), tally)
    tally.restored = told_restored(since)
    print(f"seed {seed}: {tally}; left narrow by each: {narrow}")  # pytest shows this where the test failed
    record_property("masks changed, of so many looked at", f"{len(tally.wrong)} of {tally.n_looked_at}")
    record_property("kills that left masks narrow, of all", f"{sum(map(bool, narrow))} of {len(narrow)}")
    record_property("masks left narrow; given back from the ledger", f"{sum(narrow)}; {tally.restored['restored']}")
    record_property("time of all kills [s]", round(time.monotonic() - began))
    assert tally.wrong == []
    assert tally.restored["restored"] >= sum(narrow) > 0
    assert tally.restored["damaged"] == tally.restored["failed"] == 0
