# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon and its service manager: readiness, watchdog, end, activation, kept descriptors."""

import contextlib
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from support import daemon, kills, notify, tree, varlink

# Pings are waited for: how long that takes, nothing depends on.
WATCHDOG_USEC = 400_000


@pytest.fixture
def manager():
    with notify.Manager() as started:
        yield started


@pytest.fixture
def start(start_daemon):
    """Starts a daemon that moves nothing; what it serves and notifies is the same."""

    def start_observing(**options):
        return start_daemon("--observe", wait=False, **options)

    return start_observing


def listening(path):
    """What the socket unit makes."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(os.fspath(path))
    sock.listen(16)
    return sock


def pid_of_status(client):
    return client.call("io.balancerd.GetStatus")["pid"]


def ask(path):
    with varlink.Client.connect(path) as client:
        return pid_of_status(client)


def stop(daemon_, manager):
    assert daemon_.stop() == 0
    # What is told by a process comes before its end.
    return manager.drain()


# Ready, stopping.


def test_ready_when_the_socket_answers(start, manager, runtime_dir):
    daemon_ = start(env=manager.environment())
    # Connected in the very moment that it may be, by what systemd starts after it.
    message = manager.wait_for(READY="1")
    assert ask(varlink.socket_path(runtime_dir)) == daemon_.process.pid
    assert message.pid == daemon_.process.pid
    assert "threads, CPUs without kernel balancing: " in message.fields["STATUS"]
    assert daemon_.counts()["ticks"] >= 1
    assert [one for one in manager.messages if "READY" in one.fields] == [message]
    assert [one.fields for one in stop(daemon_, manager)] == [{"STOPPING": "1"}]


def test_not_ready_and_stopping_when_it_cannot_start(start, manager, runtime_dir):
    (runtime_dir / "private").write_text("")
    daemon_ = start(env=manager.environment())
    assert daemon_.wait() == 1
    assert [one for one in manager.drain() if "READY" in one.fields] == []


def test_reload_is_told_from_its_beginning_to_its_end(start, manager, runtime_dir):
    """As Type=notify-reload has it; the manager waits for the end whatever came of it."""
    folder = runtime_dir / "etc"
    folder.mkdir()
    daemon_ = start(env=manager.environment())
    manager.wait_for(READY="1")
    for text in ('{"balance": {"rotate": "off"}}', "{", "{}"):
        (folder / "balancerd.json").write_text(text)
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon_.process.send_signal(signal.SIGHUP)
        reloading = manager.wait_for(RELOADING="1")
        ready = manager.wait_for(READY="1")
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert before <= int(reloading.fields["MONOTONIC_USEC"]) <= after
        assert "threads" in ready.fields["STATUS"]
        assert ("the last reload was refused" in ready.fields["STATUS"]) == (text == "{")
    stop(daemon_, manager)


# The watchdog.


def test_watchdog_is_fed_until_the_daemon_stands_still(start):
    with notify.Manager(watchdog_usec=WATCHDOG_USEC) as manager:
        daemon_ = start(env=manager.environment())
        manager.wait_for(READY="1")
        for _ in range(3):
            assert manager.wait_for(WATCHDOG="1").pid == daemon_.process.pid
        daemon_.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, daemon_.process.pid, os.WSTOPPED | os.WNOWAIT)
        manager.drain()
        # Longer than systemd would wait.
        assert manager.receive(2 * WATCHDOG_USEC / 1e6) is None
        daemon_.process.send_signal(signal.SIGCONT)
        manager.wait_for(WATCHDOG="1")
        manager.wait_for(WATCHDOG="1")
        stop(daemon_, manager)


def test_watchdog_is_fed_without_a_descriptor_to_spare(start):
    with notify.Manager(watchdog_usec=WATCHDOG_USEC) as manager:
        daemon_ = start(env=manager.environment())
        manager.wait_for(READY="1")
        soft, hard = resource.prlimit(daemon_.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon_.process.pid, resource.RLIMIT_NOFILE, (0, hard))
        manager.drain()
        for _ in range(3):
            manager.wait_for(WATCHDOG="1")
        # A sanitizer opens files at the end.
        resource.prlimit(daemon_.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        stop(daemon_, manager)


def test_no_watchdog_no_pings(start, manager):
    daemon_ = start(env=manager.environment())
    manager.wait_for(READY="1")
    daemon_.counts()
    assert "WATCHDOG" not in {key for one in stop(daemon_, manager) for key in one.fields}


# Activation.


def test_activated_by_a_client_that_waits(start, manager, runtime_dir):
    """What connected and asked before the daemon was there is answered; the socket stays."""
    path = runtime_dir / "elsewhere"
    with listening(path) as listener, varlink.Client.connect(path) as client:
        client.send("io.balancerd.GetStatus")
        daemon_ = start(**manager.passing(("varlink", listener)))
        assert client.receive().parameters["pid"] == daemon_.process.pid
        manager.wait_for(READY="1")
        assert not Path(varlink.socket_path(runtime_dir)).exists()
        assert sorted(name for name, _fd in manager.stored) == ["ledger", "varlink"]
        stop(daemon_, manager)
        # The socket unit's, which goes on listening.
        with varlink.Client.connect(path) as late:
            late.send("io.balancerd.GetStatus")
            second = start(**manager.passing(("varlink", listener)))
            assert late.receive().parameters["pid"] == second.process.pid


def test_socket_that_blocks_does_not_block_the_daemon(start, manager, runtime_dir):
    """A connection that is gone before it is accepted: accept(2) would wait for the next."""
    with listening(runtime_dir / "elsewhere") as listener:
        assert listener.getblocking()
        daemon_ = start(**manager.passing(("varlink", listener)))
        manager.wait_for(READY="1")
        assert not os.get_blocking(listener.fileno())
        stop(daemon_, manager)


# Descriptors that outlive it.


def test_own_socket_is_kept_over_a_kill(start, manager, runtime_dir):
    path = varlink.socket_path(runtime_dir)
    first = start(env=manager.environment())
    manager.wait_for(READY="1")
    assert sorted(name for name, _fd in manager.stored) == ["ledger", "varlink"]
    first.process.kill()
    first.wait()
    with varlink.Client.connect(path) as client:
        client.send("io.balancerd.GetStatus")
        second = start(**manager.passing(*manager.stored))
        assert client.receive().parameters["pid"] == second.process.pid
    manager.wait_for(READY="1")
    assert sorted(name for name, _fd in manager.stored) == ["ledger", "varlink"]
    assert [line for line in second.lines if "closed the descriptor" in line] == []
    assert second.stop() == 0
    assert os.path.exists(path)


def test_own_socket_is_removed_where_nobody_keeps_it(start, runtime_dir):
    daemon_ = start()
    daemon_.wait_ready()
    assert os.path.exists(varlink.socket_path(runtime_dir))
    assert daemon_.stop() == 0
    assert not os.path.exists(varlink.socket_path(runtime_dir))


def test_socket_of_another_is_left_alone(start, runtime_dir):
    """As the socket unit's is, when the daemon is run by hand."""
    path = Path(varlink.socket_path(runtime_dir))
    with listening(path) as listener:
        daemon_ = start()
        assert daemon_.wait() == 1
        assert "another program listens on io.balancerd" in daemon_.wait_line("listens")
        assert path.exists()
        # It asked whether somebody is there, and went.
        client, _address = listener.accept()
        assert client.recv(1) == b""
        client.close()
    # Nobody is any more.
    daemon_ = start()
    daemon_.wait_ready()
    assert ask(path) == daemon_.process.pid
    path.unlink()
    with listening(path):
        assert daemon_.stop() == 0
        assert path.exists()


