# SPDX-License-Identifier: LGPL-2.1-or-later
"""The socket under bad luck and bad manners: crowds, floods, deaths, no descriptors, stale files.

Each test has a daemon of its own. No root is needed.
"""

import contextlib
import mmap
import os
import resource
import select
import signal
import socket
import stat
import struct
import time

import pytest
from support import daemon, procfs, served, varlink
from support.namespace import after_a_sleep
from support.varlink import encode

SERVICE = "org.varlink.service"
API = "io.balancerd"
STATUS = f"{API}.GetStatus"
INFO = f"{SERVICE}.GetInfo"


@pytest.fixture
def server():
    with served.serving(env=daemon.EXACT_MEMORY) as running:
        yield running


def connect_and_die(server, data=b""):
    sock = varlink.connected_socket(server.path)
    if data:
        try:
            sock.send(data, socket.MSG_NOSIGNAL)
        except BrokenPipeError:
            pass
    sock.close()


class Held:
    """What the daemon holds once it has seen all that was closed, which it does in its loop: when the
    number of its sockets is the same for two samples."""

    def __init__(self, server, client):
        self.sockets = None
        while self.sockets != server.n_sockets():
            self.sockets = server.n_sockets()
            server.wait_for_samples(2, client)
        # Those on threads that it watches come and go.
        self.descriptors = server.n_descriptors()
        self.memory_kb = server.memory_kb()

    def assert_no_more_than(self, before, memory_kb):
        assert self.sockets == before.sockets
        assert self.descriptors - before.descriptors < 100
        assert self.memory_kb - before.memory_kb < memory_kb


# Nothing is kept.


@pytest.mark.parametrize(
    "data",
    [b"", encode(STATUS), encode(STATUS)[:-5], b"\xff\0", encode(f"{API}.Monitor", more=True)],
    ids=["silent", "call", "half a call", "garbage", "monitor"],
)
def test_10000_that_connect_and_die(server, data):
    n = 10000 if not data else 2500
    with server.connect() as client:
        for _ in range(500):
            connect_and_die(server, data)
        before = Held(server, client)
        for _ in range(n):
            connect_and_die(server, data)
        Held(server, client).assert_no_more_than(before, memory_kb=512)
        assert client.call(STATUS)["connections"] == 1


def test_10000_calls(server):
    with server.connect() as client:
        calls = [(STATUS, None), (INFO, None), (f"{API}.Explain", {"tid": os.getpid()})]
        for _ in range(200):
            client.pipeline(calls)
        before = Held(server, client)
        for _ in range(3334):
            client.pipeline(calls)
        Held(server, client).assert_no_more_than(before, memory_kb=256)


def test_connections_cost_little(server):
    """Those that have nothing under way; and all is given back that they cost."""
    with server.connect() as client:
        limit = 200 if client.call(STATUS)["privileged"] else 20

        def crowd():
            for _ in range(limit):
                one = server.connect()
                assert one.call(INFO)
                yield one

        for one in list(crowd()):
            one.close()
        before = Held(server, client)
        many = list(crowd())
        assert client.call(STATUS)["connections"] == limit + 1
        assert server.n_sockets() == before.sockets + limit
        assert server.memory_kb() - before.memory_kb < 4 * limit
        for one in many:
            one.close()
        Held(server, client).assert_no_more_than(before, memory_kb=256)


def test_half_messages_are_bounded(server):
    """The longest beginnings of messages, on many connections: each keeps its own and no more, and
    not longer than the connection."""
    n = 25

    def round_():
        before_kb = server.memory_kb()
        many = [server.raw() for _ in range(n)]
        for one in many:
            one.send(b" " * (varlink.MESSAGE_MAX - 1))
        server.wait_for_samples(2, client)
        # Twice what was sent, and as much again as an allocator may keep of what grew.
        assert server.memory_kb() - before_kb < n * 3 * 64
        for one in many:
            one.close()
        return Held(server, client)

    with server.connect() as client:
        # An allocator keeps some of it for the next time, a sanitizer's more; what a round leaks adds up.
        first = round_()
        for _ in range(8):
            last = round_()
        last.assert_no_more_than(first, memory_kb=2 * n * 64)


# Those who do not read.


def test_lists_that_nobody_reads(server):
    """What waits for each is bounded, whatever was asked for; others are served, and when the reader
    comes to it all is there."""
    with server.connect() as client:
        memory_kb = server.memory_kb()
        call = encode(f"{API}.ListThreads", {"all": True}, more=True)
        deaf = [server.raw() for _ in range(10)]
        for one in deaf:
            one.send(call * 200)
        server.wait_for_samples(3, client)
        assert server.memory_kb() - memory_kb < 10 * 3 * 128
        server.assert_serves()
        lists = 0
        while lists < 200:
            reply = varlink.Reply.of(deaf[0].message())
            served.JUDGE.check(f"{API}.ListThreads", reply)
            lists += not reply.continues


