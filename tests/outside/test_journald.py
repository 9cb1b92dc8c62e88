# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real journal takes what the daemon says, and can do it no harm."""

import os
import shutil
import signal
import subprocess

import pytest
from support import journald, varlink
from support.journald import by_id

# With a newline, a code for terminals, a byte that is no UTF-8: the name of a program is free.
NASTY = b"h\n\x1b[1m\xff"


@pytest.fixture
def journal():
    try:
        with journald.Journald() as started:
            yield started
    except journald.Unable as error:
        pytest.skip(str(error))


def test_start_and_end(journal, start_daemon):
    daemon_ = start_daemon("--observe", prefix=journal.prefix, wait=False)
    (ready,) = journal.wait_for(by_id("READY"))
    assert ready["_PID"] == str(daemon_.process.pid)
    assert ready["MESSAGE"].startswith(f"ready: {ready['BALANCERD_THREADS']} threads, ")
    assert daemon_.stop() == 0
    (ending,) = journal.wait_for(by_id("ENDING"))
    assert (ending["BALANCERD_SIGNAL"], ending["PRIORITY"]) == ("SIGTERM", "6")
    # Nothing went past the journal.
    assert daemon_.lines == []


@pytest.fixture
def nasty(unbalanced, runtime_dir):
    """Busy processes of a nasty name, which all begin on one CPU and may run on all."""
    program = bytes(runtime_dir / "x")[:-1] + NASTY
    shutil.copy("/bin/sh", program)

    def prepare():
        unbalanced.join()
        os.sched_setaffinity(0, {unbalanced.cpus[0]})

    started = [
        subprocess.Popen([program, "-c", "while :; do :; done"], preexec_fn=prepare)
        for _ in range(4)
    ]
    for process in started:
        os.sched_setaffinity(process.pid, unbalanced.cpus)
    yield {str(process.pid) for process in started}
    for process in started:
        process.kill()
        process.wait()


def test_moves_have_fields(nasty, journal, same_masks, start_daemon):
    daemon_ = start_daemon(prefix=journal.prefix, wait=False)
    moves = []
    while not moves:
        moves = [one for one in journal.wait_for(by_id("MOVED")) if one["BALANCERD_TID"] in nasty]
    assert daemon_.stop() == 0
    for move in moves:
        assert journald.assert_fields_of_move(move).comm == r"h\x0a\x1b[1m\xff"
        assert move["BALANCERD_COMM"] == NASTY
        assert move["BALANCERD_PID"] == move["BALANCERD_TID"]
    # By any field, as administrators ask.
    found = journal.entries(f"BALANCERD_TID={moves[0]['BALANCERD_TID']}")
    assert found[0]["MESSAGE"] == moves[0]["MESSAGE"]


def test_journal_that_stands_still(journal, start_daemon, runtime_dir):
    """Nobody waits for it, and what was lost is told afterwards."""
    daemon_ = start_daemon("--observe", prefix=journal.prefix, wait=False)
    journal.wait_for(by_id("READY"))
    journal.process.send_signal(signal.SIGSTOP)
    with varlink.Client.connect(varlink.socket_path(runtime_dir)) as client:
        # More than the socket of any journal holds.
        for _ in range(2000):
            daemon_.process.send_signal(signal.SIGUSR1)
            client.call("org.varlink.service.GetInfo")
        journal.process.send_signal(signal.SIGCONT)
        before = len(journal.wait_for())
        while not journal.entries(by_id("DROPPED")):
            daemon_.process.send_signal(signal.SIGUSR1)
            client.call("org.varlink.service.GetInfo")
        (dropped,) = journal.entries(by_id("DROPPED"))
        assert before < 2000
        assert 0 < int(dropped["BALANCERD_DROPPED"]) < 2000
    assert daemon_.stop() == 0


def test_journal_that_is_started_anew(journal, start_daemon):
    daemon_ = start_daemon("--observe", prefix=journal.prefix, wait=False)
    journal.wait_for(by_id("READY"))
    journal.kill()
    journal.start()
    assert daemon_.stop() == 0
    (ending,) = journal.wait_for(by_id("ENDING"))
    assert ending["_PID"] == str(daemon_.process.pid)


def test_no_journal_at_all(journal, start_daemon, runtime_dir):
    journal.kill()
    daemon_ = start_daemon("--observe", prefix=journal.prefix, wait=False)
    while True:
        try:
            with varlink.Client.connect(varlink.socket_path(runtime_dir)) as client:
                assert client.call("io.balancerd.GetStatus")["pid"] == daemon_.process.pid
            break
        except (FileNotFoundError, ConnectionRefusedError):
            assert daemon_.process.poll() is None
    assert daemon_.stop() == 0