def test_kept_ledger_is_no_claim_to_the_machine(start, manager, runtime_dir):
    """Its lock dies with the daemon, so that ExecStopPost can restore."""
    daemon_ = start(env=manager.environment())
    manager.wait_for(READY="1")
    assert daemon.restore(runtime_dir).returncode == 1
    daemon_.process.kill()
    daemon_.wait()
    assert os.path.samestat(
        os.fstat(manager.take("ledger")), (runtime_dir / "private/ledger").stat()
    )
    assert daemon.restore(runtime_dir).returncode == 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="moving takes two CPUs")
def test_kept_ledger_restores_where_the_folder_lost_it(start, manager, runtime_dir):
    hold = ("--hold", "--hold-msec=50")
    with kills.Victims("plain") as victims:
        n_calls = kills.calls_of(kills.steps(runtime_dir, *hold, victims.pids[0]))
        result = kills.steps(runtime_dir, *hold, f"--die-before={n_calls - 3}", victims.pids[0])
        assert kills.died(result)
        assert victims.judge()[1] != []
        path = runtime_dir / "private/ledger"
        with path.open("r+b") as kept:
            path.unlink()
            daemon_ = start(**manager.passing(("ledger", kept)))
            manager.wait_for(READY="1")
        daemon_.wait_ready()
        assert kills.read_restored("\n".join(daemon_.lines))["restored"] >= 1
        assert victims.judge()[1] == []
        # It keeps the new one, and that alone.
        assert os.path.samestat(os.fstat(manager.take("ledger")), path.stat())
        stop(daemon_, manager)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what another user may not give back")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="moving takes two CPUs")
