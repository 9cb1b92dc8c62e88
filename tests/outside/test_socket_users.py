# SPDX-License-Identifier: LGPL-2.1-or-later
"""The socket for several users: who sees what, who may do what, and nobody at another's cost.

Connections of other users come from processes of theirs, see support.varlink.User.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

import pytest
from support import daemon, hogs, served, tree, varlink
from support.namespace import in_mount_namespace
from support.varlink import NOBODY, encode

SERVICE = "org.varlink.service"
API = "io.balancerd"
STATUS = f"{API}.GetStatus"
INFO = f"{SERVICE}.GetInfo"
EXPLAIN = f"{API}.Explain"
LIST = f"{API}.ListThreads"
NO_SUCH_THREAD = f"{API}.NoSuchThread"
TOO_MANY = f"{API}.TooManyConnections"
OTHER = 65533  # another user without privilege
PER_USER = 32
FOR_ALL = 1024


@pytest.fixture
def server():
    with served.serving(env=daemon.EXACT_MEMORY) as running:
        yield running


@pytest.fixture
def nobody():
    with varlink.User(NOBODY, NOBODY) as user:
        yield user


@pytest.fixture
def other():
    with varlink.User(OTHER, OTHER) as user:
        yield user


def listed(client, parameters):
    """Threads, none where the daemon says that there is none."""
    try:
        return [one["thread"] for one in client.more(LIST, parameters)]
    except varlink.Refused as refused:
        assert refused.error == NO_SUCH_THREAD
        return []


# Seeing.


def test_own_threads_only(server, nobody):
    with server.connect(nobody) as client:
        threads = listed(client, {"all": True})
        assert {thread["uid"] for thread in threads} <= {NOBODY}
        assert client.call(EXPLAIN, {"tid": nobody.pid})["thread"]["uid"] == NOBODY
        assert [thread["tid"] for thread in listed(client, {"tid": nobody.pid})] == [nobody.pid]


@pytest.mark.parametrize("whose", ["init", "daemon", "kernel", "other"])
def test_others_threads_are_not_there(server, nobody, other, whose):
    """They are answered as those that do not exist, byte for byte but for the number."""
    tid = {"init": 1, "daemon": server.pid, "kernel": 2, "other": other.pid}[whose]
    free = 2**22 - 3  # below the kernel's limit, and hardly ever used
    answers = {}
    for one in (tid, free):
        with server.raw(nobody) as raw:
            raw.send(
                encode(EXPLAIN, {"tid": one})
                + encode(LIST, {"tid": one}, more=True)
                + encode(LIST, {"pid": one}, more=True)
                + encode(LIST, {"pid": one, "all": True}, more=True)
            )
            raw.shut()
            messages = raw.messages_to_end()
            for text in messages:
                assert varlink.Reply.of(text).error == NO_SUCH_THREAD
            answers[one] = [text.replace(str(one).encode(), b"TID") for text in messages]
    assert len(answers[tid]) == 4
    assert answers[tid] == answers[free]


def test_root_sees_all(server, nobody):
    with server.connect() as client:
        for tid in (1, server.pid, nobody.pid):
            assert client.call(EXPLAIN, {"tid": tid})["thread"]["tid"] == tid
        status = client.call(STATUS)
        assert (status["privileged"], status["seesAll"]) == (True, True)


def test_status_is_for_everyone(server, nobody):
    with server.connect(nobody) as client, server.connect() as roots:
        status, all_ = client.call(STATUS), roots.call(STATUS)
        assert (status["privileged"], status["seesAll"]) == (False, False)
        assert set(status) == set(all_)
        assert len(list(client.more(f"{API}.ListCpus"))) == len(list(roots.more(f"{API}.ListCpus")))


def change_users(link):
    """A thread that is NOBODY's, then root's again; tells of each, and waits to be told to go on."""
    for uid in (NOBODY, 0):
        os.setresuid(-1, uid, -1)
        link.send(b"x")
        link.recv(1)


def test_a_thread_that_changes_its_user(server, nobody):
    """What counts is whose it is when it is asked for: no answer of before is kept."""
    link, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            link.close()
            change_users(theirs)
        os._exit(0)
    theirs.close()
    try:
        with server.connect(nobody) as client:
            assert link.recv(1)
            assert client.call(EXPLAIN, {"tid": pid})["thread"]["uid"] == NOBODY
            link.send(b"x")
            assert link.recv(1)
            assert client.ask(EXPLAIN, {"tid": pid}).error == NO_SUCH_THREAD
            assert listed(client, {"tid": pid}) == []
            assert pid not in [thread["tid"] for thread in listed(client, {"all": True})]
    finally:
        link.close()
        os.waitpid(pid, 0)


# Doing.


def test_reload_is_not_for_all(server, nobody):
    with server.connect(nobody) as client:
        reply = client.ask(f"{API}.Reload")
        assert (reply.error, reply.parameters) == (f"{SERVICE}.PermissionDenied", {})
        client.oneway(f"{API}.Reload")
        assert client.ask(f"{API}.Reload", {"bogus": 1}).error == f"{SERVICE}.PermissionDenied"
        assert client.call(INFO)
    with server.connect() as client:
        assert client.ask(f"{API}.Reload").error != f"{SERVICE}.PermissionDenied"


def test_root_in_a_user_namespace_is_nobody(server):
    """uid 0 there is an ordinary user here, whatever capabilities it has there."""
    code = f"""
