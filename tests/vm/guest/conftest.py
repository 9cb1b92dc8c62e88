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
    assert procfs.changed_masks(before, procfs.masks()) == []
