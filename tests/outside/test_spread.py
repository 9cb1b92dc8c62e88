# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job on real threads: stacked hogs are spread, told truly, and left as they were."""

import contextlib
import re
import signal
import socket

import pytest
from support import daemon, hogs, kills, machine, procfs


def wait_for_rotation(arranged, run, daemon_):
    """Waits for threads to take turns, which they do while they do not divide by the CPUs: beside
    somebody else's busy thread it takes one more for that."""
    with contextlib.ExitStack() as more:
        for _ in range(10):
            run.wait_for_ticks(len(run.told.work_by_tick()) + 15)
            if any(move.why == "rotate" for move in daemon_.moves()):
                return
            more.enter_context(hogs.stacked(arranged, threads=1))
    pytest.fail("no rotation:\n" + "\n".join(daemon_.lines))


def n_cpus_to_fill(arranged, n_hogs=4):
    return min(n_hogs, len(arranged.cpus))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_stacked_hogs_are_spread(unbalanced, same_masks, start_daemon, kind):
    daemon_ = start_daemon()
    with hogs.stacked(unbalanced, **{kind: 4}) as run:
        before = run.masks()
        run.wait_until_spread(n_cpus_to_fill(unbalanced))
        assert daemon_.stop() == 0
        assert procfs.changed_masks(before, run.masks()) == []


def test_without_the_daemon_they_stay(unbalanced):
    """What makes the other tests mean something: nothing else spreads them."""
    with hogs.stacked(unbalanced, for_msec=1000) as run:
        run.wait_for_end()
        assert all(run.told.cpus_of(tid) == [unbalanced.cpus[0]] for tid in run.told.tids())


def test_every_told_move_was_made_and_every_made_move_told(unbalanced, same_masks, start_daemon):
    """The way of each thread by its own account is the way that the log tells."""
    daemon_ = start_daemon("--set", "balance.rotate=300ms")
    with hogs.stacked(unbalanced, threads=2 * len(unbalanced.cpus) - 1, every_msec=200) as run:
        daemon_.wait_line("comm=hog .* why=balance ")
        wait_for_rotation(unbalanced, run, daemon_)
        assert daemon_.stop() == 0
        # A moved thread that waits has yet to find itself where it is: give each its turn.
        run.wait_for_ticks(len(run.told.work_by_tick()) + 5)
        told = run.stop()
    moves = [move for move in daemon_.moves() if move.tid in told.tids() and move.made]
    for tid in told.tids():
        hops = [(move.orig, move.dest) for move in moves if move.tid == tid]
        # Moves of one thread are a cooldown apart, so it got to run at each stop.
        seen = told.cpus_of(tid)
        assert hops == list(zip(seen, seen[1:])), f"thread {tid}"


def test_observing_moves_nothing(unbalanced, same_masks, start_daemon):
    daemon_ = start_daemon("--observe")
    with hogs.stacked(unbalanced) as run:
        line = daemon_.wait_line(r"^would: sched_migrate_task: comm=hog ")
        run.wait_for_ticks(5)
        told = run.stop()
    assert all(told.cpus_of(tid) == [unbalanced.cpus[0]] for tid in told.tids())
    assert {change.mask for change in told.changes[len(told.tids()) :]} <= {
        report.mask for report in told.reports["start"]
    }
    assert daemon.parse_move(line).dest in unbalanced.cpus
    assert daemon_.stop() == 0
    assert [move for move in daemon_.moves() if not move.observed] == []


def test_balancing_can_be_switched_off(unbalanced, start_daemon):
    daemon_ = start_daemon("--set", "balance.unbalanced=no")
    with hogs.stacked(unbalanced, for_msec=4000) as run:
        run.wait_for_end()
        assert all(run.told.cpus_of(tid) == [unbalanced.cpus[0]] for tid in run.told.tids())
    assert daemon_.stop() == 0


@pytest.mark.parametrize("name", ["a)\nR (b c", "x\x1b[31m\x07", "\\x41 \"'%s%n", ") R 1 1"])
def test_hostile_names(unbalanced, same_masks, start_daemon, name):
    """Whatever a thread calls itself, a move of it is one line of printable text."""
    daemon_ = start_daemon()
    with hogs.stacked(unbalanced, name=name) as run:
        run.wait_until_spread(n_cpus_to_fill(unbalanced))
        assert daemon_.stop() == 0
        tids = set(run.told.tids())
    lines = [line for line in daemon_.lines if "sched_migrate_task" in line]
    assert {daemon.parse_move(line).tid for line in lines} & tids
    assert all(re.fullmatch(r"[ -~]+", line) for line in daemon_.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(unbalanced, same_masks, start_daemon, number):
    daemon_ = start_daemon()
    with hogs.stacked(unbalanced) as run:
        before = run.masks()
        daemon_.wait_line("^sched_migrate_task: comm=hog ")
        assert daemon_.stop(number) == 0
        assert procfs.changed_masks(before, run.masks()) == []


@pytest.mark.parametrize("after_moves", [0, 1, 2])
def test_killed_then_restored(unbalanced, same_masks, start_daemon, runtime_dir, after_moves):
    daemon_ = start_daemon()
    with hogs.stacked(unbalanced) as run:
        before = run.masks()
        for n in range(after_moves):
            daemon_.wait_line("^sched_migrate_task: comm=hog ", start=n)
        assert daemon_.stop(signal.SIGKILL) == -signal.SIGKILL
        done = daemon.restore(runtime_dir)
        assert done.returncode == 0, done.stderr
        assert kills.read_restored(done.stderr)["failed"] == 0
        assert procfs.changed_masks(before, run.masks()) == []


def test_restore_refuses_while_a_daemon_runs(runtime_dir, start_daemon):
    daemon_ = start_daemon()
    done = daemon.restore(runtime_dir)
    assert done.returncode == 1
    assert "another balancerd" in done.stderr
    assert daemon_.stop() == 0


def test_kernel_balanced_cpus_are_left_alone(same_masks, start_daemon):
    """The kernel spreads these hogs itself: balancerd has nothing to do."""
    daemon_ = start_daemon()
    with machine.lock():
        with hogs.Hogs(threads=2, for_msec=1500) as run:
            run.wait_for_end()
            tids = run.told.tids()
    assert daemon_.stop() == 0
    assert [move for move in daemon_.moves() if move.tid in tids] == []


def test_readiness_is_notified(start_daemon, tmp_path):
    """The protocol of sd_notify(3): READY=1 after the first sample, STOPPING=1 at the end."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        server.settimeout(daemon.PATIENCE_SEC)
        daemon_ = start_daemon(env={"NOTIFY_SOCKET": str(path)})
        messages = [server.recv(4096).decode()]
        while "READY=1" not in messages[-1].splitlines():
            messages.append(server.recv(4096).decode())
        assert "STOPPING=1" not in "".join(messages)
        assert daemon_.stop() == 0
        while "STOPPING=1" not in messages[-1].splitlines():
            messages.append(server.recv(4096).decode())


def test_counts(start_daemon):
    daemon_ = start_daemon()
    counts = daemon_.counts()
    assert counts["threads"] > 10
    assert counts["ticks"] >= 1
    assert counts["moved"] == 0
    assert daemon_.stop() == 0
