# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPUs isolated at boot: the kernel leaves stacked hogs where they are, the service spreads them."""

from support import hogs

from vm.guest import stacks, systemd

MACHINES = ("isolated", "nohz")


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
