# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service killed amid a move: whatever systemd does afterwards, masks are given back."""

import pytest
from support import hogs

from vm.guest import stacks, systemd, tampering

MACHINES = ("trixie/isolated",)


class Killed:
    """A daemon that was killed with one hog narrow: `with Killed() as killed`."""

    def __enter__(self):
        systemd.systemctl("start", "balancerd")
        self.pid, self.since = systemd.main_pid(), systemd.cursor()
        with tampering.tampered(self.pid, "signal=SIGKILL", tampering.GIVING_BACK):
            self.hogs = hogs.stacked(stacks.isolated())
            systemd.wait_for(lambda: systemd.main_pid() != self.pid, "the daemon's death")
        return self

    def __exit__(self, *_exc):
        self.hogs.stop()

    def restored(self):
        """The first line that gave something back."""
        return systemd.told(self.since, "RESTORED", "BALANCERD_RESTORED=1")

    def assert_whole(self):
        tampering.assert_whole(self.hogs)


def test_with_a_restart_to_come():
    """The masks are back before the next daemon starts."""
    with Killed() as killed:
        after = systemd.wait_for_start(after=killed.pid)
        killed.assert_whole()
        assert killed.restored()["_PID"] != str(after)
        assert systemd.properties("NRestarts", "NFileDescriptorStore") == {
            "NRestarts": "1",
            "NFileDescriptorStore": "2",
        }


def test_without_a_restart_to_come():
    """ExecStopPost= is enough; the socket goes on, so who asks gets a daemon again."""
    with systemd.drop_in("[Service]\nRestart=no\n"), Killed() as killed:
        systemd.wait_for(lambda: systemd.shown("ActiveState") == "failed", "the end")
        assert killed.restored()["BALANCERD_FAILED"] == "0"
        killed.assert_whole()
        assert stacks.status()["pid"] == systemd.wait_for_start()


def test_too_many_restarts():
    """systemd gives up on both units, with the masks given back; a later start is as any other."""
    with systemd.drop_in("[Unit]\nStartLimitBurst=1\nStartLimitIntervalSec=1h\n"):
        with Killed() as killed:
            systemd.wait_for(lambda: systemd.shown("ActiveState") == "failed", "an end of restarts")
            killed.restored()
            killed.assert_whole()
        systemd.wait_for(lambda: systemd.shown("ActiveState", systemd.SOCKET) == "failed", "the socket's end")
        systemd.systemctl("reset-failed", systemd.SERVICE, systemd.SOCKET)
        systemd.systemctl("start", "balancerd")
        assert stacks.status()["pid"] == systemd.main_pid()


@pytest.mark.parametrize("lost", ["the command", "the ledger too"])
def test_the_next_daemon_gives_back(lost):
    """What ExecStopPost= could not, the next daemon does, by the ledger that systemd kept if need be."""
    with systemd.drop_in("[Service]\nExecStopPost=\nRestartSec=3s\n"), Killed() as killed:
        assert len(tampering.narrow(killed.hogs)) == 1
        if lost == "the ledger too":
            systemd.LEDGER.unlink()
        after = systemd.wait_for_start(after=killed.pid)
        killed.assert_whole()
        assert killed.restored()["_PID"] == str(after)
