# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon and its configuration: at the start, on SIGHUP and by Reload."""

import os
import re
import resource
import signal
import time
from collections import Counter

import pytest
from support import configuration, daemon, hogs, varlink
from support.configuration import FOLDER, MAIN

N_RELOADS = 1000

KEPT = "balancerd: the configuration cannot be used: every setting stays as it was"
SAME = "balancerd: configuration read again: no setting has changed"


@pytest.fixture
def folder(runtime_dir):
    """The folder that start_daemon() lets the daemon read."""
    path = runtime_dir / "etc"
    path.mkdir()
    return path


@pytest.fixture
def start(start_daemon):
    """Starts daemons that move nothing, so that the log tells of the configuration alone."""
    still = ["--set", "balance.unbalanced=false", "--set", "balance.stuckThreads=false"]
    return lambda *arguments, **options: start_daemon(*still, *arguments, **options)


def hang_up(daemon_, last):
    """Asks for a reload; returns what the log tells of it up to the line LAST."""
    start = len(daemon_.lines)
    daemon_.process.send_signal(signal.SIGHUP)
    daemon_.wait_line(f"^{last}", start)
    return daemon_.lines[start:]


def reloaded(daemon_, changes):
    line = f"balancerd: configuration read again: {changes}"
    assert hang_up(daemon_, "balancerd: configuration") == [line]


# The start.


def test_start_tells_what_is_not_the_default(start_daemon, folder):
    configuration.write(folder, {MAIN: '{"balance": {"tick": "10ms"}, "observe": "all"}'})
    daemon_ = start_daemon("--set", "observe=own")
    assert daemon_.lines[0] == "balancerd: configuration read: balance.tick 20ms -> 10ms"


def test_start_without_a_file_tells_nothing(start_daemon):
    daemon_ = start_daemon()
    assert not any("configuration" in line for line in daemon_.lines)


def test_start_in_a_folder_that_is_not_there_is_refused(start_daemon, folder):
    daemon_ = start_daemon("--config-dir", str(folder / "typo"), wait=False)
    assert daemon_.wait() == daemon.REFUSED
    assert daemon_.lines[0] == (
        f"balancerd: {folder}/typo: expected a folder that can be read: No such file or directory"
    )


def test_settings_without_effect_are_told(start, folder):
    """At the start and with each reload, in a line of their own."""
    line = "balancerd: windows.perCpu has no effect in this version"
    configuration.write(folder, {MAIN: '{"windows": {"perCpu": 7, "connectionsPerUser": 9}}'})
    daemon_ = start()
    assert [told for told in daemon_.lines if "effect" in told] == [line]
    start_of_reload = len(daemon_.lines)
    daemon_.process.send_signal(signal.SIGHUP)
    daemon_.wait_line(f"^{line}$", start_of_reload)
    (folder / MAIN).unlink()
    assert hang_up(daemon_, "balancerd: configuration")[-1:] != [line]
    assert daemon_.stop() == 0
    assert sum("effect" in told for told in daemon_.lines) == 2


def test_start_is_refused(start_daemon, folder, runtime_dir):
    """With all that is wrong, and before anything is made."""
    configuration.write(folder, {MAIN: '{"balance": {"tick": 10}}', f"{FOLDER}/a.json": "{"})
    daemon_ = start_daemon(wait=False)
    assert daemon_.wait() == daemon.REFUSED
    assert daemon_.lines == [
        f"balancerd: {folder}/{MAIN}: /balance/tick: expected a time with its unit, such as 20ms, from 1ms to 1s, in quotes",
        f"balancerd: {folder}/{FOLDER}/a.json:1:1: expected more: the file is cut short",
        "balancerd: the configuration cannot be used: not started",
    ]
    assert os.listdir(runtime_dir) == ["etc"]


def test_restore_needs_no_configuration(runtime_dir, folder):
    """What is wrong with it keeps nobody's mask narrow."""
    configuration.write(folder, {MAIN: "{"})
    assert daemon.restore(runtime_dir).returncode == 0


# SIGHUP.


