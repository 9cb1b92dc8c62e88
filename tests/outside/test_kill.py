# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL at every step of the mover: whatever was narrow, `--restore` gives it back.

The steps between which the ledger's stores lie are enumerated twice: by the operations on the
kernel (mover-steps kills itself before and after each), and by all system calls (strace kills it).
The daemon that restores is the built one; killed itself it is in test_kill_daemon.py.
"""

import os
import random
import re
import shutil

import pytest
from support import kills, procfs

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="moving takes two CPUs")

HOLD = ("--hold", "--hold-msec=50")
MODES = {"nudge": ("--restless",), "hold": HOLD}
# What is met of children differs from run to run: there only the setting of masks is counted, and
# rounds follow until the one is reached that kills.
BIRTHS = (*HOLD, "--births", "--sets-only", "--rounds=0")
N_BIRTH_SETS = 12


@pytest.fixture
def victims():
    with kills.Victims("fork") as started:
        yield started


def report(tally, what):
    print(f"\n{what}: {tally}")
    assert tally.wrong == []
    assert tally.restored["failed"] == 0
    assert tally.restored["damaged"] == 0


def kill_at_operations(runtime_dir, victims, arguments, n_calls):
    tally = kills.Tally()
    for n in range(1, n_calls + 1):
        for when in ("before", "after"):
            result = kills.steps(runtime_dir, *arguments, f"--die-{when}={n}", victims.pids[0])
            assert kills.died(result), result
            tally.restore(runtime_dir)
            tally.judge(victims)
    return tally


@pytest.mark.parametrize("mode", MODES)
def test_killed_at_every_operation(runtime_dir, victims, mode):
    n_calls = kills.calls_of(kills.steps(runtime_dir, *MODES[mode], victims.pids[0]))
    tally = kill_at_operations(runtime_dir, victims, MODES[mode], n_calls)
    report(tally, f"{mode}: {n_calls} operations")
    assert tally.restored["restored"] > 0
    assert mode == "nudge" or tally.restored["children"] > 0


def test_killed_amid_births(runtime_dir, victims):
    tally = kill_at_operations(runtime_dir, victims, BIRTHS, N_BIRTH_SETS)
    report(tally, f"births: {N_BIRTH_SETS} masks set")
    assert tally.restored["restored"] > 0
    assert tally.restored["children"] > 0


# An allocator's, which come as they please and change nothing that outlives the process.
MEMORY_CALLS = {"brk", "madvise", "mmap", "mprotect", "munmap"}


def system_calls(trace):
    """[(name, how many of that name so far)] of what lies between the words begin and end, or the
    one that was killed."""
    counts, calls, inside = {}, [], False
    for line in trace.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)", line)
        if not match:
            continue
        name, rest = match.groups()
        counts[name] = counts.get(name, 0) + 1
        if name == "write" and '"end ' in rest:
            break
        if inside and name not in MEMORY_CALLS:
            calls.append((name, counts[name]))
        if name == "write" and '"begin' in rest:
            inside = True
    return calls


@pytest.mark.parametrize("mode", ["nudge", "hold"])
def test_killed_at_every_system_call(runtime_dir, victims, mode):
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    trace = runtime_dir / "trace"
    strace = ["strace", "-f", "-o", trace]
    arguments = [*MODES[mode], victims.pids[0]]
    # As before all the others: an empty ledger of the daemon's own size.
    kills.Tally().restore(runtime_dir)
    first = kills.steps(runtime_dir, *arguments, prefix=strace)
    if first.returncode != 0:
        pytest.skip("strace cannot trace here")
    calls = system_calls(trace)
    assert len([name for name, _ in calls if name == "sched_setaffinity"]) == 2
    tally = kills.Tally()
    tally.restore(runtime_dir)
    for n, (name, nth) in enumerate(calls, 1):
        inject = ["-e", f"inject={name}:signal=KILL:when={nth}"]
        assert kills.died(kills.steps(runtime_dir, *arguments, prefix=strace + inject)), (name, nth)
        assert system_calls(trace) == calls[:n]
        tally.restore(runtime_dir)
        tally.judge(victims)
    report(tally, f"{mode}: {len(calls)} system calls")
    assert tally.restored["restored"] > 0


def hold_and_die(runtime_dir, victims):
    """Leaves the victim narrow, and children that were born so. Returns who they are."""
    n_calls = kills.calls_of(kills.steps(runtime_dir, *HOLD, victims.pids[0]))
    # The last four operations give back, all before narrow.
    result = kills.steps(runtime_dir, *HOLD, f"--die-before={n_calls - 3}", victims.pids[0])
    assert kills.died(result)
    return victims.judge()[1]


def test_restoring_killed_at_every_step(runtime_dir, victims):
    """Restoring again finishes what a killed one began."""
    tally = kills.Tally()
    n, died = 0, True
    while died:
        n += 1
        assert hold_and_die(runtime_dir, victims) != []
        when = "before" if n % 2 else "after"
        died = kills.died(
            kills.steps(runtime_dir, "--restore", "--sets-only", f"--die-{when}={(n + 1) // 2}")
        )
        tally.restore(runtime_dir)
        tally.judge(victims)
    report(tally, f"restoring: {n} steps")
    assert n > 2


def test_killed_at_random(runtime_dir):
    n_kills = int(os.environ.get("BALANCERD_KILLS", "20"))
    seed = random.randrange(1 << 32)
    tally, speed = kills.random_kills(runtime_dir, n_kills, 20, seed)
    print(f"\nseed {seed}; {speed}")
    report(tally, "at random")
    assert tally.restored["restored"] > 0


def test_without_restoring_masks_are_lost(runtime_dir, victims):
    """The other tests can fail: what they look at is really narrow before `--restore`."""
    before = procfs.masks(victims.pids)
    assert hold_and_die(runtime_dir, victims) != []
    assert procfs.changed_masks(before, procfs.masks(victims.pids)) != []
    tally = kills.Tally()
    tally.restore(runtime_dir)
    tally.judge(victims)
    report(tally, "once")