def test_who_never_reads_is_dropped(server):
    """Its limit for that is seconds; the daemon says so, and serves others meanwhile."""
    with server.connect() as client, server.raw() as deaf:
        calls = memoryview(encode(STATUS) * 3000)
        while calls and (n := deaf.send_some(calls)):
            calls = calls[n:]
        deadline = varlink.Deadline()
        while not hung_up(deaf):
            deaf.wait(0, timeout=0.1)
            assert client.call(STATUS)
            deadline.check()


def hung_up(raw):
    poll = select.poll()
    poll.register(raw, 0)
    return any(events & select.POLLHUP for _fd, events in poll.poll(0))


# Floods.


def flood(path, counter, call):
    """Calls as fast as replies come, many in flight; counts the replies in COUNTER. Never ends."""
    chunk = encode(*call) * 20
    with varlink.Raw.connect(path) as raw:
        waiting = memoryview(chunk)
        while True:
            n = raw.send_some(waiting)
            waiting = waiting[n:] or memoryview(chunk)
            data = raw.receive_some()
            if data is None:
                if not n:
                    raw.wait(select.POLLIN | select.POLLOUT)
                continue
            counter.add(data.count(b"\0"))


class Counter:
    """A number that processes share: one writes, others read."""

    def __init__(self):
        self.memory = mmap.mmap(-1, 8)

    def add(self, n):
        self.memory[:] = struct.pack("Q", self.value() + n)

    def value(self):
        return struct.unpack("Q", self.memory[:])[0]


class Flood:
    """A process that floods the daemon for as long as the block lasts."""

    def __init__(self, path, call):
        self.counter = Counter()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                flood(path, self.counter, call)
            finally:
                os._exit(1)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def stop(server):
    """Suspends the daemon, and waits until it is."""
    server.daemon.process.send_signal(signal.SIGSTOP)
    deadline = varlink.Deadline()
    while procfs.state(server.pid) != "T":
        deadline.check()


def resume(server):
    server.daemon.process.send_signal(signal.SIGCONT)


def count_there(raw):
    """Takes what replies are there, and counts them."""
    n = 0
    while data := raw.receive_some():
        n += data.count(b"\0")
    return n


def answered_before(server, victim, calls, n_floods=3):
    """N_FLOODS connections send CALLS at once; when the first replies come VICTIM sends one: how many
    replies the others have until it has its own, and then until the daemon is suspended."""
    floods = [server.raw() for _ in range(n_floods)]
    server.assert_serves()
    stop(server)
    for one in floods:
        one.send(calls)
    resume(server)
    poll = select.poll()
    for one in floods:
        poll.register(one, select.POLLIN)
    assert poll.poll(1000 * varlink.PATIENCE_SEC)
    for one in floods:
        count_there(one)
    victim.send(INFO)
    assert victim.raw.wait(select.POLLIN)
    stop(server)
    assert victim.receive().parameters
    n = sum(count_there(one) for one in floods)
    resume(server)
    for one in floods:
        one.close()
    return n


def test_turns(server):
    """Each connection in turn has one call answered, or 32 replies of a long answer: who comes last
    does not wait for all that lies there."""
    calls = encode(f"{API}.ListThreads", {"all": True}, more=True) * 60
    with server.connect() as victim:
        rounds = [answered_before(server, victim, calls) for _ in range(10)]
    assert min(rounds) < 3 * 32 * 3, rounds


@pytest.mark.parametrize(
    "call", [(STATUS, None), (f"{API}.None", None), (f"{API}.Explain", {"tid": 1})],
    ids=["status", "unknown method", "explain"],
)  # fmt: skip
def test_floods_starve_nobody(server, call):
    """Who asks one thing at a time is served among those who ask thousands; and the daemon goes on
    with what it is for."""
    with server.connect() as victim, contextlib.ExitStack() as stack:
        floods = [stack.enter_context(Flood(server.path, call)) for _ in range(3)]
        deadline = varlink.Deadline()
        while not all(one.counter.value() > 1000 for one in floods):
            assert victim.call(INFO)
            deadline.check()
        for _ in range(300):
            assert victim.call(INFO)
        assert server.wait_for_samples(5, victim) >= 5