def test_good_then_bad_then_good(start, folder):
    daemon_ = start("--set", "windows.connectionsPerUser=9")
    configuration.write(folder, {MAIN: '{"balance": {"tick": "10ms"}, "windows": {"connectionsPerUser": 7}}'})
    reloaded(daemon_, "balance.tick 20ms -> 10ms")
    configuration.write(folder, {MAIN: '{"balance": {"tick": "5ms", "rotate": "off"}, "observe": 1}'})
    assert hang_up(daemon_, KEPT) == [
        f"balancerd: {folder}/{MAIN}: /observe: expected own or all, in quotes",
        KEPT,
    ]
    # All of it was refused: what is told to change shows what was in effect.
    configuration.write(folder, {MAIN: '{"balance": {"tick": "4ms"}}', f"{FOLDER}/a.json": '{"observe": "all"}'})
    reloaded(daemon_, "balance.tick 10ms -> 4ms, observe own -> all")
    (folder / FOLDER / "a.json").unlink()
    (folder / MAIN).unlink()
    reloaded(daemon_, "balance.tick 4ms -> 20ms, observe all -> own")
    assert daemon_.stop() == 0


# The others ask for a command line of their own.
RELOADED = [case for case in configuration.CASES if not case.sets and not case.prefix]


@pytest.mark.parametrize("case", RELOADED, ids=[case.title for case in RELOADED])
def test_the_log_tells_what_check_tells(start, folder, case):
    """Each bad configuration, with the daemon running."""
    daemon_ = start()
    configuration.write(folder, case.files)
    told = hang_up(daemon_, KEPT)
    messages = [line.replace(f"{folder}/", "") for line in told]
    assert messages == [*(f"balancerd: {message}" for message in case.messages), KEPT]
    assert daemon_.stop() == 0


def test_balancing_begins_and_ends_with_reloads(unbalanced, start_daemon, folder):
    """Among hogs that stay where they are until it is said that they shall not."""
    configuration.write(folder, {MAIN: '{"balance": {"unbalanced": false, "stuckThreads": false}}'})
    daemon_ = start_daemon()
    with hogs.stacked(unbalanced) as run:
        run.wait_for_ticks(5)
        assert daemon_.moves() == []
        configuration.write(folder, {MAIN: '{"balance": {"stuckThreads": false}}'})
        daemon_.process.send_signal(signal.SIGHUP)
        daemon_.wait_line("comm=hog .* why=balance ")
    configuration.write(folder, {MAIN: '{"balance": {"unbalanced": false, "stuckThreads": false}}'})
    daemon_.process.send_signal(signal.SIGHUP)
    daemon_.wait_line("balance.unbalanced true -> false")
    n_lines = len(daemon_.lines)
    with hogs.stacked(unbalanced) as run:
        run.wait_for_ticks(5)
    assert [line for line in daemon_.lines[n_lines:] if "comm=hog" in line] == []
    assert daemon_.stop() == 0


def wait_for_ticks(daemon_, n):
    """Less long than the longest wait for a tick, which is a minute."""
    deadline = time.monotonic() + 30
    while daemon_.counts()["ticks"] < n:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_quiet(daemon_):
    """A second without a tick: while there is trouble, or was of late, they are shorter."""
    before, now = -1, daemon_.counts()["ticks"]
    while now != before:
        time.sleep(1)
        before, now = now, daemon_.counts()["ticks"]


def test_shorter_ticks_take_effect_at_once(start, folder):
    """The wait that is under way is ended: it would be longer than the test is patient."""
    configuration.write(folder, {MAIN: '{"balance": {"quietTick": "1min"}}'})
    daemon_ = start()
    wait_until_quiet(daemon_)
    configuration.write(folder, {MAIN: '{"balance": {"quietTick": "100ms"}}'})
    reloaded(daemon_, "balance.quietTick 1min -> 100ms")
    before = daemon_.counts()["ticks"]
    wait_for_ticks(daemon_, before + 5)


def descriptors(process):
    """What the process has open, what is of other processes apart: they come and go."""
    found = []
    for number in os.listdir(f"/proc/{process.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{process.pid}/fd/{number}")
        except FileNotFoundError:
            continue
        if not re.match(r"/proc/\d", target):
            found.append(target)
    return sorted(found)


def at_rest(process):
    """What it has open where a sample is not under way: what most of many looks have seen."""
    looks = Counter()
    for _ in range(50):
        looks[tuple(descriptors(process))] += 1
        time.sleep(0.01)
    return list(looks.most_common(1)[0][0])


def memory_kb(process):
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
        return int(re.search(r"^RssAnon:\s*(\d+) kB", status.read(), re.M)[1])


