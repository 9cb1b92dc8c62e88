# SPDX-License-Identifier: LGPL-2.1-or-later
"""Scheduling domains that the kernel makes anew under the running service."""

from vm.guest import stacks, systemd, topology

MACHINES = ("bookworm/default",)
pytestmark = stacks.PATIENT


def wait_for_domains():
    """Waits until the service says what the kernel says; returns that."""
    stacks.wait_for(lambda: stacks.unbalanced_cpus() == topology.domainless(), "the kernel's domains")
    return stacks.unbalanced_cpus()


def test_partitions_come_and_go():
    """Isolated ones are unbalanced, root ones balanced, but for those of a single CPU."""
    systemd.systemctl("start", "balancerd")
    assert stacks.unbalanced_cpus() == topology.domainless() == set()
    with stacks.partition((5, 6)), stacks.partition((7,), name="balancerd-tests-2"):
        assert wait_for_domains() == {5, 6, 7}
    assert wait_for_domains() == set()
    with stacks.partition((4, 5), "root"), stacks.partition((7,), "root", name="balancerd-tests-2"):
        assert wait_for_domains() == {7}
    assert wait_for_domains() == set()
