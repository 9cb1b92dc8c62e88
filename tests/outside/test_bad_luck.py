# SPDX-License-Identifier: LGPL-2.1-or-later
"""What goes wrong around the daemon: each gives one clear message, and nothing is lost.

Everything that is hidden, filled or made read-only is so in a mount namespace of the daemon's own.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import daemon, hogs, machine, procfs, tree
from support.namespace import in_mount_namespace

LONG = bool(os.environ.get("BALANCERD_LONG"))

NOBODY = [
    "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
    "--bounding-set", "-all", "--inh-caps", "-all",
]  # fmt: skip


def assert_spreads(arranged, daemon_):
    """It still does its job, and gives everything back."""
    with hogs.stacked(arranged) as run:
        before = run.masks()
        run.wait_until_spread()
        assert daemon_.stop() == 0
        assert procfs.changed_masks(before, run.masks()) == []


def complaints_about(daemon_, pattern):
    return [line for line in daemon_.complaints() if re.search(pattern, line)]


@pytest.fixture
def reachable():
    """A copy of the programs where every user may run them."""
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    folder.chmod(0o755)
    for program in (tree.BALANCERD, tree.HOG):
        shutil.copy(program, folder)
    yield folder
    shutil.rmtree(folder)


# The runtime directory.


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("mount -t tmpfs -o size=64k none {0}; cat /dev/zero >{0}/full 2>/dev/null || :",
         "No space left on device"),
        ("mount -t tmpfs -o ro none {0}", "Read-only file system"),
        ("mount -t tmpfs none {0}; mkdir -m 700 {0}/private; : >{0}/private/ledger; chattr +i "
         "{0}/private/ledger 2>/dev/null || mount -o remount,ro {0}",
         "Read-only file system|not permitted"),
        ("mount -t tmpfs none {0}; : >{0}/private", "private: Not a directory"),
        ("mount -t tmpfs none {0}; mkdir -m 700 {0}/x; ln -s x {0}/private",
         "private: Not a directory|private: Too many levels of symbolic links"),
    ],
    ids=["full", "read-only", "read-only with a ledger", "private is a file", "private is a link"],
)  # fmt: skip
def test_without_a_ledger_it_does_not_start(runtime_dir, start_daemon, script, said):
    """What could not be given back is not narrowed: one line says what is wrong with which file."""
    daemon_ = start_daemon(prefix=in_mount_namespace(script.format(runtime_dir)), wait=False)
    assert daemon_.wait() == 1
    (complaint,) = daemon_.lines
    assert str(runtime_dir) in complaint
    assert re.search(said, complaint)


def test_runtime_directory_that_cannot_be_made(start_daemon, runtime_dir):
    daemon_ = start_daemon(runtime_dir=runtime_dir / "no" / "such", wait=False)
    assert daemon_.wait() == 1
    (complaint,) = daemon_.lines
    assert re.search(r"no/such: No such file or directory$", complaint)


def test_runtime_directory_that_is_a_file(start_daemon, runtime_dir):
    (runtime_dir / "file").write_text("")
    daemon_ = start_daemon(runtime_dir=runtime_dir / "file", wait=False)
    assert daemon_.wait() == 1
    (complaint,) = daemon_.lines
    assert re.search(r"file: Not a directory$", complaint)


def test_runtime_directory_that_fills_up_later(unbalanced, same_masks, start_daemon, runtime_dir):
    """The ledger has its blocks from the start."""
    prefix = in_mount_namespace(f"mount -t tmpfs -o size=16m none {runtime_dir}")
    daemon_ = start_daemon(prefix=prefix)
    # The daemon's own view of the folder, from outside of its namespace.
    inside = Path(f"/proc/{daemon_.process.pid}/root{runtime_dir}")
    with open(inside / "full", "wb") as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    assert_spreads(unbalanced, daemon_)


@pytest.mark.parametrize(
    "content", [b"x", b"balancerd" * 1000, os.urandom(1 << 20)], ids=["short", "text", "random"]
)
def test_foreign_ledger_is_left_alone(runtime_dir, start_daemon, content):
    path = runtime_dir / "private/ledger"
    path.parent.mkdir()
    path.write_bytes(content)
    daemon_ = start_daemon(wait=False)
    assert daemon_.wait() == 1
    (complaint,) = daemon_.lines
    assert "is no ledger of this version" in complaint
    assert path.read_bytes() == content


def test_second_daemon(start_daemon):
    first = start_daemon()
    second = start_daemon(wait=False)
    assert second.wait() == 1
    (complaint,) = second.lines
    assert "another balancerd owns this machine" in complaint
    assert first.counts()["ticks"] >= 1
    assert first.stop() == 0


# Ends.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_every_polite_end_gives_back(start_daemon, number):
    daemon_ = start_daemon()
    assert daemon_.stop(number) == 0
    assert f"balancerd: ending on {number.name}, giving back every mask" in daemon_.lines


@pytest.mark.parametrize("disposition", [signal.SIG_DFL, signal.SIG_IGN], ids=["usual", "nohup"])
def test_hangup_ends_nothing(start_daemon, disposition):
    daemon_ = start_daemon(preexec=lambda: signal.signal(signal.SIGHUP, disposition))
    daemon_.process.send_signal(signal.SIGHUP)
    daemon_.wait_line("^balancerd: configuration read again: no setting has changed$")
    assert daemon_.counts()["ticks"] >= 1
    assert daemon_.stop() == 0


@pytest.mark.parametrize("reader", ["stalled", "gone"])
def test_nobody_reads_what_it_says(runtime_dir, reader):
    """It goes on and ends as usual."""
    command = [tree.BALANCERD, "--runtime-dir", runtime_dir, "--config-dir", runtime_dir]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while b"balancerd: ready: " not in process.stderr.readline():
            assert process.poll() is None
        if reader == "gone":
            process.stderr.close()
        else:
            fill_up(process.stderr)
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(daemon.PATIENCE_SEC) == 0


def fill_up(pipe):
    """Writes into the pipe that is read from here until it takes no more."""
    fd = os.open(f"/proc/self/fd/{pipe.fileno()}", os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(fd, b"x" * 4096)
    os.close(fd)


# Privilege.


def test_no_privilege_at_all(unbalanced, same_masks, start_daemon, runtime_dir, reachable):
    """It does what it can for its own user and touches nobody else's threads."""
    if unbalanced.cgroup:
        pytest.skip("an isolated partition of cgroup v2 is entered by root only")
    os.chown(runtime_dir, 65534, 65534)
    daemon_ = start_daemon(prefix=NOBODY, binary=reachable / "balancerd")
    with hogs.stacked(unbalanced) as roots, hogs.Hogs(
        prefix=NOBODY, program=reachable / "hog", threads=4, stack=unbalanced.cpus[0], every_msec=100
    ) as own:
        before = {**roots.masks(), **own.masks()}
        own.wait_until_spread()
        roots.wait_for_ticks(3)
        assert daemon_.stop() == 0
        told = roots.stop()
        assert all(told.cpus_of(tid) == [unbalanced.cpus[0]] for tid in told.tids())
        after = own.masks()
    # Nor does it plan to move what it may not move.
    assert {move.tid for move in daemon_.moves()}.isdisjoint(told.tids())
    assert {move.result for move in daemon_.moves()} <= {"moved", "foreign"}
    assert [line for line in daemon_.complaints() if "no power over other users' threads" in line]
    assert procfs.changed_masks(before, after) == []
    for line in daemon_.complaints():
        assert daemon_.complaints().count(line) == 1, f"said more than once: {line}"


