# SPDX-License-Identifier: LGPL-2.1-or-later
"""The comparison of claimed moves with a trace of the kernel finds what is missing and what is unclaimed.

The trace is of a daemon (process 50, its mover thread 51) that moves a running thread (70), a queued one
(71) and one that wakes while its mask is narrow (72), and of a kernel that does its own work meanwhile.
"""

import dataclasses

import pytest
from support import witness
from support.witness import Claim

DAEMONS = {50}
SLACK = 100

STOPPER_MOVES_70 = """\
migrate 1200 21 21 70 2 3
        set_task_cpu+9
        move_queued_task+89
        migration_cpu_stop+762
"""
MOVER_MOVES_71 = """\
migrate 2200 51 50 71 2 3

        set_task_cpu+9
        move_queued_task+89
        affine_move_task+10
"""
WAKEUP_MOVES_72 = """\
migrate 3500 0 0 72 2 3
        set_task_cpu+9
        try_to_wake_up+455
"""
# Printed CPU by CPU, not in the order of time.
TRACE = f"""\
{STOPPER_MOVES_70}\
{WAKEUP_MOVES_72}\
call 1000 51 50 70 8
called 1300 51 50 70
call 1400 51 50 70 c
called 1500 51 50 70
call 2000 51 50 71 8
{MOVER_MOVES_71}\
called 2300 51 50 71
call 2400 51 50 71 c
called 2500 51 50 71
call 3000 51 50 72 8
called 3100 51 50 72
call 3600 51 50 72 c
migrate 3650 0 0 72 3 2
        set_task_cpu+9
        try_to_wake_up+455
called 3700 51 50 72
call 4000 51 50 51 1
migrate 4100 21 21 51 2 0
        move_queued_task+89
        migration_cpu_stop+762
called 4200 51 50 51
call 5000 80 80 70 1
migrate 5100 80 80 70 3 0
        move_queued_task+89
called 5200 80 80 70
stop 6000 90 90
migrate 6100 21 21 90 1 0
        migration_cpu_stop+762
stopped 6200 90 90
migrate 7000 0 0 91 4 5
        set_task_cpu+9
        sched_balance_rq+1673
@told: 29
"""
CLAIMS = [Claim(900, 700, 70, 2, 3), Claim(1900, 700, 71, 2, 3), Claim(2900, 900, 72, 2, 3)]


def judged(claims=tuple(CLAIMS), text=TRACE):
    return witness.compare(claims, witness.parse(text), DAEMONS, SLACK)


def test_claims_and_trace_agree():
    verdict = judged()
    assert [claim for claim, _migration in verdict.matched] == CLAIMS
    assert (verdict.missing, verdict.unclaimed, verdict.unknown) == ([], [], [])


def test_what_the_kernel_moves_is_told_apart():
    assert judged().others == {
        "wakeup": 1,
        "affinity set by others": 1,
        "the daemon's own thread": 1,
        "exec or NUMA balancing": 1,
        "load balancing": 1,
    }


@pytest.mark.parametrize("text", [STOPPER_MOVES_70, MOVER_MOVES_71, WAKEUP_MOVES_72])
def test_a_claim_without_a_migration_is_missing(text):
    claim = CLAIMS[[STOPPER_MOVES_70, MOVER_MOVES_71, WAKEUP_MOVES_72].index(text)]
    verdict = judged(text=TRACE.replace(text, ""))
    assert (verdict.missing, verdict.unclaimed) == ([claim], [])


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_migration_without_a_claim_is_unclaimed(claim):
    verdict = judged([one for one in CLAIMS if one != claim])
    assert [one.tid for one in verdict.unclaimed] == [claim.tid]
    assert verdict.missing == []


@pytest.mark.parametrize("change", [{"at": 1301}, {"at": 300}, {"tid": 73}, {"orig": 1}, {"dest": 2}], ids=str)
def test_a_claim_of_something_else_is_no_match(change):
    verdict = judged([dataclasses.replace(CLAIMS[0], **change), *CLAIMS[1:]])
    assert (len(verdict.missing), len(verdict.unclaimed)) == (1, 1)


def test_one_migration_is_one_move():
    assert judged([*CLAIMS, CLAIMS[0]]).missing == [CLAIMS[0]]


def test_a_stopper_that_nobody_asked_is_unknown():
    """As when the trace lacks the call that caused a migration."""
    verdict = judged(text=TRACE.replace("call 1000 51 50 70 8\n", ""))
    assert [one.tid for one in verdict.unknown] == [70]
    assert verdict.missing == [CLAIMS[0]]


def test_what_was_before_the_trace_is_left_out():
    assert [one.at for one in witness.parse(TRACE, since=6150).migrations] == [7000]


def test_a_call_without_an_end_goes_on():
    trace = witness.parse("call 1 2 2 3 f\nmigrate 9 4 4 3 0 1\n")
    assert trace.calls[0].holds(trace.migrations[0])
