# SPDX-License-Identifier: LGPL-2.1-or-later
"""Partitions of cgroup v2, made and removed while the service runs."""

import contextlib

import pytest
from support import hogs, machine

from vm.guest import stacks, systemd, topology

MACHINES = ("trixie/default",)

pytestmark = stacks.PATIENT


def test_without_the_service_they_stay(record_property):
    """The kernel does not balance within an isolated partition."""
    with stacks.partition() as arranged, hogs.stacked(arranged) as run:
        assert stacks.watch_stacked(run)
        record_property("without the service: not spread within [s]", round(run.seconds(), 1))


def test_isolated_made_and_removed(record_property):
    """While there is one the service names its CPUs and spreads hogs there; afterwards neither."""
    systemd.systemctl("start", "balancerd")
    assert stacks.unbalanced_cpus() == set()
    with stacks.partition() as arranged:
        stacks.wait_for_unbalanced(arranged.cpus)
        stacks.record(record_property, "isolated partition", stacks.spread_anew(arranged))
    stacks.wait_for_unbalanced(())
    with hogs.stacked(machine.Unbalanced(arranged.cpus)) as run:
        run.wait_until_spread()
        stacks.assert_left_alone(run)


@pytest.mark.long
def test_hogs_met_before_the_partition_is_known(record_property):
    """Stacked as soon as it is made, before the service has noticed anything."""
    systemd.systemctl("start", "balancerd")
    with stacks.partition() as arranged:
        found = stacks.spread_anew(arranged)
    stacks.record(record_property, "isolated partition, not yet noticed", found)


def test_partition_ends_around_its_hogs():
    """As a plain cpuset it is the kernel's to balance: the same hogs are moved no more."""
    systemd.systemctl("start", "balancerd")
    with stacks.partition() as arranged, hogs.stacked(arranged) as run:
        run.wait_until_spread()
        (arranged.cgroup / "cpuset.cpus.partition").write_text("member")
        stacks.wait_for_unbalanced(())
        n_moves = len(stacks.made_moves(run.told.tids()))
        stacks.wait_for_samples(1)
        assert len(stacks.made_moves(run.told.tids())) == n_moves


def test_root_partition_is_left_alone():
    """The kernel balances within it."""
    systemd.systemctl("start", "balancerd")
    with stacks.partition((2, 3, 4, 5), "root") as arranged, hogs.stacked(arranged) as run:
        run.wait_until_spread(4)
        stacks.assert_left_alone(run)
        assert stacks.unbalanced_cpus() == set()


@contextlib.contextmanager
def nested():
    """A root partition of 2 to 5, below it an isolated one of 2 and 3, and a cpuset of the others."""
    with stacks.partition((2, 3, 4, 5), "root") as outer:
        with (
            stacks.partition(parent=outer.cgroup, name="inner") as inner,
            stacks.partition((4, 5), "member", parent=outer.cgroup, name="rest") as rest,
        ):
            yield outer, inner, rest


@pytest.mark.long
def test_isolated_below_root():
    """Of nested partitions each is what it says: the inner one's hogs are spread, the others left."""
    systemd.systemctl("start", "balancerd")
    with nested() as (_outer, inner, rest):
        stacks.wait_for_unbalanced(inner.cpus)
        with hogs.stacked(rest) as run:
            stacks.spread_anew(inner)
            stacks.assert_left_alone(run)
    stacks.wait_for_unbalanced(())


@pytest.mark.long
def test_outer_partition_takes_the_cpus():
    """The inner one has none then, and its hogs go where the outer one's do: they are the kernel's."""
    systemd.systemctl("start", "balancerd")
    with nested() as (outer, inner, _rest), hogs.stacked(inner) as run:
        run.wait_until_spread()
        stacks.set_cpus(outer, (4, 5))
        stacks.wait_for_unbalanced(())
        run.wait_until_on({4, 5})
        assert stacks.masks(run.told.tids()) == [{4, 5}] * 4


NOT_REBUILT = "inapplicable: the kernel leaves CPUs that an isolated partition gives up without balancing"


@pytest.mark.long
def test_partition_narrowed_and_widened_around_its_hogs():
    """They are spread over the CPUs that it has, with masks of just these."""
    systemd.systemctl("start", "balancerd")
    with stacks.partition((2, 3, 4)) as arranged, hogs.stacked(arranged) as run:
        for cpus in ({2, 3, 4}, {2, 3}, {2, 3, 4}):
            stacks.set_cpus(arranged, cpus)
            if topology.domainless() != cpus:
                pytest.skip(NOT_REBUILT)
            stacks.wait_for_unbalanced(cpus)
            run.wait_until_on(cpus)
            assert stacks.masks(run.told.tids()) == [cpus] * 4


@pytest.mark.long
def test_partition_emptied():
    """Without processes its CPUs stay without balancing; without CPUs it is none."""
    systemd.systemctl("start", "balancerd")
    with stacks.partition() as arranged:
        stacks.spread_anew(arranged)
        stacks.wait_for_samples(1)
        assert stacks.unbalanced_cpus() == set(arranged.cpus)
        stacks.set_cpus(arranged, ())
        if topology.domainless():
            # With its end as a whole partition the kernel puts that right.
            stacks.set_cpus(arranged, arranged.cpus)
            pytest.skip(NOT_REBUILT)
        stacks.wait_for_unbalanced(())