def test_root_by_hand_does_not_lock_the_service_out(start_daemon, runtime_dir, reachable):
    """What root makes in a folder of the service's user is that user's."""
    os.chown(runtime_dir, 65534, 65534)
    assert daemon.restore(runtime_dir).returncode == 0
    for name in ("private", "private/ledger"):
        stat = (runtime_dir / name).stat()
        assert (stat.st_uid, stat.st_gid) == (65534, 65534), name
    with start_daemon("--observe", prefix=NOBODY, binary=reachable / "balancerd") as service:
        assert service.stop() == 0


def test_other_users_threads_hidden(unbalanced, same_masks, start_daemon, runtime_dir, reachable):
    """/proc mounted with hidepid=2 and no privilege: it sees its own user's threads only."""
    os.chown(runtime_dir, 65534, 65534)
    prefix = in_mount_namespace("mount -t proc -o hidepid=2 proc /proc")
    daemon_ = start_daemon(prefix=[*prefix, *NOBODY], binary=reachable / "balancerd")
    assert 1 <= daemon_.counts()["threads"] < 100
    assert daemon_.stop() == 0


# Missing sources.


@pytest.mark.parametrize(
    ("hide", "named"),
    [
        ("test ! -d /proc/pressure || mount -t tmpfs none /proc/pressure", r"pressure"),
        ("test ! -e /proc/schedstat || mount --bind /dev/null /proc/schedstat", r"/proc/schedstat"),
        ("mount --bind /dev/null /proc/stat", r"/proc/stat"),
        ("umount -l -R /sys/fs/cgroup", r"no sight of cpusets"),
    ],
    ids=["pressure", "schedstat", "stat", "cgroup"],
)
def test_missing_source(same_masks, start_daemon, hide, named):
    """It is named once, with what is lost, and done without."""
    daemon_ = start_daemon(prefix=in_mount_namespace(hide))
    deadline_ticks = daemon_.counts()["ticks"] + 3
    while daemon_.counts()["ticks"] < deadline_ticks:
        time.sleep(0.2)
    assert daemon_.stop() == 0
    assert len(complaints_about(daemon_, named)) == 1, daemon_.lines