@pytest.mark.skipif(os.geteuid() != 0, reason="a flood is at the cost of its user, who is ours")
def test_a_flood_of_connections_keeps_nobody_out(server):
    stop = Counter()
    pid = os.fork()
    if pid == 0:
        try:
            while not stop.value():
                connect_and_die(server, encode(INFO))
        finally:
            os._exit(0)
    try:
        with server.connect() as client:
            assert server.wait_for_samples(10, client, each=server.assert_serves) >= 10
    finally:
        stop.add(1)
        os.waitpid(pid, 0)


def test_a_flood_of_garbage(server):
    """The log is not flooded (served.stop() counts its lines)."""
    for _ in range(1000):
        connect_and_die(server, b"garbage\0")
    server.assert_serves()


# No descriptors left.


def limit_descriptors(server, n):
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (min(n, hard), hard))
    return soft


def test_no_descriptors_left(server):
    """Who is connected is served, the loop neither ends nor spins, and when there are descriptors
    again those who waited are served."""
    with server.connect() as client:
        Held(server, client)
        highest = max(map(int, os.listdir(f"/proc/{server.pid}/fd")))
        usual = limit_descriptors(server, highest + 1)
        waiting = [server.connect() for _ in range(8)]
        for one in waiting:
            one.send(INFO)
        server.wait_for_samples(2, client)
        before = server.cpu_nsec()
        n = server.wait_for_samples(10, client, each=lambda: select.select([], [], [], 0.1))
        # A loop that spins has all of the 100 milliseconds that lie between two samples.
        assert (server.cpu_nsec() - before) / n < 30e6
        assert client.call(STATUS)["connections"] <= 1 + len(waiting)
        limit_descriptors(server, usual)
        for one in waiting:
            assert one.receive().parameters["product"] == "balancerd"
            one.close()
        server.assert_serves()


def test_no_descriptors_and_a_flood_of_connections(server):
    with server.connect() as client:
        Held(server, client)
        highest = max(map(int, os.listdir(f"/proc/{server.pid}/fd")))
        usual = limit_descriptors(server, highest + 1)
        for _ in range(50):
            connect_and_die(server)
        server.wait_for_samples(5, client)
        for _ in range(50):
            connect_and_die(server, encode(INFO))
        server.wait_for_samples(5, client)
        limit_descriptors(server, usual)
        server.assert_serves()


# The socket's file.


def start(start_daemon, **options):
    return start_daemon("--observe", *served.QUIET, **options)


