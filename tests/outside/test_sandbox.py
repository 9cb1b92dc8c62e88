# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon does its whole job with no more than balancerd.service leaves it."""

import ctypes.util
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support import hogs, procfs, tree, units, varlink

SERVICE = units.read("balancerd.service")
UID = 65534
SCHED_FIFO = 1


@pytest.fixture
def sandbox(runtime_dir):
    """A prefix that stands for what systemd does with the unit; the program is one that UID reaches."""
    if not shutil.which("systemd-analyze") or not ctypes.util.find_library("seccomp"):
        pytest.skip("systemd-analyze or libseccomp is not installed")
    os.chown(runtime_dir, UID, UID)
    program = runtime_dir / "balancerd"
    shutil.copy(tree.BALANCERD, program)
    namespace = ["unshare", "--mount", "--propagation", "private", "--"]
    if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("mount namespaces are not permitted here")
    script = units.READ_ONLY.format(runtime_dir) + 'exec "$@"'
    return [
        # LeakSanitizer traces its own process, which the filter does not permit.
        "env", "ASAN_OPTIONS=detect_leaks=0",
        *namespace, "bash", "-e", "-c", script, "bash",
        *units.with_rights(SERVICE, UID),
        *units.filtering(units.permitted_calls(SERVICE)),
    ]  # fmt: skip


@pytest.fixture
def start(start_daemon, sandbox, runtime_dir):
    return lambda *arguments, **options: start_daemon(
        *arguments, prefix=sandbox, binary=runtime_dir / "balancerd", **options
    )


def run(sandbox, *command):
    return subprocess.run([*sandbox, *command], capture_output=True, text=True, check=False)


def test_sandbox_is_one(sandbox, runtime_dir):
    """What follows says something: in it there is no more than the unit gives."""
    done = run(sandbox, "/bin/cat", "/proc/self/status")
    status = dict(line.split(":\t", 1) for line in done.stdout.splitlines())
    assert status["Uid"].split() == [str(UID)] * 4
    given = 1 << 23 | 1 << 12  # CAP_SYS_NICE, CAP_NET_ADMIN
    for key in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[key], 16) == given
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert run(sandbox, "/bin/touch", "/file").returncode == 1
    assert run(sandbox, "/bin/touch", str(runtime_dir / "file")).returncode == 0
    chown = run(sandbox, "/bin/chown", str(UID), str(runtime_dir / "file"))
    assert chown.returncode == -signal.SIGSYS


def complaints(daemon_):
    return {re.sub(r"\d+", "N", line) for line in daemon_.complaints()}


def events(daemon_):
    """How much news of threads it has got by the third tick from now on, amid births."""
    ticks = daemon_.counts()["ticks"] + 3
    while True:
        subprocess.run(["true"], check=True)
        counts = daemon_.counts()
        if counts["ticks"] >= ticks:
            return counts["events"]


def has_realtime_thread(pid):
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        if int(stat.read_text().rpartition(")")[2].split()[38]) == SCHED_FIFO:
            return True
    return False


def test_nothing_is_missing_that_root_has(start_daemon, start, runtime_dir):
    """Pressure, process events, cpusets, taskstats: all sources, and SCHED_FIFO."""
    with start_daemon("--set", "taskstats=true") as by_root:
        n_events = events(by_root)
    shutil.rmtree(runtime_dir / "private")
    confined = start("--set", "taskstats=true")
    assert (events(confined) > 0) == (n_events > 0)
    assert complaints(confined) <= complaints(by_root)
    assert has_realtime_thread(confined.process.pid)
    with varlink.Client.connect(varlink.socket_path(runtime_dir)) as client:
        assert client.call("io.balancerd.GetStatus")["pid"] == confined.process.pid
    assert confined.stop() == 0


def test_moves_the_threads_of_others_and_restores(unbalanced, same_masks, start, sandbox, runtime_dir):
    daemon_ = start()
    with hogs.stacked(unbalanced) as run_:
        before = run_.masks()
        run_.wait_until_spread()
        moved = {move.tid for move in daemon_.moves() if move.made}
        assert moved & set(run_.told.tids()), daemon_.lines
        daemon_.process.kill()
        daemon_.wait()
        restored = run(sandbox, runtime_dir / "balancerd", "--runtime-dir", runtime_dir, "--restore")
        assert restored.returncode == 0, restored.stderr
        assert procfs.changed_masks(before, run_.masks()) == []


def test_reload_as_the_service_manager_asks_for_it(start_daemon, sandbox, runtime_dir):
    """By the unit's own command, which may no more than the daemon; it fails with the reason."""
    folder = runtime_dir / "etc"
    folder.mkdir()
    group = runtime_dir / "group"
    group.write_text(f"balancerd:x:{UID}:\n")
    script = f'mount --bind {group} /etc/group; exec "$@"'
    named = ["unshare", "--mount", "--propagation", "private", "--", "bash", "-e", "-c", script, "bash"]
    daemon_ = start_daemon(prefix=[*named, *sandbox], binary=runtime_dir / "balancerd")
    shutil.copy(tree.BUILD / "balancectl", runtime_dir / "balancectl")
    (line,) = SERVICE["Service"]["ExecReload"]
    command = [runtime_dir / "balancectl", *line.split()[1:], "--socket", varlink.socket_path(runtime_dir)]
    (folder / "balancerd.json").write_text('{"observe": "all"}')
    done = run(sandbox, *command)
    assert (done.returncode, done.stderr) == (0, "")
    daemon_.wait_line("^balancerd: configuration read again: observe own -> all$")
    (folder / "balancerd.json").write_text('{"observe": "none"}')
    done = run(sandbox, *command)
    assert done.returncode == 1
    assert f"{folder}/balancerd.json: /observe: expected own or all" in done.stderr
    assert daemon_.stop() == 0


def test_ends_politely(start):
    assert start().stop() == 0
