# SPDX-License-Identifier: LGPL-2.1-or-later
"""A test that does not come to its end, and one with which the whole guest stands still."""

import os
import time
from pathlib import Path

import pytest


@pytest.mark.limit(3)
def test_sleeps():
    time.sleep(1000)


def spin(cpu):
    """A child that leaves nothing of a CPU to any other thread."""
    if os.fork() == 0:
        os.sched_setaffinity(0, {cpu})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
        while True:
            pass


@pytest.mark.limit(3)
def test_starves_the_guest():
    Path("/proc/sys/kernel/sched_rt_runtime_us").write_text("-1", encoding="ascii")
    # The parent comes last: it starts the others.
    for cpu in sorted(os.sched_getaffinity(0) - {0}) + [0]:
        spin(cpu)
    time.sleep(1000)
