# SPDX-License-Identifier: LGPL-2.1-or-later
"""Owners who set their threads' masks while the service balances them."""

import os

from support import hogs, machine

from vm.guest import stacks, systemd

pytestmark = stacks.PATIENT
MACHINES = ("trixie-rt/isolated",)


def test_an_owner_who_narrows_is_obeyed():
    """Who wants all hogs on one CPU, while they are balanced, has them there."""
    systemd.systemctl("start", "balancerd")
    with hogs.stacked(stacks.isolated()) as run:
        run.wait_until_spread()
        tids = run.told.tids()
        for tid in tids:
            os.sched_setaffinity(tid, {3})
        stacks.wait_for_samples(2)
        assert stacks.masks(tids) == [{3}] * len(tids)


def test_an_owner_who_widens_is_obeyed():
    """Hogs whom their owner had stacked are spread once he lets them, and have the mask he gave."""
    systemd.systemctl("start", "balancerd")
    pinned = machine.Unbalanced((3,))
    with hogs.stacked(pinned) as run:
        tids = run.told.tids()
        stacks.assert_left_alone(run)
        for tid in tids:
            os.sched_setaffinity(tid, {1, 2, 3})
        stacks.wait_for(lambda: stacks.made_moves(tids), "a move")
        run.wait_until_spread()
        stacks.wait_for_samples(1)
        assert stacks.masks(tids) == [{1, 2, 3}] * len(tids)
