# SPDX-License-Identifier: LGPL-2.1-or-later
"""What comes after tests that took their guest with them."""


def test_still_runs(record_property):
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        record_property("boot", file.read().strip())
