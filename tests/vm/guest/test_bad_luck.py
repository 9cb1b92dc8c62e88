# SPDX-License-Identifier: LGPL-2.1-or-later
"""What goes wrong around the service: it goes on with what it can, and no mask is lost."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from support import balancectl, hogs, journald, varlink

from vm.guest import stacks, systemd, tampering

MACHINES = ("bookworm/isolated",)

# One more than divides by the CPUs: they take turns, so that there are moves for as long as they run.
N_TAKING_TURNS = 3
YEAR_NSEC = 365 * 24 * 3600 * 10**9
LATELY_USEC = 600 * 10**6


def assert_balances():
    """New hogs are spread, and keep their masks."""
    stacks.spread_anew(stacks.isolated())


def taking_turns():
    return hogs.stacked(stacks.isolated(), threads=N_TAKING_TURNS)


def samples():
    return stacks.status()["samples"]


def wait_for_moves(run, n=1):
    """Waits until N moves of these hogs more were made."""
    goal = len(stacks.made_moves(run.told.tids())) + n
    stacks.wait_for(lambda: len(stacks.made_moves(run.told.tids())) >= goal, "more moves")


@contextlib.contextmanager
def killed_amid_a_move(pid):
    """The daemon PID is killed in its first move, with one of the hogs that are given narrow."""
    with tampering.stopped_amid_a_move(pid) as run:
        (tid,) = tampering.narrow(run)
        os.kill(pid, signal.SIGKILL)
        assert len(os.sched_getaffinity(tid)) == 1
        yield run


def wait_until_whole(run):
    systemd.wait_for(lambda: not tampering.narrow(run), "the masks")
    tampering.assert_whole(run)


# /run.


def fill(file):
    """Takes all space of the file's file system."""
    size = 1 << 26
    while size >= 4096:
        try:
            os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
        except OSError:
            size //= 4


@contextlib.contextmanager
def full_run():
    """No byte more can be written below /run."""
    path = Path("/run/full")
    with open(path, "wb") as file:
        try:
            fill(file)
            yield
        finally:
            path.unlink()


def test_run_is_full_before_the_first_start():
    """Without room for a ledger nothing is moved: the start fails and says why; later it works."""
    systemd.LEDGER.unlink(missing_ok=True)
    since = systemd.cursor()
    with full_run():
        systemd.systemctl("start", "balancerd", check=False)
        assert systemd.shown("ActiveState") != "active"
        said = {one["MESSAGE"] for one in systemd.entries(since, "_COMM=balancerd")}
        assert any("No space left on device" in line and "/run/balancerd" in line for line in said), said
        systemd.reset()
    systemd.systemctl("start", "balancerd")
    assert_balances()


def test_run_fills_up_while_it_runs():
    """The ledger has its room: it balances, is restarted, and gives back what a kill has left narrow."""
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    with full_run():
        with killed_amid_a_move(pid) as run:
            systemd.wait_for_start(after=pid)
            wait_until_whole(run)
        assert_balances()
        assert balancectl.run(None, "status").returncode == 0


# The journal.

JOURNAL_SOCKETS = ("systemd-journald.socket", "systemd-journald-dev-log.socket")
JOURNAL = ("systemd-journald.service", *JOURNAL_SOCKETS)


@contextlib.contextmanager
def no_journal():
    """Nobody reads what anybody logs, and nothing has the journal started again."""
    systemd.run("journalctl", "--sync")
    systemd.systemctl("mask", "--runtime", *JOURNAL)
    systemd.systemctl("stop", *JOURNAL)
    try:
        yield
    finally:
        systemd.systemctl("unmask", "--runtime", *JOURNAL)
        systemd.systemctl("start", *JOURNAL_SOCKETS, "systemd-journald.service")


def test_the_journal_is_gone():
    """Stopped amid moves, it stops nobody; when it is back it has how many lines it lost, and new ones."""
    systemd.systemctl("start", "balancerd")
    pid, since = systemd.main_pid(), systemd.cursor()
    with taking_turns() as run:
        wait_for_moves(run)
        with no_journal():
            wait_for_moves(run, 2)
            assert balancectl.run(None, "status").returncode == 0
        dropped = systemd.wait_for_entries(since, journald.by_id("DROPPED"))[0]
        assert int(dropped["BALANCERD_DROPPED"]) > 0
        systemd.wait_for_entries(dropped["__CURSOR"], journald.by_id("MOVED"))
    assert systemd.main_pid() == pid


