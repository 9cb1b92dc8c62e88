# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demonstration: what it says at its end, and of whose moves."""

import os
from pathlib import Path

import pytest
from support import demo, hogs, procfs

MOVE = (
    "sched_migrate_task: comm={} pid={} prio=120 orig_cpu=0 dest_cpu=1 rq=0 why=balance"
    " load=4.00:0.00 gain=3.00 nvcsw=3 nivcsw=41 took_usec=12"
)


class PutBack:
    how = "nothing"

    @staticmethod
    def is_put_back():
        return True


@pytest.mark.skipif(len(hogs.all_cpus()) < 2, reason="another mask takes two CPUs")
def test_masks_that_changed_are_told_with_who_did_it():
    masks, kept = procfs.masks([os.getpid()]), os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(kept)})
        told = {moves: demo.told_end(PutBack, masks, demo.Counter({os.getpid(): moves})) for moves in (0, 2)}
    finally:
        os.sched_setaffinity(0, kept)
    who = f"    {procfs.comm(os.getpid())} (thread {os.getpid()}): "
    assert [line[: len(who)] for _head, line in told.values()] == [who, who]
    assert told[0][1].endswith(f" became {min(kept)}; no move of balancerd was on it")
    assert told[2][1].endswith("; balancerd moved it 2 times")
    assert demo.told_end(PutBack, procfs.masks([os.getpid()]), demo.Counter())[0].endswith("is what it was.")


def test_moves_of_others_are_counted(capsys):
    log = demo.Log()
    for line in ("balancerd: ready: 7 threads", MOVE.format("hog", 4711), MOVE.format("cc1", 5), MOVE.format("sh", 6)):
        log.take(line)
    log.end()
    assert capsys.readouterr().out.splitlines() == [
        "    balancerd: ready: 7 threads",
        f"    {MOVE.format('hog', 4711)}",
        "    ... and 2 moves of other threads of this machine",
    ]
    assert log.moves == {4711: 1, 5: 1, 6: 1}


def run_of_hogs(run_sec, wait_sec, busy_sec):
    """One hog for as long, on CPUs that were busy for as long."""
    told = hogs.Told()
    counters = "at_nsec={0} since_start_usec=0 work={0} run_nsec={1} wait_nsec={2} cpu=0 mask=3"
    told.take("start tid=7 " + counters.format(0, 10**6, 10**6))
    for event in ("tick", "end"):
        told.take(f"{event} tid=7 " + counters.format(10**9, 10**6 + run_sec * 10**9, 10**6 + wait_sec * 10**9))
    return demo.Shown(told, busy_sec)


@pytest.mark.parametrize(("busy_sec", "blurred"), [(5, False), (5.9, False), (6.1, True)])
def test_a_machine_that_is_busy_otherwise_is_told(capsys, busy_sec, blurred):
    """Of 10 seconds of two CPUs the hogs have 5."""
    demo.print_table(run_of_hogs(5, 15, 5), run_of_hogs(5, 15, busy_sec), 3, 2)
    told = capsys.readouterr().out
    assert f"had by others                  0.0 s{busy_sec - 5:>14.1f} s\n" in told
    assert ("busy otherwise" in told) == blurred


def test_cpu_is_busy_while_a_hog_runs_there():
    cpu = min(hogs.all_cpus())
    before = procfs.busy_sec({cpu})
    with hogs.Hogs(threads=1, for_msec=500, preexec=hogs.confine({cpu})) as run:
        run.wait_for_end()
    (start,), (end,) = run.told.reports["start"], run.told.reports["end"]
    # It is counted in hundredths.
    assert procfs.busy_sec({cpu}) - before >= (end.run_nsec - start.run_nsec) / 1e9 - 0.05 > 0


def test_hogs_are_called_as_it_thinks():
    with hogs.Hogs(threads=1) as run:
        assert procfs.comm(run.told.tids()[0]) == demo.HOG


def test_name_that_would_write_on_the_terminal():
    own = Path(f"/proc/self/task/{os.getpid()}/comm")
    before = own.read_bytes()
    try:
        own.write_bytes(b"h\n\x1b[m\xff")
        told = procfs.comm(os.getpid())
    finally:
        own.write_bytes(before)
    assert told.startswith("h")
    assert told.isascii()
    assert told.isprintable()
