# SPDX-License-Identifier: LGPL-2.1-or-later
"""balancectl beside the real daemon, which only observes: what it says is what the daemon answers, and
what the kernel says of the same things."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import pytest
from support import configuration, tree, varlink
from support.balancectl import (
    AS_NOBODY,
    LISTENING,
    PATIENCE_SEC,
    monitor,
    on_terminal,
    plain,
    run,
    said,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def observer(start_daemon):
    return start_daemon("--observe")


@pytest.fixture
def path(runtime_dir, observer):
    return varlink.socket_path(runtime_dir)


@contextlib.contextmanager
def sleeper(threads=1, first=""):
    """A process with so many threads, which do nothing until it is told to end; after FIRST."""
    program = (
        f"{first}import sys, threading\n"
        f"for _ in range({threads - 1}):\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        yield process
        process.stdin.close()


def tids(pid):
    return sorted(map(int, os.listdir(f"/proc/{pid}/task")))


def as_json(path, *arguments):
    return json.loads(said(run(path, *arguments, "--json=short")))


def online_cpus():
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        ranges = [part.split("-") for part in file.read().strip().split(",")]
    return [cpu for ends in ranges for cpu in range(int(ends[0]), int(ends[-1]) + 1)]


def test_status(path, observer):
    text = said(run(path))
    assert "        Daemon: balancerd " in text
    assert f", PID {observer.process.pid}, observing only: it moves nothing\n" in text
    assert re.search(r"^       Running: for [^,]+, since \d{4}-\d\d-\d\d ", text, re.M)
    assert text.count("\n") >= 9
    assert " - " not in text


def test_status_as_json(path, observer):
    """Beside the numbers that change, it is what the daemon answers."""
    told = as_json(path, "status")
    with varlink.Client.connect(path) as client:
        answered = client.call("io.balancerd.GetStatus")
    assert list(told) == list(answered)
    for key in ("version", "pid", "startedUSec", "onlineCpus", "missingSources", "seesAll"):
        assert told[key] == answered[key]


def test_cpus(path):
    cpus = as_json(path, "cpus")
    assert [one["cpu"] for one in cpus] == online_cpus()
    rows = said(run(path, "cpus", "--no-legend")).splitlines()
    assert [int(row.split()[0]) for row in rows] == [one["cpu"] for one in cpus]


def test_threads_are_ordered_by_number(path):
    rows = said(run(path, "threads", "--all", "--no-legend")).splitlines()
    numbers = [int(row.split()[0]) for row in rows]
    assert numbers == sorted(set(numbers))
    assert os.getpid() in numbers


def test_one_thread(path):
    with sleeper() as process:
        (thread,) = as_json(path, "threads", str(process.pid))
        text = said(run(path, "threads", str(process.pid)))
    assert (thread["tid"], thread["pid"]) == (process.pid, process.pid)
    assert thread["uid"] == os.geteuid()
    row = text.splitlines()[1].split()
    assert row[:3] == [str(process.pid), str(process.pid), str(os.geteuid())]


def test_all_threads_of_a_process(path):
    """All at once, whether the daemon has met them or not."""
    with sleeper(threads=5) as process:
        listed = [one["tid"] for one in as_json(path, "threads", "-a", str(process.pid))]
        expected = tids(process.pid)
        other = next(tid for tid in expected if tid != process.pid)
        (thread,) = as_json(path, "threads", str(other))
        for verb in ("threads", "explain"):
            done = run(path, verb, str(process.pid))
            assert done.returncode == 0
            assert done.stderr.startswith(f"this is thread {process.pid} alone; ")
            # Another thread than the first is no process: nothing is unclear.
            said(run(path, verb, str(other)))
    assert listed == expected
    assert len(expected) == 5
    assert (thread["tid"], thread["pid"]) == (other, process.pid)


def test_history(path):
    """What was decided depends on what else the machine does; nothing about one that sleeps."""
    with sleeper() as process:
        done = run(path, "history", str(process.pid))
        assert as_json(path, "history", str(process.pid)) == []
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"nothing was decided yet about thread {process.pid}")
    lines = run(path, "history", "--no-legend").stdout.splitlines()
    assert all(re.search(r"\[\d+\] would be moved from CPU \d+ to \d+: ", line) for line in lines)


def test_explain(path):
    with sleeper() as process:
        done = run(path, "explain", str(process.pid))
        told = as_json(path, "explain", str(process.pid))
    assert done.returncode == 0
    assert re.match(rf"        Thread: {process.pid} \(\S+\) of process {process.pid}, user \d+\n", done.stdout)
    assert told["thread"]["tid"] == process.pid
    # What was decided depends on what else the machine does.
    assert re.search(rf"^           Why: Thread {process.pid} on CPU \d+ \S.*\.$", done.stdout, re.M)
    assert "\n       History: " in done.stdout


def test_explain_all_threads(path):
    with sleeper(threads=3) as process:
        text = said(run(path, "explain", "-a", str(process.pid)))
        expected = tids(process.pid)
    assert [int(tid) for tid in re.findall(r"^ +Thread: (\d+) ", text, re.M)] == expected


@pytest.mark.parametrize("arguments", [["threads"], ["threads", "-a"], ["explain"], ["explain", "-a"]])
def test_thread_that_is_none(path, arguments):
    with sleeper() as process:
        pass
    done = run(path, *arguments, str(process.pid))
    assert (done.returncode, done.stdout) == (1, "")
    unseen = "" if as_json(path, "status")["seesAll"] else ", or it is none that you may see"
    kind = "process" if "-a" in arguments else "thread"
    assert done.stderr == f"there is no {kind} {process.pid}{unseen}\n"


def test_name_with_foreign_bytes(path):
    """The name of a thread is its owner's to choose."""
    rename = "import ctypes; ctypes.CDLL(None).prctl(15, b'\\x1b[31m\\xff\\n')\n"  # PR_SET_NAME
    name = r"\x1b[31m\xff\x0a"
    with sleeper(first=rename) as process:
        assert as_json(path, "threads", str(process.pid))[0]["comm"] == name
        for arguments in (["threads", str(process.pid)], ["explain", str(process.pid)]):
            assert name in run(path, *arguments).stdout
            assert name in plain(on_terminal(path, *arguments))


