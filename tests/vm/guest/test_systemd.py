# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service under systemd as process 1: start, readiness, reload, stop, watchdog."""

import os
import signal

import pytest
from support import balancectl, procfs

from vm.guest import stacks, systemd, tampering

MACHINES = ("bookworm/isolated", "trixie/isolated")

CAP_NET_ADMIN, CAP_SYS_NICE = 1 << 12, 1 << 23
WATCHDOG_SEC = 6  # of the test; the shipped one is longer than it could wait


def test_it_starts_on_a_fresh_install():
    """It is ready when systemctl comes back, and says so where `systemctl status` shows it."""
    systemd.systemctl("start", "balancerd")
    assert systemd.shown("ActiveState") == "active"
    pid = systemd.main_pid()
    assert procfs.comm(pid) == "balancerd"
    assert stacks.status()["pid"] == pid
    assert systemd.shown("StatusText").endswith(" threads, CPUs without kernel balancing: 2-3")
    # Its listener and its ledger.
    assert systemd.shown("NFileDescriptorStore") == "2"


def test_it_runs_as_its_user_with_two_capabilities():
    """Of these it gives up the one that it needs but once."""
    systemd.systemctl("start", "balancerd")
    status = systemd.status_of(systemd.main_pid())
    user = systemd.run("id", "-u", "balancerd").strip()
    assert status["Uid"].split() == status["Gid"].split() == [user] * 4
    assert status["Groups"].split() == [user]
    assert int(status["CapBnd"], 16) == CAP_NET_ADMIN | CAP_SYS_NICE
    for key in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert int(status[key], 16) == CAP_SYS_NICE, key


def test_enabled_and_disabled_as_readme_says():
    """enable --now starts both units now and at boot; disable --now leaves nobody listening."""
    units = (systemd.SERVICE, systemd.SOCKET)
    systemd.systemctl("enable", "--now", "balancerd")
    assert systemd.systemctl("is-enabled", *units).split() == ["enabled"] * 2
    assert systemd.systemctl("is-active", *units).split() == ["active"] * 2
    assert stacks.status()["pid"] == systemd.main_pid()
    systemd.systemctl("disable", "--now", "balancerd")
    assert systemd.systemctl("is-enabled", *units, check=False).split() == ["disabled"] * 2
    assert systemd.systemctl("is-active", *units, check=False).split() == ["inactive"] * 2
    done = balancectl.run(None, "status")
    assert done.returncode != 0
    assert "balancerd does not run" in done.stderr
    assert systemd.systemctl("is-active", *units, check=False).split() == ["inactive"] * 2


def test_reload():
    """It changes settings, or fails with the reason, and the daemon goes on with those that it had."""
    with systemd.configured() as write:
        systemd.systemctl("start", "balancerd")
        pid, since = systemd.main_pid(), systemd.cursor()
        write({"observe": "all"})
        systemd.systemctl("reload", "balancerd")
        assert systemd.told(since, "CONFIGURATION_LOADED")["MESSAGE"] == "configuration read again: observe own -> all"
        write({"observe": "none"})
        systemd.systemctl("reload", "balancerd", check=False)
        assert systemd.properties("ActiveState", "ReloadResult") == {
            "ActiveState": "active",
            "ReloadResult": "exit-code",
        }
        assert systemd.shown("StatusText").endswith("; the last reload was refused")
        why = f"{systemd.CONFIGURATION}: /observe: expected own or all"
        # The daemon's own line, and what systemctl ran.
        told = [one["_COMM"] for one in systemd.entries(since) if one["MESSAGE"] == why]
        assert sorted(told) == ["balancectl", "balancerd"]
        write({"observe": "own"})
        systemd.systemctl("reload", "balancerd")
        assert "refused" not in systemd.shown("StatusText")
        assert systemd.main_pid() == stacks.status()["pid"] == pid


def test_stop_amid_moves_gives_back():
    """A thread is narrow when systemctl is called, and is not when it comes back."""
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    with tampering.stopped_amid_a_move(pid) as run:
        # systemd has it go on together with SIGTERM.
        systemd.systemctl("stop", "balancerd")
        tampering.assert_whole(run)
    assert systemd.properties("ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}


def was_fed():
    """Whether the watchdog got something in the time since the service was ready."""
    now = systemd.properties("WatchdogTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    return int(now["WatchdogTimestampMonotonic"]) - int(now["ActiveEnterTimestampMonotonic"]) > 1e6


def test_the_watchdog_restarts_what_stands_still():
    """Caught with a thread narrow; it is whole afterwards, and the journal tells what happened."""
    with systemd.drop_in(f"[Service]\nWatchdogSec={WATCHDOG_SEC}s\n"):
        systemd.systemctl("start", "balancerd")
        pid, since = systemd.main_pid(), systemd.cursor()
        systemd.wait_for(was_fed, "food for the watchdog")
        with tampering.stopped_amid_a_move(pid) as run:
            after = systemd.wait_for_start(after=pid)
            tampering.assert_whole(run)
    messages = [one["MESSAGE"] for one in systemd.entries(since, "_PID=1", f"UNIT={systemd.SERVICE}")]
    assert f"balancerd.service: Watchdog timeout (limit {WATCHDOG_SEC}s)!" in messages
    assert "balancerd.service: Failed with result 'watchdog'." in messages
    # By the daemon itself, perhaps: systemd's SIGABRT comes with a SIGCONT, which lets it go on for a moment.
    assert systemd.told(since, "RESTORED")["_PID"] not in (str(pid), str(after))


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=lambda one: one.name)
def test_signals_by_hand(number):
    """SIGHUP is a reload that systemd sees; SIGINT an end in order, after which nothing is restarted."""
    systemd.systemctl("start", "balancerd")
    pid, since = systemd.main_pid(), systemd.cursor()
    os.kill(pid, number)
    if number == signal.SIGHUP:
        systemd.told(since, "CONFIGURATION_LOADED")
        assert systemd.wait_for_start() == pid
    else:
        systemd.wait_for(lambda: systemd.shown("SubState") == "dead", "an end")
        assert systemd.properties("Result", "NRestarts") == {"Result": "success", "NRestarts": "0"}