@pytest.mark.parametrize("source", ["/proc/pressure", "/proc/stat"])
def test_balances_without(unbalanced, same_masks, start_daemon, source):
    """No single source is needed for the job."""
    if not os.path.exists(source):
        pytest.skip(f"{source} is missing here anyway: every other test does without")
    hide = "mount -t tmpfs none" if os.path.isdir(source) else "mount --bind /dev/null"
    daemon_ = start_daemon(prefix=in_mount_namespace(f"{hide} {source}"))
    assert_spreads(unbalanced, daemon_)


def test_without_process_events(unbalanced, same_masks, start_daemon):
    """In another network namespace the connector is silent: births are found by listing."""
    daemon_ = start_daemon(prefix=["unshare", "--net", "--"])
    assert_spreads(unbalanced, daemon_)
    assert len(complaints_about(daemon_, r"process events")) == 1, daemon_.lines


def test_inside_a_pid_namespace(unbalanced, same_masks, runtime_dir):
    """It sees the threads of its namespace alone, and balances these. The namespace ends with it, so
    the whole case is a script in there."""
    script = f"""
        {tree.BALANCERD} --runtime-dir {runtime_dir} --config-dir {runtime_dir} 2>{runtime_dir}/log & daemon=$!
        {tree.HOG} --threads=4 --stack={unbalanced.cpus[0]} --every-msec=100 --for-msec=3000
        kill $daemon; wait $daemon
    """
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=daemon.PATIENCE_SEC,
        preexec_fn=unbalanced.join,
    )
    lines = (runtime_dir / "log").read_text().splitlines()
    assert done.returncode == 0, (done.stderr, lines)
    told = hogs.Told()
    for line in done.stdout.splitlines():
        told.take(line)
    assert told.spread_usec(2) is not None, lines
    assert any(move.made for move in map(daemon.parse_move, lines) if move)


# Crowds.


def wait_until_known(daemon_, n_threads):
    """The threads of a large process are met only when they do work that is noticed."""
    deadline = time.monotonic() + daemon.PATIENCE_SEC
    while daemon_.counts()["threads"] < n_threads:
        assert time.monotonic() < deadline, daemon_.lines
        time.sleep(0.2)


def test_few_descriptors_and_many_threads(unbalanced, same_masks, start_daemon):
    """30,000 threads (3,000 unless BALANCERD_LONG is set) and 1,024 descriptors."""
    n_threads = 30000 if LONG else 3000
    with subprocess.Popen(
        [tree.SLEEPERS, f"--threads={n_threads}", "--active=1500", "--hz=20"],
        stdout=subprocess.PIPE,
        text=True,
    ) as sleepers:
        try:
            if sleepers.stdout.readline() != "ready\n":
                pytest.skip(f"{n_threads} threads cannot be started here (pids limit?)")
            daemon_ = start_daemon(prefix=["prlimit", "--nofile=1024:1024", "--"])
            wait_until_known(daemon_, n_threads)
            with hogs.stacked(unbalanced) as run:
                before = run.masks()
                run.wait_until_spread()
                assert len(os.listdir(f"/proc/{daemon_.process.pid}/fd")) <= 1024
                assert daemon_.stop() == 0
                assert procfs.changed_masks(before, run.masks()) == []
        finally:
            sleepers.terminate()
    assert len(complaints_about(daemon_, r"descriptor")) <= 1, daemon_.lines
    assert len(daemon_.complaints()) < 20, daemon_.lines


