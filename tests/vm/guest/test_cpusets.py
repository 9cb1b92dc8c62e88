# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cpusets that change under held threads.

Until Linux 6.1 a cpuset's change overwrites the masks of its threads. From 6.2 on the kernel knows
what was asked for, and gives the part of it that the cpuset allows, or all of the cpuset where that
is nothing.
"""

import os

import pytest
from support import hogs, kills, machine

from vm.guest import stacks

MACHINES = ("bookworm/default", "trixie/default")
KNOWS_WISHES = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 2)
CPUSET = {2, 3, 4, 5, 6}
ALL = set(range(8))
PART = {2, 3, 4}


def kernel_gives(wish, cpuset):
    """The mask of a thread that WISH was last set for, after a change to CPUSET."""
    return (wish & cpuset if KNOWS_WISHES else None) or cpuset


class Pair:
    """Two busy processes in a cpuset, one held and one free, of the same mask chosen."""

    def __init__(self, folder, arranged, choice):
        self.folder, self.arranged, self.choice = folder, arranged, choice
        self.run = hogs.Hogs(processes=2, preexec=hogs.confine(choice, arranged))
        self.held, self.free = self.run.told.tids()
        self.hold = kills.Hold(folder, self.held)
        self.cpu = self.hold.cpus[self.held]

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.hold.__exit__()
        self.run.stop()

    def masks(self):
        """Of the held one, of the free one."""
        return os.sched_getaffinity(self.held), os.sched_getaffinity(self.free)

    def give_back(self, how="release"):
        if how == "release":
            self.hold.release()
        else:
            self.hold.kill()
            tally = kills.Tally()
            tally.restore(self.folder)
            assert tally.restored["failed"] == 0


# Who gives back: the one who held, or, when that was killed, `balancerd --restore`.
either_way = pytest.mark.parametrize("how", ["release", "restore"])


@pytest.fixture(params=[PART, CPUSET], ids=["part", "whole"])
def pair(request, tmp_path):
    """In a cgroup of CPUSET: some, or all, of its CPUs were chosen."""
    with stacks.partition(CPUSET, "member") as arranged, Pair(tmp_path, arranged, request.param) as made:
        yield made


def test_narrowed_beside_the_held_cpu(pair):
    """A CPU goes that was chosen, not the one held: nobody can tell that there was a hold."""
    left = CPUSET - {min(pair.choice - {pair.cpu})}
    stacks.set_cpus(pair.arranged, left)
    assert pair.masks() == (kernel_gives({pair.cpu}, left), kernel_gives(pair.choice, left))
    pair.give_back()
    assert pair.masks() == (kernel_gives(pair.choice, left),) * 2
    stacks.set_cpus(pair.arranged, CPUSET)
    assert pair.masks() == (kernel_gives(pair.choice, CPUSET),) * 2


@either_way
def test_narrowed_around_the_held_cpu(pair, how):
    """The CPU goes that the thread is held on: the kernel lets it run on all of the cpuset, and its
    owner's choice comes back with the hold's end."""
    left = CPUSET - {pair.cpu}
    stacks.set_cpus(pair.arranged, left)
    assert pair.masks() == (left, kernel_gives(pair.choice, left))
    pair.give_back(how)
    assert pair.masks() == (pair.choice & left, kernel_gives(pair.choice, left))
    stacks.set_cpus(pair.arranged, CPUSET)
    assert pair.masks() == (kernel_gives(pair.choice, CPUSET),) * 2


def test_narrowed_and_widened_around_the_held_cpu(pair):
    """Both before the end: with wishes known the thread is held again, else it is the cpuset's."""
    stacks.set_cpus(pair.arranged, CPUSET - {pair.cpu})
    stacks.set_cpus(pair.arranged, CPUSET)
    assert pair.masks() == (kernel_gives({pair.cpu}, CPUSET), kernel_gives(pair.choice, CPUSET))
    pair.give_back()
    assert pair.masks() == (kernel_gives(pair.choice, CPUSET),) * 2


@either_way
def test_nothing_left_of_the_choice(pair, how):
    """All chosen CPUs go: the thread has what its cpuset has, later too, as the manual says."""
    left = {0, 1}
    stacks.set_cpus(pair.arranged, left)
    pair.give_back(how)
    assert pair.masks() == (left, left)
    stacks.set_cpus(pair.arranged, CPUSET)
    assert pair.masks() == (CPUSET, kernel_gives(pair.choice, CPUSET))


def test_widened_under_a_held_thread(pair):
    """What was all of the cpuset stays so, as the manual says; another choice is what it was."""
    stacks.set_cpus(pair.arranged, ALL)
    assert pair.masks() == (kernel_gives({pair.cpu}, ALL), kernel_gives(pair.choice, ALL))
    pair.give_back()
    assert pair.masks()[0] == (ALL if pair.choice == CPUSET else kernel_gives(pair.choice, ALL))


@either_way
def test_cgroup_deleted_under_a_held_thread(pair, how):
    """Its threads are taken out of it first, and are in another cpuset then."""
    for pid in (pair.arranged.cgroup / "cgroup.procs").read_text().split():
        (machine.v2_root() / "cgroup.procs").write_text(pid)
    pair.arranged.cgroup.rmdir()
    assert pair.masks() == (kernel_gives({pair.cpu}, ALL), kernel_gives(pair.choice, ALL))
    pair.give_back(how)
    assert pair.masks()[0] == (ALL if pair.choice == CPUSET else kernel_gives(pair.choice, ALL))


def test_an_owner_who_sets_a_mask_is_obeyed(pair):
    """Whatever it is: the hold has ended with it."""
    os.sched_setaffinity(pair.held, {4, 6})
    pair.give_back()
    assert pair.masks()[0] == {4, 6}