def test_terminal(path):
    for arguments in (["status"], ["cpus"], ["threads"], ["threads", "--all"]):
        text = on_terminal(path, *arguments, columns=100, lines=4)
        assert "\x1b[1m" in text
        assert re.fullmatch(r"[ -~\n]+", plain(text))
    assert len(text.splitlines()) == 3
    assert re.fullmatch(r"\d+ more: balancectl threads --all \| less", text.splitlines()[-1])


def test_monitor_ends_by_the_signal(path):
    with monitor(path) as process:
        assert process.stderr.readline() == LISTENING
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SEC) == -signal.SIGINT


def test_monitor_of_a_daemon_that_ends(path, observer):
    with monitor(path) as process:
        assert process.stderr.readline() == LISTENING
        assert observer.stop() == 0
        assert process.wait(PATIENCE_SEC) == 1
        assert process.stderr.read() == f"balancerd has closed the connection ({path})\n"


def test_daemon_that_was_killed(path, observer):
    """Its socket stays behind, and nobody listens."""
    observer.stop(signal.SIGKILL)
    done = run(path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"balancerd was killed ({path}: Connection refused); ")


def test_daemon_that_hangs(path, observer):
    observer.process.send_signal(signal.SIGSTOP)
    try:
        done = run(path, "--timeout=10ms")
    finally:
        observer.process.send_signal(signal.SIGCONT)
    assert done.returncode == 1
    assert done.stderr == f"balancerd does not answer ({path}, waited 10ms)\n"


# The configuration.


@pytest.fixture
def folder(runtime_dir):
    """The configuration that the daemon reads."""
    path = runtime_dir / "etc"
    path.mkdir()
    return path


def check(folder):
    return run(
        None, "check", "--config-dir", str(folder), env={"BALANCERD_PATH": str(tree.BALANCERD)}
    )


@needs_root
def test_reload(folder, path):
    assert said(run(path, "reload")) == "in effect: the defaults; there is no configuration file\n"
    configuration.write(folder, {configuration.MAIN: '{"balance": {"tick": "10ms"}}'})
    assert said(run(path, "reload")) == f"in effect:\n  {folder}/{configuration.MAIN}\n"
    assert f" Configuration: {folder}/{configuration.MAIN}\n" in said(run(path))


def test_check(folder):
    assert check(folder).returncode == 0
    configuration.write(folder, {configuration.MAIN: '{"balance": {"tick": "10ms"}}'})
    done = check(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{folder}/{configuration.MAIN}: OK\n" in done.stdout


@needs_root
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"balance": {"tick": "fast"}}', ": /balance/tick: expected a time with its unit, such as 20ms, from 1ms to 1s"),
        ('{"balance": \n  oops}', ":2:"),
        ("[]", ": expected "),
    ],
)
def test_bad_configuration(folder, path, text, fault):
    """Reload refuses it in the words of check."""
    configuration.write(folder, {configuration.MAIN: text})
    checked = check(folder)
    done = run(path, "reload")
    line, rest = done.stderr.split("\n", 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert line.startswith(f"{folder}/{configuration.MAIN}{fault}")
    assert rest == "the settings stay as they were; there may be more: balancerd --check --config-dir DIR\n"
    assert checked.returncode == 1
    assert line in checked.stdout.splitlines() + checked.stderr.splitlines()


# Other users.


@needs_root
def test_another_user(path):
    text = said(run(path, "status", prefix=AS_NOBODY))
    assert "        Access: you see your own threads; " in text
    own = run(path, "threads", "--all", "--no-legend", prefix=AS_NOBODY).stdout.splitlines()
    assert [row.split()[2] for row in own] == ["65534"] * len(own)
    done = run(path, "threads", str(os.getpid()), prefix=AS_NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"there is no thread {os.getpid()}, or it is none that you may see\n"
    done = run(path, "reload", prefix=AS_NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "this is for root and the group balancerd only\n"


@needs_root
def test_too_many_connections(path):
    with contextlib.ExitStack() as held:
        user = held.enter_context(varlink.User())
        for _ in range(32):
            held.enter_context(user.connect(path)).ask("io.balancerd.GetStatus")
        done = run(path, prefix=AS_NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("balancerd has 32 connections already, which is as many as it takes")