def test_threads_that_exit_all_the_time(unbalanced, same_masks, start_daemon):
    """A thread that is gone between sample and move is no news."""
    daemon_ = start_daemon()
    births = [tree.SLEEPERS, "--threads=10", "--births-hz=2000"]
    with subprocess.Popen(births, stdout=subprocess.PIPE) as sleepers:
        try:
            sleepers.stdout.readline()
            assert_spreads(unbalanced, daemon_)
        finally:
            sleepers.terminate()
    assert len(daemon_.complaints()) < 20, daemon_.lines


def test_cgroups_that_come_and_go(unbalanced, same_masks, start_daemon):
    """Whoever makes them does not set the daemon's pace."""
    folder = (machine.v1_cpuset() or machine.v2_root()) / f"balancerd-churn-{os.getpid()}"
    daemon_ = start_daemon("--set", "balance.tick=1s")
    n_ticks, n_rounds = daemon_.counts()["ticks"], 200
    for _ in range(n_rounds):
        folder.mkdir()
        folder.rmdir()
        counts = daemon_.counts()
    assert counts["ticks"] - n_ticks < n_rounds / 2
    assert daemon_.stop() == 0


def test_processes_that_exit_all_the_time(same_masks, start_daemon):
    daemon_ = start_daemon()
    code = "import os, time\nend = time.monotonic() + 2\nwhile time.monotonic() < end:\n" \
           "    pid = os.fork()\n    if not pid: os._exit(0)\n    os.waitpid(pid, 0)\n"  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True)
    assert daemon_.stop() == 0
    assert len(daemon_.complaints()) < 20, daemon_.lines


# Others who write masks.


def test_foreign_masks_are_not_fought(unbalanced, same_masks, start_daemon):
    """Somebody pins every hog while the daemon balances: their masks stand."""
    daemon_ = start_daemon()
    with hogs.stacked(unbalanced) as run:
        run.wait_until_spread()
        for tid in run.told.tids():
            os.sched_setaffinity(tid, {unbalanced.cpus[0]})
        run.wait_for_ticks(len(run.told.work_by_tick()) + 5)
        assert {os.sched_getaffinity(tid) == {unbalanced.cpus[0]} for tid in run.told.tids()} == {True}
        assert daemon_.stop() == 0
        assert {os.sched_getaffinity(tid) == {unbalanced.cpus[0]} for tid in run.told.tids()} == {True}


def test_pinned_threads_stay(unbalanced, same_masks, start_daemon):
    """A mask of one CPU is its owner's word."""
    daemon_ = start_daemon()
    with hogs.stacked(unbalanced, stack=unbalanced.cpus[0], for_msec=1500) as movable:
        pinned = movable.told.tids()[:2]
        for tid in pinned:
            os.sched_setaffinity(tid, {unbalanced.cpus[0]})
        at_nsec = time.monotonic_ns()
        movable.wait_for_end()
        late = [c for c in movable.told.changes if c.tid in pinned and c.at_nsec > at_nsec + 10**8]
        # A move may have been under way when the mask was set; from then on nothing happens.
        assert {change.cpu for change in late} <= {unbalanced.cpus[0]}
    assert daemon_.stop() == 0


def test_it_never_touches_kernel_threads(unbalanced, same_masks, start_daemon):
    daemon_ = start_daemon()
    assert_spreads(unbalanced, daemon_)
    assert [move for move in daemon_.moves() if procfs.is_kernel_thread(move.tid)] == []


def test_stopped_and_continued(unbalanced, same_masks, start_daemon):
    """A suspended daemon goes on where it was; the clock's jump is no work for it."""
    daemon_ = start_daemon()
    daemon_.process.send_signal(signal.SIGSTOP)
    with hogs.stacked(unbalanced) as run:
        run.wait_for_ticks(5)
        assert run.told.spread_usec(2) is None
        daemon_.process.send_signal(signal.SIGCONT)
        run.wait_until_spread()
        assert daemon_.stop() == 0