import json, socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect({server.path!r})
    sock.sendall(b'{{"method":"{API}.Reload"}}\\0')
    print(json.loads(sock.recv(65536)[:-1])["error"])
"""
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
               "unshare", "--user", "--map-root-user", sys.executable, "-I", "-c", code]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/")
    if "unshare" in done.stderr:
        pytest.skip("user namespaces are not permitted here")
    assert done.stdout.strip() == f"{SERVICE}.PermissionDenied", done.stderr


GROUP = 64999


def test_the_group_balancerd_may_all():
    """As the first group of a caller, or as any of its others."""
    script = f"""
        cp /etc/group /run/balancerd-test-group.$$
        grep -v ^balancerd: /etc/group >/run/balancerd-test-group.$$ || :
        echo balancerd:x:{GROUP}: >>/run/balancerd-test-group.$$
        mount --bind /run/balancerd-test-group.$$ /etc/group
        rm /run/balancerd-test-group.$$
    """
    with served.serving(prefix=in_mount_namespace(script)) as server:
        for gid, groups, privileged in (
            (GROUP, (), True),
            (OTHER, (1, GROUP), True),
            (OTHER, tuple(range(1, 200)) + (GROUP,), True),
            (OTHER, (GROUP - 1, GROUP + 1), False),
            (OTHER, (), False),
        ):
            with varlink.User(OTHER, gid, groups) as user, server.connect(user) as client:
                status = client.call(STATUS)
                assert (status["privileged"], status["seesAll"]) == (privileged, privileged)
                denied = client.ask(f"{API}.Reload").error == f"{SERVICE}.PermissionDenied"
                assert denied == (not privileged)


# Crowds.


def crowd(server, user, n):
    """N connections that say nothing: how many are kept, and the refusals of the others."""
    kept, refusals = [], []
    for _ in range(n):
        kept.append(server.raw(user))
    # Whoever is turned away is told so at once, before a later connection is answered.
    server.assert_serves()
    for raw in list(kept):
        data = raw.receive_some()
        if data is not None:
            raw.received = data
            (text,) = raw.messages_to_end()
            refusals.append(varlink.Reply.of(text))
            served.JUDGE.check(None, refusals[-1])
            raw.close()
            kept.remove(raw)
    return kept, refusals


def test_1000_silent_connections(server, nobody, other):
    with server.connect() as client:
        kept, refusals = crowd(server, nobody, 1000)
        assert len(kept) == PER_USER
        assert {reply.error for reply in refusals} == {TOO_MANY}
        assert {reply.parameters["limit"] for reply in refusals} == {PER_USER}
        assert client.call(STATUS)["connections"] == PER_USER + 1
        server.assert_serves(other)
        server.assert_serves()
        # One leaves, another gets its place.
        kept.pop().close()
        server.assert_serves()  # by then the daemon has seen that
        server.assert_serves(nobody)
        for raw in kept:
            raw.close()


def test_1000_silent_connections_of_root(server, nobody):
    """The privileged have no limit of their own, and nobody is kept out by them."""
    with server.connect() as client:
        kept, refusals = crowd(server, None, 900)
        assert (len(kept), refusals) == (900, [])
        server.assert_serves(nobody)
        assert client.call(STATUS)["connections"] == 901
        for raw in kept:
            raw.close()


def test_many_users_do_not_lock_root_out(server):
    """All users together have less than all connections."""
    with contextlib.ExitStack() as stack:
        n, full = 0, None
        for uid in range(60000, 60000 + FOR_ALL // PER_USER + 2):
            user = stack.enter_context(varlink.User(uid, uid))
            kept, refusals = crowd(server, user, PER_USER)
            n += len(kept)
            if refusals:
                full = refusals[0]
                break
        assert full.error == TOO_MANY
        assert full.parameters["limit"] == n < FOR_ALL
        server.assert_serves()


def test_silent_connections_are_dropped(server, nobody):
    """Who connects and never calls is not kept for long."""
    with server.connect() as client:
        kept, _refusals = crowd(server, nobody, PER_USER)
        deadline = varlink.Deadline()
        while client.call(STATUS)["connections"] > 1:
            select.select([], [], [], 0.1)
            deadline.check()
        assert all(raw.is_closed() for raw in kept)
        server.assert_serves(nobody)


def test_a_flood_of_one_user_is_paid_by_that_user(server, nobody, other):
    """Its calls are answered, all of them, but it gets a twentieth of a CPU's time and what it has
    saved up, a tenth of a second; three times that is what the daemon may use meanwhile."""
    calls = encode(STATUS) * 100
    floods = [server.raw(nobody) for _ in range(8)]
    with server.connect(other) as client:
        began_nsec, before_nsec, n = time.monotonic_ns(), server.cpu_nsec(), 0
        while n < 9000:
            for one in floods:
                one.send_some(calls)
                while data := one.receive_some():
                    n += data.count(b"\0")
            floods[0].wait(select.POLLIN, timeout=0.05)
            assert client.call(INFO)
        took_nsec = time.monotonic_ns() - began_nsec
        assert server.cpu_nsec() - before_nsec < 100e6 + 0.15 * took_nsec


def test_who_is_in_debt_finds_no_way_round_it_by_connecting_anew(server, nobody):
    """Calls of new connections wait as those of old ones do, and take turns with them."""
    floods = [server.raw(nobody) for _ in range(8)]
    n_calls, n = 40, 0

    def replies():
        return sum(data.count(b"\0") for one in floods for data in iter(one.receive_some, None))

    for one in floods:
        one.send(encode(STATUS) * 3000)
    while n < 8000:  # more than a tenth of a second's worth
        floods[0].wait(select.POLLIN)
        n += replies()
    n = 0
    for _ in range(n_calls):
        with server.connect(nobody) as client:
            assert client.call(INFO)
        n += replies()
    assert n >= n_calls


def connect_and_leave(path):
    varlink.connected_socket(path).close()


def connect_and_ask(path):
    with varlink.Client.connect(path) as client:
        client.call(EXPLAIN, {"tid": os.getpid()})


@pytest.mark.parametrize("once", [connect_and_leave, connect_and_ask])
@pytest.mark.skipif(os.geteuid() != 0, reason="a flood is at the cost of its user, who is ours")
def test_connecting_is_paid_too(server, once):
    """All users together get a tenth of a CPU's time and what is saved up, a tenth of a second, for
    being taken, served and let go. (It was a third and more.)"""

    def flood():
        end = time.monotonic() + 3
        while time.monotonic() < end:
            once(server.path)

    began_nsec, before_nsec = time.monotonic_ns(), server.cpu_nsec()
    varlink.in_child(flood, NOBODY)
    took_nsec = time.monotonic_ns() - began_nsec
    assert server.cpu_nsec() - before_nsec < 100e6 + 0.15 * took_nsec
    server.assert_serves()


def connect_without_end(server, nobody):
    while True:
        with contextlib.suppress(varlink.Closed), nobody.raw(server.path) as raw:
            raw.send(encode(INFO))


def test_a_flood_of_one_users_connections_keeps_no_other_out(server, other):
    """And when it has ended, that user is served again within seconds."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException), varlink.User(NOBODY, NOBODY) as nobody:
            connect_without_end(server, nobody)
        os._exit(0)
    try:
        with server.connect() as client:
            for _ in range(20):
                server.assert_serves(other)
            assert server.wait_for_samples(5, client, each=server.assert_serves) >= 5
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    server.assert_serves()  # by then the daemon has seen the last of them go
    with varlink.User(NOBODY, NOBODY) as nobody:
        server.assert_serves(nobody)


