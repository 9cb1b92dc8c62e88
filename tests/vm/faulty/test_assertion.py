# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every verdict that a test can come to by itself, for the bench's own tests."""

import pytest


def test_passes(record_property):
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        record_property("boot", file.read().strip())


def test_fails():
    print("printed before")
    assert [1, 2] == [1, 3]


def test_skips():
    pytest.skip("for no good reason")


def test_does_not_apply():
    pytest.skip("inapplicable: there is nothing of the kind")


@pytest.mark.inapplicable("said by the marker")
def test_does_not_apply_by_its_marker():
    raise AssertionError("it has run")


@pytest.fixture
def broken_afterwards():
    yield
    raise OSError("in the fixture")


def test_fails_afterwards(broken_afterwards):
    pass