def listen(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(os.fspath(path))
    sock.listen(1)
    return sock


def test_a_stale_socket(start_daemon, runtime_dir):
    """A killed daemon's: the next one takes its place."""
    path = runtime_dir / varlink.SOCKET_NAME
    listen(path).close()
    with pytest.raises(ConnectionRefusedError):
        varlink.connected_socket(path)
    running = start(start_daemon)
    server = served.Served(running, runtime_dir)
    server.assert_serves()
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    server.stop()


def test_the_socket_goes_with_the_daemon(start_daemon, runtime_dir):
    running = start(start_daemon)
    server = served.Served(running, runtime_dir)
    client = server.connect()
    assert client.call(INFO)
    assert running.stop() == 0
    assert client.raw.is_closed()
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        varlink.connected_socket(server.path)


def test_a_second_daemon_leaves_the_socket_alone(start_daemon, runtime_dir):
    first = served.Served(start(start_daemon), runtime_dir)
    inode = os.stat(first.path).st_ino
    with first.connect() as client:
        second = start(start_daemon, wait=False)
        assert second.wait() == 1
        (complaint,) = second.lines
        assert "another balancerd owns this machine" in complaint
        assert os.stat(first.path).st_ino == inode
        assert client.call(STATUS)["pid"] == first.pid
    first.assert_serves()
    first.stop()


def test_a_file_that_is_no_socket(start_daemon, runtime_dir):
    """Nobody knows whose it is: it stays, and one line says so."""
    path = runtime_dir / varlink.SOCKET_NAME
    path.write_text("mine")
    running = start(start_daemon, wait=False)
    assert running.wait() == 1
    assert any(varlink.SOCKET_NAME in line for line in running.lines), running.lines
    assert path.read_text() == "mine"


def test_a_folder_in_the_sockets_place(start_daemon, runtime_dir):
    path = runtime_dir / varlink.SOCKET_NAME
    path.mkdir()
    running = start(start_daemon, wait=False)
    assert running.wait() == 1
    assert any(varlink.SOCKET_NAME in line for line in running.lines), running.lines
    assert path.is_dir()


def test_a_link_in_the_sockets_place(start_daemon, runtime_dir):
    """What it leads to is touched in no case."""
    path = runtime_dir / varlink.SOCKET_NAME
    other = runtime_dir / "other"
    other.write_text("mine")
    path.symlink_to(other)
    running = start(start_daemon, wait=False)
    status = running.wait() if not running_is_ready(running) else 0
    assert status in (0, 1)
    assert other.read_text() == "mine"
    assert stat.S_ISREG(other.stat().st_mode)


def running_is_ready(running):
    try:
        running.wait_ready()
    except AssertionError:
        return False
    return True


def test_somebody_elses_socket(start_daemon, runtime_dir):
    """It is his: whoever is connected to it stays so, and others find it as before."""
    path = runtime_dir / varlink.SOCKET_NAME
    with listen(path) as other, varlink.connected_socket(path) as theirs:
        accepted, _address = other.accept()
        running = start(start_daemon, wait=False)
        assert running.wait() == 1
        assert any("another program listens" in line for line in running.lines), running.lines
        accepted.send(b"still here")
        assert theirs.recv(16) == b"still here"
        accepted.close()
        varlink.connected_socket(path).close()


def test_the_socket_is_removed_by_somebody(start_daemon, runtime_dir):
    """Who is connected stays connected, and the daemon ends in order."""
    server = served.Served(start(start_daemon), runtime_dir)
    with server.connect() as client:
        os.unlink(server.path)
        assert client.call(INFO)
    server.stop()


def test_killed_and_started_again(start_daemon, runtime_dir):
    """Clients see the end at once, and the next daemon is there for them."""
    first = served.Served(start(start_daemon), runtime_dir)
    clients = [first.connect() for _ in range(10)]
    for one in clients:
        one.send(f"{API}.Monitor", more=True)
        assert one.receive().parameters == {"ready": True}
    first.daemon.process.kill()
    assert first.daemon.wait() == -signal.SIGKILL
    for one in clients:
        assert one.raw.is_closed()
    second = served.Served(start(start_daemon), runtime_dir)
    with second.connect() as client:
        assert client.call(STATUS)["pid"] == second.pid != first.pid
    second.stop()


def test_ends_while_clients_are_busy(start_daemon, runtime_dir):
    """SIGTERM with monitors, unread lists and half messages under way."""
    server = served.Served(start(start_daemon), runtime_dir)
    for data in (
        encode(f"{API}.Monitor", more=True),
        encode(f"{API}.ListThreads", {"all": True}, more=True) * 200,
        encode(STATUS)[:-4],
        encode(STATUS) * 500,
        b"",
    ):
        for _ in range(4):
            server.raw().send(data)
    with server.connect() as client:
        assert client.call(INFO)
    server.stop()


def test_stopped_and_continued(server):
    """Calls wait in the socket meanwhile; who is suspended has dropped nobody for being silent."""
    with server.connect() as client:
        assert client.call(INFO)
        server.daemon.process.send_signal(signal.SIGSTOP)
        client.send(STATUS)
        others = [varlink.connected_socket(server.path) for _ in range(20)]
        server.daemon.process.send_signal(signal.SIGCONT)
        assert client.receive().parameters["pid"] == server.pid
        for one in others:
            one.close()
    server.assert_serves()


def test_without_a_runtime_directory_that_others_may_enter(start_daemon, runtime_dir):
    """The daemon's own folder is private, the socket is not in it."""
    server = served.Served(start(start_daemon), runtime_dir)
    assert stat.S_IMODE(os.stat(runtime_dir).st_mode) & 0o005 == 0o005
    for name in os.listdir(runtime_dir):
        if name != varlink.SOCKET_NAME:
            assert stat.S_IMODE(os.stat(runtime_dir / name).st_mode) & 0o077 == 0, name
    server.stop()


def test_path_that_is_too_long_for_a_socket(start_daemon, runtime_dir):
    """108 bytes are what the kernel takes: one line says so, and nothing else happens."""
    folder = runtime_dir / ("x" * 100)
    folder.mkdir()
    running = start(start_daemon, runtime_dir=folder, wait=False)
    if running_is_ready(running):
        assert daemon.restore(folder)
    else:
        assert running.wait() == 1
        assert any("too long" in line.lower() for line in running.lines), running.lines


def test_a_machine_that_has_slept():
    """Its start is told right, though CLOCK_BOOTTIME is eight hours ahead of CLOCK_MONOTONIC."""
    began = time.time()
    with served.serving(prefix=after_a_sleep(8 * 3600)) as server, server.connect() as client:
        assert began - 1 < client.call(STATUS)["startedUSec"] / 1e6 < time.time() + 1
