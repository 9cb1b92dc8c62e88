# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the service takes a machine for, and over which of its CPUs it spreads hogs first."""

import os

import pytest
from support import hogs, procfs

from vm.guest import stacks, systemd, topology

MACHINES = ("trixie/default", "trixie-rt/sixteen", "bookworm/flat")

# Nodes, cores and CPUs online: what the tests are to have been run on.
SHAPES = {"default": (2, 4, 8), "sixteen": (2, 8, 16), "flat": (1, 4, 4)}

NEVER = {"balance": {"acrossNodes": "never"}}

pytestmark = stacks.PATIENT


def test_the_machine_is_what_its_name_says():
    """As /sys has it; or what follows would be about another machine."""
    assert topology.shape() == SHAPES[os.environ["BALANCERD_MACHINE"]]


def test_cpus_are_what_the_kernel_says():
    systemd.systemctl("start", "balancerd")
    cpus = stacks.cpus()
    topology.assert_is_told(cpus)
    assert all(cpu["balanced"] for cpu in cpus.values())


def test_status_knows_all_sources():
    """The kernel has each, and the service may use it, but for taskstats, which is asked for only if set."""
    systemd.systemctl("start", "balancerd")
    status = stacks.status()
    assert procfs.parse_list(status["onlineCpus"]) == topology.listed("online")
    assert status["unbalancedCpus"] == ""
    assert status["missingSources"] == []


def test_balancectl_shows_each_cpu_once():
    systemd.systemctl("start", "balancerd")
    rows = [line.split() for line in systemd.run("balancectl", "cpus").splitlines()[1:]]
    assert [int(row[0]) for row in rows] == sorted(topology.listed("online"))
    assert {row[-1] for row in rows} == {"kernel"}


def parts():
    """(some CPUs of the first node, all of the last): what partitions are made of. On one node: (none, all
    but the first)."""
    first, *_others, last = *topology.nodes(), topology.nodes()[-1]
    if first == last:
        return set(), last - {min(last)}
    return topology.core(max(first)), last


def stacked(arranged, near, n_hogs):
    return hogs.stacked(arranged, stack=min(near), threads=n_hogs)


def n_cores(cpus):
    return len(topology.groups(topology.core, cpus))


def test_cores_come_before_siblings():
    """As many hogs as a node has cores get one each; as many as it has CPUs, one each of these; the node's
    siblings are taken before another node."""
    far, near = parts()
    with systemd.configured(NEVER), stacks.partition(far | near) as arranged:
        systemd.systemctl("start", "balancerd")
        with stacked(arranged, near, n_cores(near)) as run:
            run.wait_until(lambda cpus: n_cores(cpus) == n_cores(near))
        with stacked(arranged, near, len(near)) as run:
            run.wait_until_on(near)
            assert {change.cpu for change in run.told.changes} <= near


@pytest.mark.long
def test_memory_is_left_by_those_only_who_keep_waiting():
    """balance.acrossNodes: "never" keeps hogs on their crowded node; "stuck", the default, does not."""
    far, near = (topology.core(max(cpus)) for cpus in (topology.nodes()[0], topology.nodes()[-1]))
    if far == near:
        pytest.skip("inapplicable: one node")
    with systemd.configured(NEVER) as configure, stacks.partition(far | near) as arranged:
        systemd.systemctl("start", "balancerd")
        with stacked(arranged, near, len(far | near)) as run:
            run.wait_until_on(near)
            stacks.wait_for_samples(3)
            run.wait_for_ticks(run.n_ticks() + 1)
            assert {change.cpu for change in run.told.changes} == near
            configure({})
            systemd.systemctl("reload", "balancerd")
            run.wait_until(lambda cpus: cpus & far)