def test_kept_ledger_stays_while_it_holds_what_cannot_be_given_back(start, manager, runtime_dir):
    """A daemon without power leaves it to the next one, which has it."""
    hold = ("--hold", "--hold-msec=50")
    own = runtime_dir / "own"
    own.mkdir()
    os.chown(own, 65534, 65534)
    program = shutil.copy(tree.BALANCERD, runtime_dir / "balancerd")  # where others may go

    def become_weak():
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)

    with kills.Victims("plain") as victims:
        n_calls = kills.calls_of(kills.steps(runtime_dir, *hold, victims.pids[0]))
        assert kills.died(kills.steps(runtime_dir, *hold, f"--die-before={n_calls - 3}", victims.pids[0]))
        path = runtime_dir / "private/ledger"
        path.chmod(0o666)
        with path.open("r+b") as kept:
            daemon_ = start(
                runtime_dir=own, binary=program, preexec=become_weak, **manager.passing(("ledger", kept))
            )
            manager.wait_for(READY="1")
            daemon_.wait_ready()
            assert kills.read_restored("\n".join(daemon_.lines))["failed"] == 1
            assert victims.judge()[1] != []
            told = stop(daemon_, manager)
            removed = [one for one in manager.messages + told if "FDSTOREREMOVE" in one.fields]
            assert [one for one in removed if one.fields["FDNAME"] == "ledger"] == []
            path.unlink()
            strong = start(**manager.passing(("ledger", kept)))
            manager.wait_for(READY="1")
            strong.wait_ready()
            assert kills.read_restored("\n".join(strong.lines))["restored"] == 1
            assert victims.judge()[1] == []
            stop(strong, manager)


def test_restart_and_restart(start, manager, runtime_dir):
    """The store does not grow."""
    for _ in range(3):
        daemon_ = start(**manager.passing(*manager.stored))
        manager.wait_for(READY="1")
        assert ask(varlink.socket_path(runtime_dir)) == daemon_.process.pid
        daemon_.process.kill()
        daemon_.wait()
        manager.drain()
        assert sorted(name for name, _fd in manager.stored) == ["ledger", "varlink"]


def restart(listener, path):
    """What systemctl restart does to a socket unit that is PartOf= the service: a new socket."""
    listener.close()
    path.unlink()
    return listening(path)


def test_restart_with_the_socket_unit(start, manager, runtime_dir):
    """Who waits on the old socket is answered, and who waits on the new one; the next daemon finds
    the new one alone."""
    path = runtime_dir / "elsewhere"
    listener = listening(path)
    for _ in range(3):
        daemon_ = start(**manager.passing(("varlink", listener), *manager.stored))
        manager.wait_for(READY="1")
        assert os.path.sameopenfile(manager.take("varlink"), listener.fileno())
        stop(daemon_, manager)
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(varlink.Client.connect(path)) for _ in range(3)]
            listener = restart(listener, path)
            waiting += [stack.enter_context(varlink.Client.connect(path)) for _ in range(3)]
            for client in waiting:
                client.send("io.balancerd.GetStatus")
            daemon_ = start(**manager.passing(("varlink", listener), *manager.stored))
            for client in waiting:
                assert client.receive().parameters["pid"] == daemon_.process.pid
            manager.wait_for(READY="1")
            assert "took 3 clients" in daemon_.wait_line("of an earlier daemon")
            stop(daemon_, manager)
    listener.close()


def test_socket_of_the_unit_comes_from_the_store_too(start, manager, runtime_dir):
    """As after a crash: it is the same, and nothing to be said about."""
    with listening(runtime_dir / "elsewhere") as listener:
        for _ in range(3):
            daemon_ = start(**manager.passing(("varlink", listener), *manager.stored))
            manager.wait_for(READY="1")
            assert ask(runtime_dir / "elsewhere") == daemon_.process.pid
            daemon_.process.kill()
            daemon_.wait()
            manager.drain()
            assert sorted(name for name, _fd in manager.stored) == ["ledger", "varlink"]
        assert [line for line in daemon_.lines if "descriptor" in line or "earlier" in line] == []


# Descriptors that are not what they should be.


def stream_socket_that_does_not_listen(_folder):
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def datagram_socket(folder):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(os.fspath(folder / "datagrams"))
    return sock


def tcp_socket(_folder):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.listen(1)
    return sock


def regular_file(folder):
    return (folder / "file").open("w+b")


def pipe(_folder):
    reader, writer = os.pipe()
    os.close(writer)
    return os.fdopen(reader, "rb")


def listener(folder):
    return listening(folder / "elsewhere")