# Monitor.


def observed(unbalanced, **options):
    """Hogs that are stacked where the kernel moves nothing: the daemon, which only observes, decides
    about them again and again."""
    return hogs.Hogs(threads=4, stack=unbalanced.cpus[0], preexec=unbalanced.join, **options)


def queued(raw):
    """Bytes that could be read."""
    return struct.unpack("i", fcntl.ioctl(raw, termios.FIONREAD, bytes(4)))[0]


def answers_until_full(server, client):
    """How many answers to GetInfo the kernel keeps for somebody who does not read."""
    with server.raw() as probe:
        probe.send(encode(INFO))
        length = len(probe.message()) + 1
        probe.send(encode(INFO) * 1000)
        last = None
        while last != queued(probe):
            last = queued(probe)
            server.wait_for_samples(2, client)
        return last // length


def take_until(client, n_decisions):
    """Reads a Monitor until it has told of so many decisions."""
    while n_decisions > 0:
        n_decisions -= "decision" in client.receive().parameters


def test_monitors_that_are_never_read(unbalanced, same_masks, server):
    """They are dropped, memory stays bounded, and others are told all. So that it does not take
    thousands of decisions, what the kernel keeps is filled by calls before."""
    with server.connect() as client, server.connect() as reader:
        n_before = answers_until_full(server, client) - 2
        assert n_before > 10
        memory_kb = server.memory_kb()
        deaf = [server.raw() for _ in range(5)]
        for one in deaf:
            one.send(encode(INFO) * n_before + encode(f"{API}.Monitor", more=True))
        reader.send(f"{API}.Monitor", more=True)
        assert reader.receive().parameters == {"ready": True}
        for _ in range(3):
            with observed(unbalanced):
                take_until(reader, 2)
        deadline = varlink.Deadline()
        while not all(hung_up(one) for one in deaf):
            deaf[0].wait(0, timeout=0.1)
            assert client.call(STATUS)
            deadline.check()
        assert server.memory_kb() - memory_kb < 1024
        for one in deaf:
            replies = [varlink.Reply.of(text) for text in one.messages_to_end()]
            assert replies[n_before].parameters == {"ready": True}
            assert "decision" in replies[-1].parameters or replies[-1].parameters == {"ready": True}


