# SPDX-License-Identifier: LGPL-2.1-or-later
"""The units under systemd as process 1."""

from support import procfs

from vm.guest import systemd


def test_it_starts_on_a_fresh_install(record_property):
    """It is ready when systemctl comes back, as its own user."""
    systemd.systemctl("start", "balancerd")
    assert systemd.shown("ActiveState") == "active"
    assert procfs.comm(systemd.main_pid()) == "balancerd"
    assert systemd.run("ps", "-o", "user=", "-p", str(systemd.main_pid())).strip() == "balancerd"
    record_property("security", systemd.run("systemd-analyze", "security", "balancerd", check=False).splitlines()[-1])
