# SPDX-License-Identifier: LGPL-2.1-or-later
"""AllowedCPUs= of a unit, changed by `systemctl set-property` around the hogs in it."""

import pytest
from support import hogs

from vm.guest import stacks, systemd

pytestmark = [stacks.PATIENT, pytest.mark.usefixtures("cpusets")]
MACHINES = ("bookworm/isolated", "trixie/default", "trixie-rt/isolated")
SCOPE = "balancerd-tests.scope"
SLICE = "balancerdtests.slice"
BOTH = {2, 3}
ALL = set(range(8))


def in_scope(*properties):
    return ["systemd-run", "--quiet", "--scope", f"--unit={SCOPE}", *(f"--property={one}" for one in properties)]


@pytest.fixture
def run():
    """Hogs on CPU 2 in a unit that may use 2 and 3 as well."""
    systemd.systemctl("start", "balancerd")
    with hogs.Hogs(threads=4, stack=2, every_msec=100, prefix=in_scope("AllowedCPUs=2-3")) as started:
        yield started


def allow(cpus, unit=SCOPE):
    systemd.systemctl("set-property", "--runtime", unit, f"AllowedCPUs={cpus}")


@pytest.fixture
def own_slice():
    """The service runs in a slice of its own."""
    with systemd.drop_in(f"[Service]\nSlice={SLICE}\n"):
        systemd.systemctl("start", "balancerd")
        yield
        systemd.reset()
    systemd.systemctl("revert", SLICE)
    systemd.systemctl("stop", SLICE)


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


def test_the_service_stays_where_the_kernel_balances(own_slice):
    """Whatever CPUs its own slice is given: until Linux 6.1 the kernel writes all of them over its masks."""
    balanced = ALL - stacks.unbalanced_cpus()

    def wait_until_within(cpus):
        wanted = balanced & cpus
        stacks.wait_for(lambda: all(mask == wanted for mask in stacks.own_masks().values()), f"all on {wanted}")

    wait_until_within(ALL)
    allow("1-7", SLICE)
    wait_until_within(ALL - {0})
    allow("0-7", SLICE)
    wait_until_within(ALL)
