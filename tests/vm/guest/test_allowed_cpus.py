# SPDX-License-Identifier: LGPL-2.1-or-later
"""AllowedCPUs= of a unit, changed by `systemctl set-property` around the hogs in it."""

import pytest
from support import hogs

from vm.guest import stacks, systemd

pytestmark = stacks.PATIENT
MACHINES = ("trixie/default", "trixie-rt/isolated")
SCOPE = "balancerd-tests.scope"
BOTH = {2, 3}


def in_scope(*properties):
    return ["systemd-run", "--quiet", "--scope", f"--unit={SCOPE}", *(f"--property={one}" for one in properties)]


@pytest.fixture(scope="module", autouse=True)
def cpusets():
    """systemd has used them once: a kernel with isolcpus= does not keep its threads off these CPUs
    from then on."""
    systemd.run(*in_scope("AllowedCPUs=0-7"), "true")


@pytest.fixture
def run():
    """Hogs on CPU 2 in a unit that may use 2 and 3 as well."""
    systemd.systemctl("start", "balancerd")
    with hogs.Hogs(threads=4, stack=2, every_msec=100, prefix=in_scope("AllowedCPUs=2-3")) as started:
        yield started


def allow(cpus):
    systemd.systemctl("set-property", "--runtime", SCOPE, f"AllowedCPUs={cpus}")


def test_narrowed_and_widened(run):
    """Each time the hogs are spread by whom these CPUs belong to, the kernel or the service, and have
    the masks that the unit has for them."""
    isolated = stacks.unbalanced_cpus() == BOTH
    tids, n_moves = run.told.tids(), 0
    for _time in range(2):
        run.wait_until_on(BOTH)
        stacks.wait_for_samples(1)
        assert (len(stacks.made_moves(tids)) > n_moves) == isolated
        assert stacks.masks(tids) == [BOTH] * len(tids)
        allow("2")
        run.wait_until_on({2})
        assert stacks.masks(tids) == [{2}] * len(tids)
        n_moves = len(stacks.made_moves(tids))
        allow("2-3")
