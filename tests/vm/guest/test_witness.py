# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel as witness: each move that the service claims stands in the kernel's own trace, within its
time, and each migration there that the service caused is claimed.

How claims and trace are held against each other: support/witness.py.
"""

import contextlib
import dataclasses
import itertools
import os
import shutil
import time

import pytest
from support import hogs, served, witness
from support.journald import assert_fields_of_move, by_id

from vm.guest import stacks, systemd, tracer

MACHINES = ("trixie/isolated",)

if os.environ["BALANCERD_GUEST"] != "trixie" and not shutil.which("bpftrace"):
    pytestmark = pytest.mark.inapplicable("its image has no bpftrace")

LONG = bool(os.environ["BALANCERD_LONG"])
N_STACKS = 12 if LONG else 2
N_HOGS = 32
# How far the claims' clock may be off: the service does not follow the calendar's in smaller steps.
SLACK_NSEC = 10_000_000


# Making moves.


def unbalanced():
    """`with unbalanced() as arranged`: CPUs isolated at boot, or a partition."""
    if os.environ["BALANCERD_MACHINE"] == "isolated":
        return contextlib.nullcontext(stacks.isolated())
    return stacks.partition()


def settle(configure, pid):
    """Has the service plan no more; returns when no move of a thread of process PID is under way."""
    configure({"balance": {"unbalanced": False, "stuckThreads": False}})
    systemd.systemctl("reload", "balancerd")

    def is_settled():
        with stacks.connect(served.JUDGE.check) as client:
            threads = client.more("io.balancerd.ListThreads", {"pid": pid, "all": True})
            return all(one["thread"]["verdict"] != "moving" for one in threads)

    systemd.wait_for(is_settled, "the last move")


def moves_of_one_service(arranged):
    """Starts the service, lets it spread stacked hogs, and stops it; returns its process and the
    decisions that it told. A thread that ends on its way is not told of, so none ends meanwhile."""
    systemd.systemctl("start", "balancerd")
    with systemd.configured() as configure, stacks.connect(served.JUDGE.check) as client:
        monitor = client.more("io.balancerd.Monitor")
        assert next(monitor) == {"ready": True}
        with hogs.stacked(arranged, threads=N_HOGS, every_msec=500) as run:
            run.wait_until_spread()
            settle(configure, run.process.pid)
            daemon, told = systemd.main_pid(), history()
            assert [one["decision"] for one in itertools.islice(decisions(monitor), len(told))] == told
            systemd.systemctl("stop", "balancerd")
    return daemon, told


# Claims.


def decisions(monitor):
    """What MONITOR tells of moves; it must have lost nothing."""
    for told in monitor:
        assert "lost" not in told, told
        if "decision" in told:
            yield told


def history():
    with stacks.connect(served.JUDGE.check) as client:
        return [one["decision"] for one in client.more("io.balancerd.ListDecisions")]


def calendar_offset():
    """CLOCK_REALTIME less CLOCK_MONOTONIC, from the two readings of twenty that are closest."""
    readings = [(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(20)]
    before, calendar, after = min(readings, key=lambda one: one[2] - one[0])
    return calendar - (before + after) // 2


def claims_of(told, offset):
    """The moves that were made, of what was TOLD. Both times are cut to microseconds."""
    return [
        witness.Claim(
            one["timeUSec"] * 1000 - offset, one["durationUSec"] * 1000 + 2000, one["tid"], one["from"], one["to"]
        )
        for one in told
        if one["result"] == "moved"
    ]


def identity(told):
    return told["tid"], told["from"], told["to"], told["durationUSec"]


def assert_journalled(told, since):
    """The journal has the moves that were TOLD, in their order, but those that it was spared, which are
    counted; each record came after the move."""
    records = systemd.entries(since, by_id("MOVED"))
    counts = records + systemd.entries(since, by_id("SUPPRESSED"))
    claims = [one for one in told if one["result"] == "moved"]
    assert len(records) + sum(int(one.get("BALANCERD_SUPPRESSED", 0)) for one in counts) == len(claims)
    rest = iter(claims)
    for record in records:
        move, took = assert_fields_of_move(record), int(record["BALANCERD_DURATION_USEC"])
        claim = next((one for one in rest if identity(one) == (move.tid, move.orig, move.dest, took)), None)
        assert claim, f"told by the journal alone: {record}"
        assert int(record["__REALTIME_TIMESTAMP"]) >= claim["timeUSec"]


def assert_notices(claims, trace, daemons):
    """The comparison would have found a move that is missing, and one that is not claimed."""
    (claim, migration) = witness.compare(claims, trace, daemons, SLACK_NSEC).matched[-1]
    others = [one for one in trace.migrations if one != migration]
    missing = witness.compare(claims, dataclasses.replace(trace, migrations=others), daemons, SLACK_NSEC)
    assert (missing.missing, missing.unclaimed) == ([claim], [])
    unclaimed = witness.compare([one for one in claims if one != claim], trace, daemons, SLACK_NSEC)
    assert (unclaimed.missing, unclaimed.unclaimed) == ([], [migration])


@pytest.mark.limit(1200 if LONG else 400)
def test_each_move_stands_in_the_kernels_trace(tmp_path, record_property):
    """And each move there that the service caused is claimed: by the socket, and in the journal."""
    since = systemd.cursor()
    with tracer.Tracer(tmp_path) as tracer_:
        with unbalanced() as arranged:
            runs = [moves_of_one_service(arranged) for _ in range(N_STACKS)]
        trace = tracer_.finish()
    daemons, told = {daemon for daemon, _told in runs}, [one for _daemon, told in runs for one in told]
    claims = claims_of(told, calendar_offset())
    verdict = witness.compare(claims, trace, daemons, SLACK_NSEC)
    record_property("moves claimed", len(claims))
    record_property("seen by the kernel's trace, each within its time", len(verdict.matched))
    n_queued = sum(witness.was_queued(migration, trace) for _claim, migration in verdict.matched)
    record_property("of these by move_queued_task", n_queued)
    record_property("missing from the trace", len(verdict.missing))
    record_property("in the trace and unclaimed", len(verdict.unclaimed))
    record_property("migrations by others", dict(verdict.others))
    assert (verdict.missing, verdict.unclaimed, verdict.unknown) == ([], [], [])
    assert len(claims) >= N_STACKS * N_HOGS // 8
    assert_journalled(told, since)
    assert_notices(claims, trace, daemons)