def test_a_thousand_reloads_leave_nothing_behind(start, folder):
    daemon_ = start(env=daemon.EXACT_MEMORY)
    good = {MAIN: '{"observe": "all"}', f"{FOLDER}/a.json": "{}"}
    bad = {MAIN: '{"observe": "all"', f"{FOLDER}/a.json": '{"x": 1}'}
    configuration.write(folder, good)

    def reload_often():
        for _ in range(N_RELOADS // 4):
            configuration.write(folder, bad)
            hang_up(daemon_, KEPT)
            configuration.write(folder, good)
            hang_up(daemon_, "balancerd: configuration read again")

    reload_often()
    before, memory = at_rest(daemon_.process), memory_kb(daemon_.process)
    reload_often()
    # A sample may be under way with one file more: there is a moment without.
    deadline = time.monotonic() + daemon.PATIENCE_SEC
    while (now := descriptors(daemon_.process)) != before:
        assert time.monotonic() < deadline, (before, now)
        time.sleep(0.01)
    # The configurations themselves, if they were kept, would be 148 KiB. Threads that were born meanwhile
    # are known, and take some.
    assert memory_kb(daemon_.process) - memory < 96
    assert daemon_.stop() == 0


def test_no_descriptors_left(start, folder):
    """A configuration that cannot be opened is one that cannot be read; it is not taken for none."""
    configuration.write(folder, {MAIN: '{"observe": "all"}'})
    daemon_ = start()
    pid = daemon_.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    told = hang_up(daemon_, KEPT)
    assert f"balancerd: {folder}: expected a folder that can be read: Too many open files" in told
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert SAME in hang_up(daemon_, "balancerd: configuration read")
    assert daemon_.stop() == 0


# Reload.


def test_reload_by_the_socket(start, folder, runtime_dir):
    daemon_ = start()
    configuration.write(folder, {MAIN: "{}", f"{FOLDER}/a.json": '{"observe": "all"}'})
    files = [f"{folder}/{MAIN}", f"{folder}/{FOLDER}/a.json"]
    with varlink.Client.connect(varlink.socket_path(runtime_dir)) as client:
        assert client.call("io.balancerd.GetStatus")["configuration"] == []
        assert client.call("io.balancerd.Reload") == {"configuration": files}
        daemon_.wait_line("^balancerd: configuration read again: observe own -> all$")
        assert client.call("io.balancerd.GetStatus")["configuration"] == files


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{\n"observe": }', {"line": 2, "column": 12, "expected": "valid JSON: unexpected token near '}'"}),
        ('{"observe": 1}', {"pointer": "/observe", "expected": "own or all, in quotes"}),
        ("[]", {"pointer": "", "expected": "an object"}),
        (None, {"expected": "a regular file"}),
    ],
)
def test_refused_reload_by_the_socket(start, folder, runtime_dir, text, fault):
    daemon_ = start()
    configuration.write(folder, {MAIN: os.mkfifo if text is None else text})
    with varlink.Client.connect(varlink.socket_path(runtime_dir)) as client:
        with pytest.raises(varlink.Refused) as refused:
            client.call("io.balancerd.Reload")
        assert refused.value.error == "io.balancerd.InvalidConfiguration"
        assert refused.value.parameters == {"file": f"{folder}/{MAIN}", **fault}
        assert client.call("io.balancerd.GetStatus")["configuration"] == []
    daemon_.wait_line(f"^{KEPT}$")


def test_observe_takes_effect_with_the_reload(start, folder, runtime_dir):
    """For connections that there are, too."""
    daemon_ = start()
    with varlink.User() as nobody:
        with nobody.connect(varlink.socket_path(runtime_dir)) as client:
            assert client.call("io.balancerd.GetStatus")["seesAll"] is False
            configuration.write(folder, {MAIN: '{"observe": "all"}'})
            reloaded(daemon_, "observe own -> all")
            assert client.call("io.balancerd.GetStatus")["seesAll"] is True


def test_fewer_connections_take_effect_with_the_reload(start, folder, runtime_dir):
    daemon_ = start()
    path = varlink.socket_path(runtime_dir)
    with varlink.User() as nobody, nobody.connect(path) as first:
        configuration.write(folder, {MAIN: '{"windows": {"connectionsPerUser": 1}}'})
        reloaded(daemon_, "windows.connectionsPerUser 32 -> 1")
        with nobody.connect(path) as second:
            reply = second.receive()
            assert (reply.error, reply.parameters) == ("io.balancerd.TooManyConnections", {"limit": 1})
        assert first.call("io.balancerd.GetStatus")["connections"] == 1