def closed_after_passing(_folder):
    return select.epoll()


@pytest.mark.parametrize(
    ("name", "make", "why"),
    [
        ("varlink", stream_socket_that_does_not_listen, "no listening stream socket"),
        ("varlink", datagram_socket, "no listening stream socket"),
        ("varlink", tcp_socket, "no listening stream socket"),
        ("varlink", regular_file, "no listening stream socket"),
        ("varlink", pipe, "no listening stream socket"),
        ("ledger", pipe, "no regular file"),
        ("ledger", listener, "no regular file"),
        ("stored", listener, "no use for that name"),
        ("unknown", regular_file, "no use for that name"),
        ("varlink2", listener, "no use for that name"),
        ("ledger", closed_after_passing, "no regular file"),
    ],
)
def test_wrong_descriptor(start, manager, runtime_dir, name, make, why):
    """It is closed and dropped from the store, by its name; the daemon does without."""
    with make(runtime_dir) as passed:
        daemon_ = start(**manager.passing((name, passed)))
    line = daemon_.wait_line("closed the descriptor")
    assert f'"{name}"' in line
    assert why in line
    manager.wait_for(FDSTOREREMOVE="1", FDNAME=name)
    daemon_.wait_ready()
    assert ask(varlink.socket_path(runtime_dir)) == daemon_.process.pid


def test_two_listeners_are_enough(start, manager, runtime_dir):
    paths = [runtime_dir / name for name in ("one", "two", "three")]
    with listening(paths[0]) as one, listening(paths[1]) as two, listening(paths[2]) as three:
        daemon_ = start(**manager.passing(("varlink", one), ("varlink", two), ("varlink", three)))
        manager.wait_for(READY="1")
        assert ask(paths[0]) == daemon_.process.pid
        assert "there are enough of that name" in daemon_.wait_line("closed the descriptor")


@pytest.mark.parametrize("content", [b"", b"notes", bytes(5000), os.urandom(5000)])
def test_foreign_file_as_the_ledger(start, manager, runtime_dir, content):
    path = runtime_dir / "file"
    path.write_bytes(content)
    with path.open("r+b") as passed:
        daemon_ = start(**manager.passing(("ledger", passed)))
    manager.wait_for(READY="1")
    assert path.read_bytes() == content
    assert os.path.samestat(
        os.fstat(manager.take("ledger")), (runtime_dir / "private/ledger").stat()
    )
    stop(daemon_, manager)


def test_descriptors_for_another_process(start, manager, runtime_dir):
    """What is in the environment of a process that was not meant is not taken."""
    with listening(runtime_dir / "elsewhere") as sock:
        daemon_ = start(
            env={"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "varlink"},
            pass_fds=[sock.fileno()],
        )
        daemon_.wait_ready()
        assert ask(varlink.socket_path(runtime_dir)) == daemon_.process.pid


def test_no_descriptor_is_left_open(start, manager, runtime_dir):
    """Neither what was refused nor a second ledger."""
    with listening(runtime_dir / "one") as one, regular_file(runtime_dir) as file:
        daemon_ = start(**manager.passing(("bogus", file), ("varlink", one), ("ledger", file)))
        manager.wait_for(READY="1")
        pid = daemon_.process.pid
        targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert [target for target in targets if target.endswith("/file")] == []
        assert sum(target.endswith("/private/ledger") for target in targets) == 1


# Its own rights and limits.


def test_it_takes_as_many_descriptors_as_it_may(start_daemon):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2048))

    daemon_ = start_daemon("--observe", preexec=limit)
    limits = Path(f"/proc/{daemon_.process.pid}/limits").read_text()
    assert re.search(r"^Max open files +(\d+) +(\d+)", limits, re.M).groups() == ("2048", "2048")


NET_ADMIN = 1 << 12
SETS = ("CapInh", "CapPrm", "CapEff", "CapAmb")


def capabilities(pid):
    """The sets of all threads."""
    found = []
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        found.append([int(fields[key], 16) for key in SETS])
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")
@pytest.mark.parametrize(
    ("arguments", "kept"), [([], False), (["--set", "taskstats=true"], True)]
)
def test_net_admin_is_given_up(start_daemon, arguments, kept):
    ambient = ["setpriv", "--inh-caps=+net_admin,+sys_nice", "--ambient-caps=+net_admin,+sys_nice"]
    if subprocess.run([*ambient, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("setpriv cannot raise capabilities here")
    daemon_ = start_daemon(*arguments, prefix=ambient)
    threads = capabilities(daemon_.process.pid)
    assert len(threads) >= 2
    for sets in threads:
        assert [bool(one & NET_ADMIN) for one in sets] == [kept] * len(SETS)