def hung_up(raw):
    poll = select.poll()
    poll.register(raw, 0)
    return any(events & select.POLLHUP for _fd, events in poll.poll(0))


def test_monitors_tell_each_user_of_his_own(unbalanced, same_masks, server, nobody, other):
    """Decisions about root's threads go to root; about a user's to root and that user."""
    if unbalanced.cgroup:
        pytest.skip("an isolated partition of cgroup v2 is entered by root only")
    watching = {}
    for name, user in (("root", None), ("nobody", nobody), ("other", other)):
        watching[name] = server.connect(user)
        watching[name].send(f"{API}.Monitor", more=True)
        assert watching[name].receive().parameters == {"ready": True}
    theirs = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    seen = {"root": set(), "nobody": set(), "other": set()}

    def watch_until(*pairs):
        """Until each NAME has seen one of TIDS."""
        deadline = varlink.Deadline()
        while not all(seen[name] & tids for name, tids in pairs):
            for name, _tids in pairs:
                take_decisions(watching[name], seen[name])
            deadline.check()

    # One after the other: who moves nothing finds the same best moves again and again.
    with observed(unbalanced) as roots:
        roots_tids = set(roots.told.tids())
        watch_until(("root", roots_tids))
    with reachable_hog() as program, observed(unbalanced, prefix=theirs, program=program) as nobodys:
        nobodys_tids = set(nobodys.told.tids())
        watch_until(("root", nobodys_tids), ("nobody", nobodys_tids))
    server.assert_serves()
    take_decisions(watching["other"], seen["other"])
    assert seen["other"] & (roots_tids | nobodys_tids) == set()
    assert seen["nobody"] <= nobodys_tids