# Descriptors.


def test_few_descriptors():
    """More clients than it may have descriptors: they wait, which is said once, and threads are balanced."""
    since = systemd.cursor()
    with systemd.drop_in("[Service]\nLimitNOFILE=64\n"):
        systemd.systemctl("start", "balancerd")
        pid = systemd.main_pid()
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(varlink.Raw.connect(stacks.SOCKET)) for _ in range(100)]
            systemd.wait_for_entries(since, journald.by_id("CLIENTS_WAIT"))
            with hogs.stacked(stacks.isolated()) as run:
                run.wait_until_spread()
            assert len(os.listdir(f"/proc/{pid}/fd")) <= 64 < len(waiting)
        assert stacks.status()["pid"] == pid
    assert len(systemd.entries(since, journald.by_id("CLIENTS_WAIT"))) == 1
    assert len(systemd.entries(since, "PRIORITY=4", "_COMM=balancerd")) <= 2


@contextlib.contextmanager
def no_files_left():
    """The machine has no descriptor left for anybody but root."""
    limit = Path("/proc/sys/fs/file-max")
    before = limit.read_text()
    limit.write_text("1")
    try:
        yield
    finally:
        limit.write_text(before)


@pytest.mark.long
def test_the_machine_has_no_descriptors():
    """It goes on with what it has open, says what it lacks once, and works when there are some again."""
    systemd.systemctl("start", "balancerd")
    pid, since = systemd.main_pid(), systemd.cursor()
    with taking_turns() as run, stacks.connect() as client:
        wait_for_moves(run)
        before = client.call("io.balancerd.GetStatus")["samples"]
        with no_files_left():
            stacks.wait_for(lambda: client.call("io.balancerd.GetStatus")["samples"] > before + 2, "samples")
        wait_for_moves(run)
    assert systemd.main_pid() == pid
    assert_balances()
    said = [one["MESSAGE"] for one in systemd.entries(since, "PRIORITY=4", "_COMM=balancerd")]
    assert len(said) == len(set(said)) <= 3, said


# The clock.


@contextlib.contextmanager
def clock_that_is_put_back():
    ahead = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    try:
        yield
    finally:
        time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_MONOTONIC) + ahead)


def times_of_decisions():
    with stacks.connect() as client:
        return [reply["decision"]["timeUSec"] for reply in client.more("io.balancerd.ListDecisions")]


