# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPUs isolated at boot: the kernel leaves stacked hogs where they are, the service spreads them."""

import os

from support import hogs, machine, procfs

from vm.guest import stacks, systemd

pytestmark = stacks.PATIENT
MACHINES = ("isolated", "trixie/nohz")
BALANCED = {0, 1, 4, 5, 6, 7}


def test_without_the_service_they_stay(record_property):
    """What makes the next test mean something: nothing else spreads them."""
    with hogs.stacked(stacks.isolated()) as run:
        assert stacks.watch_stacked(run)
        record_property("without the service: not spread within [s]", round(run.seconds(), 1))


def test_they_are_spread(record_property):
    systemd.systemctl("start", "balancerd")
    arranged = stacks.isolated()
    assert stacks.unbalanced_cpus() == set(arranged.cpus)
    stacks.record(record_property, "isolcpus", stacks.spread_anew(arranged))


def test_it_keeps_off_them():
    """Its own threads may not run there, before and after it has moved others."""
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    for _time in range(2):
        masks = {procfs.comm(tid): os.sched_getaffinity(tid) for tid in procfs.threads_of(pid)}
        assert all(mask <= BALANCED for mask in masks.values()), masks
        stacks.spread_anew(stacks.isolated())


def test_hogs_on_the_others_are_left_alone():
    """They are the kernel's, whatever happens beside them."""
    systemd.systemctl("start", "balancerd")
    others = machine.Unbalanced((4, 5))
    with hogs.stacked(others) as left, hogs.stacked(stacks.isolated()) as moved:
        moved.wait_until_spread()
        stacks.assert_left_alone(left, samples=2)
