# SPDX-License-Identifier: LGPL-2.1-or-later
"""A kernel that panics in the middle of a test."""

from pathlib import Path


def test_panics():
    Path("/proc/sysrq-trigger").write_text("c", encoding="ascii")