def test_the_clock_is_set():
    """Far ahead and back behind the start: ticks and turns go on, nothing floods, history stays in order."""
    systemd.systemctl("start", "balancerd")
    pid, since = systemd.main_pid(), systemd.cursor()
    with taking_turns() as run, clock_that_is_put_back():
        wait_for_moves(run)
        for years in (10, -11, 1):
            now = time.clock_gettime_ns(time.CLOCK_REALTIME)
            time.clock_settime_ns(time.CLOCK_REALTIME, now + years * YEAR_NSEC)
            before = samples()
            wait_for_moves(run)
            assert samples() > before
            times = times_of_decisions()
            assert times == sorted(times)
            assert abs(times[-1] - time.time_ns() // 1000) < LATELY_USEC
            assert abs(stacks.status()["startedUSec"] - times[-1]) < LATELY_USEC
    assert systemd.main_pid() == pid
    said = systemd.entries(since, "_COMM=balancerd")
    moves = [one for one in said if one.get("MESSAGE_ID") == journald.by_id("MOVED").partition("=")[2]]
    assert len(said) - len(moves) < 10, [one["MESSAGE"] for one in said if one not in moves]


# Its user.

PASSWD, GROUP = Path("/etc/passwd"), Path("/etc/group")


@contextlib.contextmanager
def users_file(path, edit):
    """Each line of a file like passwd(5) is what EDIT makes of it; None: it is gone."""
    before = path.read_text(encoding="utf-8")
    lines = map(edit, before.splitlines(keepends=True))
    path.write_text("".join(line for line in lines if line is not None), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


@contextlib.contextmanager
def no_user():
    """Nobody is called balancerd."""

    def drop(line):
        return None if line.startswith("balancerd:") else line

    with users_file(PASSWD, drop), users_file(GROUP, drop):
        yield


@contextlib.contextmanager
def another_user():
    """The user was made anew, under another number."""

    def renumber(line):
        fields = line.split(":")
        if fields[0] == "balancerd":
            fields[2] = "4711"
        return ":".join(fields)

    with users_file(PASSWD, renumber), users_file(GROUP, renumber):
        yield


def test_its_user_is_deleted():
    """It goes on, and ends in order."""
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    with no_user():
        assert_balances()
        assert stacks.status()["pid"] == pid
        systemd.systemctl("stop", "balancerd", check=False)


@pytest.mark.long
def test_killed_while_its_user_is_deleted():
    """It cannot start, and nothing is given back until there is a user, of whatever number: then all is."""
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    with contextlib.ExitStack() as stack:
        with no_user():
            run = stack.enter_context(killed_amid_a_move(pid))
            systemd.wait_for(lambda: int(systemd.shown("NRestarts")) > 1, "a start that failed")
            assert tampering.narrow(run)
        with another_user():
            systemd.reset()
            systemd.systemctl("start", "balancerd")
            tampering.assert_whole(run)
            assert_balances()
            systemd.reset()
    systemd.systemctl("start", "balancerd")
    assert_balances()


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_all_processes_of_its_user_are_ended(number):
    """SIGTERM is an end in order; after SIGKILL it is started again."""
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    with hogs.stacked(stacks.isolated()) as run:
        run.wait_until_spread()
        systemd.run("pkill", f"-{number.value}", "-u", "balancerd")
        if number == signal.SIGTERM:
            systemd.wait_for(lambda: systemd.shown("ActiveState") == "inactive", "the end")
            assert systemd.shown("Result") == "success"
        else:
            systemd.wait_for_start(after=pid)
        wait_until_whole(run)


# SIGSTOP.


@pytest.mark.long
def test_stopped_for_long_and_continued():
    """Clients wait and are answered; the thread that it was about to move has its mask back at once."""
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    with tampering.stopped_amid_a_move(pid) as run, stacks.connect() as client:
        client.send("io.balancerd.GetStatus")
        run.wait_for_ticks(50)
        assert len(tampering.narrow(run)) == 1
        os.kill(pid, signal.SIGCONT)
        assert client.receive().parameters["pid"] == pid
        wait_until_whole(run)
        run.wait_until_spread()
    assert_balances()
    assert systemd.main_pid() == pid


def test_stopped_for_longer_than_the_watchdog_bears():
    """It is killed, what was narrow is given back, and who comes meanwhile is answered by the next."""
    with systemd.drop_in("[Service]\nWatchdogSec=8s\nTimeoutAbortSec=1s\n"):
        systemd.systemctl("start", "balancerd")
        pid = systemd.main_pid()
        with tampering.stopped_amid_a_move(pid) as run, stacks.connect() as client:
            client.send("io.balancerd.GetStatus")
            after = systemd.wait_for_start(after=pid)
            assert client.receive().parameters["pid"] == after
            wait_until_whole(run)
            run.wait_until_spread()


# The socket unit.


def test_the_socket_unit_is_stopped():
    """Who is connected stays so; threads are balanced; a daemon that is killed brings the socket back."""
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    with stacks.connect() as client:
        systemd.systemctl("stop", systemd.SOCKET)
        assert client.call("io.balancerd.GetStatus")["pid"] == pid
        with hogs.stacked(stacks.isolated()) as run:
            run.wait_until_spread()
    systemd.systemctl("start", systemd.SOCKET, check=False)
    os.kill(pid, signal.SIGKILL)
    after = systemd.wait_for_start(after=pid)
    assert systemd.shown("ActiveState", systemd.SOCKET) == "active"
    assert stacks.status()["pid"] == after
