# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon tells reaches the journal with its fields, and `journalctl -x` explains it."""

import contextlib
import os
import resource
import signal
from pathlib import Path

from support import hogs, journald

from vm.guest import stacks, systemd, tampering

MACHINES = ("bookworm/isolated",)


def test_start_and_end():
    since = systemd.cursor()
    with systemd.configured():
        systemd.systemctl("start", "balancerd")
        pid = systemd.main_pid()
        systemd.systemctl("stop", "balancerd")
    loaded = systemd.told(since, "CONFIGURATION_LOADED")
    assert loaded["MESSAGE"] == "configuration read: every setting has its default"
    ready = systemd.told(since, "READY")
    assert (ready["_PID"], ready["BALANCERD_UNBALANCED_CPUS"]) == (str(pid), "2-3")
    assert ready["MESSAGE"].startswith(f"ready: {ready['BALANCERD_THREADS']} threads, ")
    assert systemd.told(since, "ENDING")["BALANCERD_SIGNAL"] == "SIGTERM"
    # Of ExecStopPost=.
    restored = systemd.told(since, "RESTORED")
    assert (restored["BALANCERD_RESTORED"], restored["_PID"] == str(pid)) == ("0", False)


def test_moves_and_settings():
    since = systemd.cursor()
    with systemd.configured() as write:
        systemd.systemctl("start", "balancerd")
        with hogs.stacked(stacks.isolated()) as run:
            moved = systemd.told(since, "MOVED")
            assert journald.assert_fields_of_move(moved).tid in run.told.tids()
            assert (moved["BALANCERD_COMM"], moved["BALANCERD_PID"]) == ("hog", str(run.process.pid))
        write('{"balance": {"tick": 20}}')
        systemd.systemctl("reload", "balancerd", check=False)
        refused = systemd.told(since, "CONFIGURATION_REFUSED")
        assert refused["BALANCERD_FILE"] == str(systemd.CONFIGURATION)
        assert refused["BALANCERD_POINTER"] == "/balance/tick"
        assert refused["BALANCERD_EXPECTED"] in refused["MESSAGE"]


def test_clients():
    """One that speaks no Varlink, and those that there are no descriptors for."""
    since = systemd.cursor()
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    with stacks.connect() as one:
        one.raw.send(b"garbage\0")
        dropped = systemd.told(since, "CLIENT_DROPPED")
        assert dropped["BALANCERD_PID"] == dropped["OBJECT_PID"] == str(os.getpid())
        assert dropped["BALANCERD_LIMIT"]
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
    with contextlib.ExitStack() as stack:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        waiting = [stack.enter_context(stacks.connect()) for _ in range(16)]
        assert systemd.told(since, "CLIENTS_WAIT")["BALANCERD_ERROR"] == "EMFILE"
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        assert waiting[-1].call("io.balancerd.GetStatus")["pid"] == pid


def test_moves_that_are_not_made():
    """The kernel says no; the kernel takes its time; somebody else sets the mask meanwhile."""
    since = systemd.cursor()
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    with tampering.tampered(pid, "error=EINVAL", tampering.NARROWING), hogs.stacked(stacks.isolated()):
        failed = systemd.told(since, "MOVE_FAILED")
        assert (failed["BALANCERD_RESULT"], failed["BALANCERD_ERROR"]) == ("invalid", "EINVAL")
    systemd.systemctl("restart", "balancerd")
    pid = systemd.main_pid()
    with tampering.tampered(pid, "delay_exit=60000000", tampering.NARROWING), hogs.stacked(stacks.isolated()):
        systemd.told(since, "STUCK")
    systemd.systemctl("restart", "balancerd")
    pid = systemd.main_pid()
    with tampering.stopped_amid_a_move(pid) as run:
        (tid,) = tampering.narrow(run)
        os.sched_setaffinity(tid, {0})
        os.kill(pid, signal.SIGCONT)
        foreign = systemd.told(since, "FOREIGN")
        assert (foreign["BALANCERD_TID"], foreign["BALANCERD_AFFINITY"]) == (str(tid), "0")
        assert os.sched_getaffinity(tid) == {0}


def test_observing():
    """What would be moved, and the source that is missing for want of a capability."""
    since = systemd.cursor()
    unit = "[Service]\nExecStart=\nExecStart=/usr/local/sbin/balancerd --observe --set taskstats=on\n"
    with systemd.drop_in(unit + "CapabilityBoundingSet=CAP_SYS_NICE\nAmbientCapabilities=\n"):
        systemd.systemctl("start", "balancerd")
        with hogs.stacked(stacks.isolated()) as run:
            would = systemd.told(since, "WOULD_MOVE")
            assert int(would["BALANCERD_TID"]) in run.told.tids()
            assert "BALANCERD_RESULT" not in would
        assert "taskstats" in [one["BALANCERD_SOURCE"] for one in systemd.entries(since, journald.by_id("MISSING"))]
        systemd.told(since, "MISSING")


def test_a_journal_that_stands_still():
    """It loses lines, stops nobody, and is told how many it lost."""
    systemd.systemctl("start", "balancerd")
    pid, since = systemd.main_pid(), systemd.cursor()
    journal_pid = int(systemd.shown("MainPID", "systemd-journald.service"))
    with stacks.connect() as one:
        os.kill(journal_pid, signal.SIGSTOP)
        try:
            # More than the socket of the journal holds.
            for _ in range(int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 200):
                os.kill(pid, signal.SIGUSR1)
                one.call("org.varlink.service.GetInfo")
        finally:
            os.kill(journal_pid, signal.SIGCONT)

        def is_told():
            os.kill(pid, signal.SIGUSR1)  # with the next line that the journal takes
            return systemd.entries(since, journald.by_id("DROPPED"))

        systemd.wait_for(is_told, "what was lost")
        assert int(systemd.told(since, "DROPPED")["BALANCERD_DROPPED"]) > 0
