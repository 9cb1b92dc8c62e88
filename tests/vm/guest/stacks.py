# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hogs stacked where the guest's kernel does not balance, and what the running service says of them.

`with hogs.stacked(stacks.isolated()) as run: run.wait_until_spread()`; for the figures of a stack
that is spread, spread().
"""

import os
from collections import namedtuple

import pytest
from support import hogs, machine, procfs, varlink

from vm.guest import systemd, topology

SOCKET = "/run/balancerd/io.balancerd"

# For tests that wait so: `pytestmark = stacks.PATIENT`.
PATIENCE_SEC = 180
PATIENT = pytest.mark.limit(3 * PATIENCE_SEC)

# How often hogs report: with it grows what figures have too much.
EVERY_MSEC = 50


def connect(check=None):
    """A connection to the service."""
    return varlink.Client.connect(SOCKET, check)


def status():
    """How the service is, as GetStatus tells."""
    with connect() as client:
        return client.call("io.balancerd.GetStatus")


def cpus():
    """{cpu: what the service says of it}"""
    with connect() as client:
        return {reply["cpu"]["cpu"]: reply["cpu"] for reply in client.more("io.balancerd.ListCpus")}


def thread(tid):
    """What the service says of a thread."""
    with connect() as client:
        (reply,) = client.more("io.balancerd.ListThreads", {"tid": tid})
        return reply["thread"]


def unbalanced_cpus():
    """CPUs that the kernel does not balance, as the service says."""
    return procfs.parse_list(status()["unbalancedCpus"])


def wait_for(condition, what):
    """For what takes the service some looks at the machine. In a guest each costs it so much, and more
    so while others are busy on the host, that it may pause for long before the next; it is asked
    seldom, for that costs as well."""
    return systemd.wait_for(condition, what, PATIENCE_SEC, every=0.5)


def wait_for_samples(count):
    """Until the service has looked at the machine so many times more."""
    wanted = status()["samples"] + count
    wait_for(lambda: status()["samples"] >= wanted, f"{count} samples")


def wait_for_unbalanced(cpus):
    """Until the service names these CPUs, and no others."""
    wait_for(lambda: unbalanced_cpus() == set(cpus), f"{cpus} without kernel balancing")


def moves(tids, result):
    """The moves of these threads that ended so, as the service lists them, the oldest first."""
    with connect() as client:
        try:
            replies = [reply["decision"] for reply in client.more("io.balancerd.ListDecisions")]
        except varlink.Refused as refused:
            assert refused.error == "io.balancerd.NoDecisions", refused
            return []
    return [one for one in replies if one["tid"] in tids and one.get("result") == result]


def made_moves(tids):
    return moves(tids, "moved")


def refused_moves(tids):
    return moves(tids, "denied")


def isolated():
    """CPUs isolated at boot (on the machines `isolated` and `nohz`), as machine.Unbalanced."""
    return machine.Unbalanced(tuple(sorted(topology.listed("isolated"))), how="isolcpus")


def partition(cpus=(2, 3), kind="isolated", parent=None, **options):
    """`with partition() as arranged`: a cgroup that is removed afterwards, see machine.partition()."""
    return machine.partition(parent or machine.v2_root(), cpus, kind, **options)


def set_cpus(arranged, cpus):
    """Gives the cgroup other CPUs."""
    (arranged.cgroup / "cpuset.cpus").write_text(",".join(map(str, cpus)) + "\n")


# SAMPLES: that the service took from before the hogs were started until they told that they are
# spread. USEC: from their start until they were, by their own account. MOVES: of hogs, until then.
Spread = namedtuple("Spread", "samples usec moves")


def spread(run, before):
    """Waits until the stacked hogs are spread; BEFORE is the service's status before their start."""
    usec = run.wait_until_spread()
    samples = status()["samples"] - before["samples"]
    return Spread(samples, usec, len(made_moves(run.told.tids())))


def spread_anew(arranged):
    """Stacks hogs under the running service and waits until they are spread, and have their masks."""
    before = status()
    with hogs.stacked(arranged, every_msec=EVERY_MSEC) as run:
        found = spread(run, before)
        # One that tells where it is may still be on its way: a move takes long here.
        wait_for(lambda: masks(run.masks()) == whole_masks(run, arranged), "whole masks")
    return found


def assert_left_alone(run, samples=1):
    """The service looks on and moves none of the hogs."""
    wait_for_samples(samples)
    assert made_moves(run.told.tids()) == []


def watch_stacked(run, ticks=20):
    """Looks on for so many reports of the hogs. Returns whether they all stayed where they began."""
    run.wait_for_ticks(run.n_ticks() + ticks)
    return all(len(run.told.cpus_of(tid)) == 1 for tid in run.told.tids())


def masks(tids):
    """The mask of each, as sets of CPUs."""
    return [os.sched_getaffinity(tid) for tid in tids]


def whole_masks(run, arranged):
    """The same of all hogs, and their parent, where they may run on what was arranged for them."""
    return [set(arranged.cpus)] * (run.n_hogs + 1)


def own_masks():
    """{name: mask} of the threads of the service itself."""
    return {procfs.comm(tid): os.sched_getaffinity(tid) for tid in procfs.threads_of(systemd.main_pid())}


def record(record_property, how, found):
    """For the table: what SPREAD came to."""
    record_property(f"{how}: ticks until spread, at most", found.samples)
    record_property(f"{how}: moves until spread", found.moves)
    record_property(f"{how}: time until spread [ms]", round(found.usec / 1000))