def take_decisions(client, ret_tids):
    """What is there, without waiting for more than a moment."""
    while client.raw.wait(select.POLLIN, timeout=0.1):
        told = client.receive().parameters
        if "decision" in told:
            ret_tids.add(told["decision"]["tid"])


@contextlib.contextmanager
def reachable_hog():
    """A copy of the program where every user may run it."""
    folder = subprocess.check_output(["mktemp", "-d"], text=True).strip()
    os.chmod(folder, 0o755)
    program = os.path.join(folder, "hog")
    subprocess.run(["cp", tree.HOG, program], check=True)
    try:
        yield program
    finally:
        os.unlink(program)
        os.rmdir(folder)


def test_explains_what_it_decided(unbalanced, same_masks, server):
    with server.connect() as client, observed(unbalanced) as run:
        tids = run.told.tids()
        deadline = varlink.Deadline()
        decisions = []
        while not decisions:
            for tid in tids:
                told = client.call(EXPLAIN, {"tid": tid})
                decisions += told["decisions"]
                assert {one["tid"] for one in told["decisions"]} <= {tid}
            deadline.check()
        assert {one["from"] for one in decisions} == {unbalanced.cpus[0]}
        assert "result" not in decisions[0]
        assert client.call(STATUS)["trouble"] == "unbalanced"
        watched = {thread["tid"]: thread for thread in listed(client, {})}
        for tid in tids:
            assert watched[tid]["watched"] and watched[tid]["wait"] > 0


def test_tells_of_real_moves(unbalanced, same_masks):
    """The same from the socket as from the log, move by move."""
    with served.serving("--set", "balance.rotate=off", observe=False) as server:
        with server.connect() as client:
            client.send(f"{API}.Monitor", more=True)
            assert client.receive().parameters == {"ready": True}
            with observed(unbalanced, for_msec=2000) as run:
                run.wait_for_end()
                own = set(run.told.tids())
                told = []
                deadline = varlink.Deadline()
                while not any(one["tid"] in own and one.get("result") == "moved" for one in told):
                    parameters = client.receive().parameters
                    if "decision" in parameters:
                        told.append(parameters["decision"])
                    deadline.check()
            first = next(one for one in told if one["tid"] in own and one.get("result") == "moved")
            logged = [move for move in server.daemon.moves() if move.tid == first["tid"]]
            assert (first["from"], first["to"], first["reason"], first["comm"]) in {
                (move.orig, move.dest, move.why, move.comm) for move in logged
            }
            assert first["durationUSec"] >= 0


def test_served_while_the_machine_is_busy(unbalanced, same_masks, server, nobody):
    """Hogs on every CPU: calls are answered all the same."""
    with observed(unbalanced), server.connect(nobody) as client:
        for _ in range(200):
            assert client.call(INFO)
