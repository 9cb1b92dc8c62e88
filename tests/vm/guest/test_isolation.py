# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPUs isolated at boot: the kernel leaves stacked hogs where they are, the service spreads them."""

import os

from support import hogs, machine

from vm.guest import stacks, systemd, topology

pytestmark = stacks.PATIENT
MACHINES = ("isolated", "trixie/nohz")
BALANCED = {0, 1, 4, 5, 6, 7}
CHOSEN = {0, 1, 5}


def wait_until_within(cpus):
    """None of its threads may run elsewhere: those that move others see to that as they come to it."""
    stacks.wait_for(lambda: all(mask <= cpus for mask in stacks.own_masks().values()), f"all within {cpus}")


def test_the_machine_is_what_its_name_says():
    """As /sys has it; or what follows would be about another machine."""
    assert topology.listed("isolated") == {2, 3}
    if os.environ["BALANCERD_MACHINE"] == "nohz":
        assert topology.listed("nohz_full") == {2, 3}


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
    wait_until_within(BALANCED)
    stacks.spread_anew(stacks.isolated())
    wait_until_within(BALANCED)


def test_it_stays_where_an_administrator_puts_it():
    """The threads that move others follow its main one."""
    systemd.systemctl("start", "balancerd")
    os.sched_setaffinity(systemd.main_pid(), CHOSEN)
    stacks.spread_anew(stacks.isolated())
    assert os.sched_getaffinity(systemd.main_pid()) == CHOSEN
    wait_until_within(CHOSEN)


def test_hogs_on_the_others_are_left_alone():
    """They are the kernel's, whatever happens beside them."""
    systemd.systemctl("start", "balancerd")
    others = machine.Unbalanced((4, 5))
    with hogs.stacked(others) as left, hogs.stacked(stacks.isolated()) as moved:
        moved.wait_until_spread()
        stacks.assert_left_alone(left, samples=2)
