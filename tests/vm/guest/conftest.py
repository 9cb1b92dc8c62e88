# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures for the tests in a guest. Each begins and ends with a daemon that is not running."""

import pytest
from support import procfs

from vm.guest import systemd


@pytest.fixture(autouse=True)
def clean():
    """Nothing of one test reaches the next: the service is at rest, masks are what they were."""
    systemd.reset()
    before = procfs.masks()
    yield
    systemd.reset()
    changed = procfs.changed_threads(before, procfs.masks())
    # Of its own threads the kernel forgets the masks when a partition is made and removed.
    assert [one for one in changed if not procfs.is_kernel_thread(one[0])] == []


@pytest.fixture(scope="module")
def cpusets():
    """systemd has used them once: a kernel with isolcpus= does not keep its threads off these CPUs
    from then on."""
    systemd.run("systemd-run", "--quiet", "--scope", "--property=AllowedCPUs=0-7", "true")
