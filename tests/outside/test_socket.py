# SPDX-License-Identifier: LGPL-2.1-or-later
"""The socket from outside: what is answered to what, byte by byte. No root is needed.

All connections are to one daemon, which must serve others before, while and after, and end in order.
"""

import array
import json
import os
import select
import socket

import pytest
from support import interface, procfs, served, varlink
from support.varlink import MESSAGE_MAX, encode

SERVICE = "org.varlink.service"
API = "io.balancerd"
STATUS = f"{API}.GetStatus"
EXPLAIN = f"{API}.Explain"
INVALID_MESSAGE = f"{API}.InvalidMessage"
INVALID_PARAMETER = f"{SERVICE}.InvalidParameter"
NO_SUCH_THREAD = f"{API}.NoSuchThread"
NO_TID = 2**30 - 1  # above the kernel's limit of 2**22


@pytest.fixture(scope="module")
def server():
    with served.serving() as running:
        yield running


@pytest.fixture
def client(server):
    with server.connect() as one:
        yield one


@pytest.fixture
def raw(server):
    with server.raw() as one:
        yield one


def replies_to(server, data):
    """Sends DATA and reads to the end: of the connection, or of a call that is sent behind it."""
    with server.raw() as raw_:
        try:
            raw_.send(data)
            raw_.shut()
        except varlink.Closed:
            pass
        return [varlink.Reply.of(text) for text in raw_.messages_to_end()]


def assert_refused_and_closed(server, data):
    """DATA is no call: that is said, once, and the connection ends. Others are served."""
    (reply,) = replies_to(server, data)
    served.JUDGE.check(None, reply)
    assert reply.error == INVALID_MESSAGE
    server.assert_serves()
    return reply.parameters["reason"]


# The service.


def test_info(client):
    info = client.call(f"{SERVICE}.GetInfo")
    assert info["interfaces"] == [SERVICE, API]
    assert info["product"] == "balancerd"
    assert info["version"] == client.call(STATUS)["version"]


def test_the_interface_is_returned_byte_for_byte(client):
    told = client.call(f"{SERVICE}.GetInterfaceDescription", {"interface": API})
    assert told["description"].encode() == served.INTERFACE_FILE.read_bytes()


def test_the_service_describes_itself(client):
    told = client.call(f"{SERVICE}.GetInterfaceDescription", {"interface": SERVICE})
    own = interface.parse(told["description"])
    wanted = interface.parse(interface.SERVICE_TEXT)
    assert (own.name, own.methods, own.errors) == (wanted.name, wanted.methods, wanted.errors)


def test_no_other_interface(client):
    reply = client.ask(f"{SERVICE}.GetInterfaceDescription", {"interface": "org.example.none"})
    assert reply.error == f"{SERVICE}.InterfaceNotFound"
    assert reply.parameters == {"interface": "org.example.none"}


@pytest.mark.parametrize(
    ("method", "error", "parameters"),
    [
        ("org.example.Method", "InterfaceNotFound", {"interface": "org.example"}),
        (f"{API}.Frobnicate", "MethodNotFound", {"method": f"{API}.Frobnicate"}),
        (f"{API}.getStatus", "MethodNotFound", {"method": f"{API}.getStatus"}),
        (f"{API}.GetStatu", "MethodNotFound", {"method": f"{API}.GetStatu"}),
        (f"{API}.GetStatusX", "MethodNotFound", {"method": f"{API}.GetStatusX"}),
        (f"{API}.", "MethodNotFound", {"method": f"{API}."}),
        (f"{SERVICE}.GetStatus", "MethodNotFound", {"method": f"{SERVICE}.GetStatus"}),
        (f"{STATUS}.X", "InterfaceNotFound", {"interface": STATUS}),
        ("IO.BALANCERD.GetStatus", "InterfaceNotFound", {"interface": "IO.BALANCERD"}),
    ],
)
def test_unknown_methods(client, method, error, parameters):
    reply = client.ask(method)
    assert (reply.error, reply.parameters) == (f"{SERVICE}.{error}", parameters)
    assert client.call(STATUS)


@pytest.mark.parametrize("method", ["", ".", "GetStatus", "..", "a" * 60000, "\u00e9.\n\x1b[31m", " " + STATUS])
def test_odd_methods(client, method):
    """They are refused; what is no name at all may be said to be that."""
    reply = client.ask(method)
    assert reply.error in {
        f"{SERVICE}.InterfaceNotFound",
        f"{SERVICE}.MethodNotFound",
        INVALID_PARAMETER,
    }
    assert client.call(STATUS)


# Framing.


def other_is_served(other):
    """Has the daemon's loop go round, so that what was sent before has been received."""
    other.call(f"{SERVICE}.GetInfo")


def test_one_message_cut_at_every_byte(server, client):
    call = encode(EXPLAIN, {"tid": NO_TID})
    with server.connect() as cut:
        for at in range(1, len(call)):
            cut.raw.send(call[:at])
            other_is_served(client)
            cut.raw.send(call[at:])
            assert cut.receive().error == NO_SUCH_THREAD


def test_one_byte_at_a_time(server, client):
    call = encode(STATUS)
    with server.connect() as slow:
        for at in range(len(call)):
            slow.raw.send(call[at : at + 1])
            other_is_served(client)
        slow.expected.append(STATUS)
        assert slow.receive().parameters["pid"] > 0


def test_two_messages_cut_at_every_byte(client, server):
    calls = encode(EXPLAIN, {"tid": NO_TID}) + encode(f"{SERVICE}.GetInfo")
    for at in range(1, len(calls), 5):
        with server.connect() as cut:
            cut.raw.send(calls[:at])
            other_is_served(client)
            cut.raw.send(calls[at:])
            cut.expected.extend([EXPLAIN, f"{SERVICE}.GetInfo"])
            assert cut.receive().error == NO_SUCH_THREAD
            assert cut.receive().parameters["product"] == "balancerd"


def test_many_in_one_write(client):
    """Replies come in the order of the calls."""
    replies = client.pipeline([(EXPLAIN, {"tid": NO_TID - i}) for i in range(1000)])
    assert [reply.error for reply in replies] == [NO_SUCH_THREAD] * 1000
    assert [reply.parameters["tid"] for reply in replies] == [NO_TID - i for i in range(1000)]


def test_more_than_all_buffers_hold_at_once(server):
    """Calls without end and nobody reads: the daemon stops taking them, and goes on later."""
    calls = memoryview(encode(STATUS) * 20000)
    with server.raw() as greedy:
        sent, deadline = 0, varlink.Deadline()
        while sent < len(calls):
            n = greedy.send_some(calls[sent:])
            sent += n
            if n:
                continue
            server.assert_serves()
            if not greedy.wait(select.POLLOUT, timeout=0):
                break
            deadline.check()
        taken = calls[:sent].tobytes().count(b"\0")
        assert taken < 20000
        for _ in range(taken):
            served.JUDGE.check(STATUS, varlink.Reply.of(greedy.message()))


def padded(call, length):
    """The same call, NUL included, of LENGTH bytes."""
    text = call[:-1]
    return text[:-1] + b" " * (length - len(call)) + text[-1:] + b"\0"


def test_the_longest_message(server, client):
    call = padded(encode(STATUS), MESSAGE_MAX)
    assert len(call) == MESSAGE_MAX
    client.raw.send(call * 3)
    client.expected.extend([STATUS] * 3)
    for _ in range(3):
        assert client.receive().parameters["pid"] > 0


def test_one_byte_too_long(server):
    assert_refused_and_closed(server, padded(encode(STATUS), MESSAGE_MAX + 1))


def test_calls_before_one_that_is_too_long_are_answered(server):
    replies = replies_to(server, encode(STATUS) * 3 + b" " * (MESSAGE_MAX + 1))
    assert [reply.error for reply in replies] == [None, None, None, INVALID_MESSAGE]


def test_100_megabytes(server):
    """Whatever is in it: it is not even read."""
    before = server.memory_kb()
    for filling in (b" ", b"[", b'{"method":"', b"\xff"):
        with server.raw() as endless:
            chunk = filling * (1 << 16)
            with pytest.raises(varlink.Closed):
                for _ in range(100 * 2**20 // len(chunk)):
                    endless.send(chunk)
            (text,) = endless.messages_to_end()
            assert varlink.Reply.of(text).error == INVALID_MESSAGE
    server.assert_serves()
    assert server.memory_kb() - before < 1024


def test_ends_within_a_message(server):
    """Nobody is there to be told."""
    call = encode(STATUS)
    for at in range(1, len(call)):
        with server.raw() as cut:
            cut.send(call[:at])
    assert replies_to(server, call[:-1]) == []
    server.assert_serves()


# What is no call.

GET = f'"method":"{STATUS}"'


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"\n",
        b"[]",
        b"{}",
        b"null",
        b"true",
        b"1",
        b'"x"',
        b"{",
        b"}",
        b"{" + GET.encode(),
        b"{" + GET.encode() + b"}}",
        b"{" + GET.encode() + b"} {}",
        b"{" + GET.encode() + b",}",
        b"[{" + GET.encode() + b"}]",
        b"{'method':'io.balancerd.GetStatus'}",
        b"{method:1}",
        b"\xef\xbb\xbf{" + GET.encode() + b"}",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"{" + GET.encode() + b"} // comment",
        b'{"parameters":{}}',
    ],
)
def test_no_call(server, text):
    assert_refused_and_closed(server, text + b"\0")


VALUES = ["null", "1", "0", '"true"', "[]", "{}", "true", '"x"']
# A null is as good as absent for parameters.
FITTING = {
    "method": ('"x"', '"true"'),
    "more": ("true",),
    "oneway": ("true",),
    "upgrade": ("true",),
    "parameters": ("{}", "null"),
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key in FITTING for value in VALUES if value not in FITTING[key]]
)
def test_wrong_types_at_the_top(server, key, value):
    """What does not have the type that Varlink gives it is no call."""
    other = "" if key == "method" else GET + ","
    assert_refused_and_closed(server, f'{{{other}"{key}":{value}}}\0'.encode())


@pytest.mark.parametrize("key", ["error", "continues", "Method", "method ", "", "$schema", "id"])
def test_unknown_keys_at_the_top(server, key):
    assert_refused_and_closed(server, f'{{{GET},"{key}":true}}\0'.encode())


@pytest.mark.parametrize(
    "text",
    [
        f"{{{GET},{GET}}}",
        f'{{{GET},"more":true,"more":true}}',
        f'{{{GET},"parameters":{{}},"parameters":{{}}}}',
        f'{{"method":"{EXPLAIN}","parameters":{{"tid":1,"tid":1}}}}',
        f'{{"method":"{EXPLAIN}","parameters":{{"tid":1,"t\\u0069d":1}}}}',
        f'{{{GET},"parameters":{{"x":{{"y":[{{"z":1,"z":2}}]}}}}}}',
    ],
)
def test_keys_that_stand_twice(server, text):
    assert "twice" in assert_refused_and_closed(server, text.encode() + b"\0")


@pytest.mark.parametrize(
    "sequence",
    [b"\xff", b"\x80", b"\xc3", b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
     b"\xf8\x88\x80\x80\x80"],
    ids=lambda sequence: sequence.hex(),
)  # fmt: skip
@pytest.mark.parametrize(
    "frame",
    [b'{"method":"%s"}', b'{"method":"x.y","%s":1}', b'{"method":"x.y","parameters":{"%s":1}}',
     b'{"method":"x.y","parameters":{"x":"%s"}}', b"%s", b'{"method":"x.y"%s}'],
    ids=["method", "key", "parameter", "value", "alone", "between"],
)  # fmt: skip
def test_not_utf8(server, frame, sequence):
    assert_refused_and_closed(server, frame % sequence + b"\0")


@pytest.mark.parametrize(
    "text",
    [
        '{"method":"io.balancerd\\u0000.GetStatus"}',
        f'{{"method":"{STATUS}\\u0000"}}',
        f'{{{GET},"\\u0000":1}}',
        f'{{{GET},"parameters":{{"a\\u0000b":1}}}}',
        f'{{{GET},"parameters":{{"a":"\\u0000"}}}}',
        f'{{{GET},"parameters":{{"a":"\\ud800"}}}}',
        f'{{{GET},"parameters":{{"a":"\\udc00\\ud800"}}}}',
        f'{{{GET},"parameters":{{"a":"\\u12"}}}}',
        f'{{{GET},"parameters":{{"a":"\x01"}}}}',
    ],
)
def test_nul_and_half_characters_in_strings(server, text):
    assert_refused_and_closed(server, text.encode() + b"\0")


def test_raw_nul_inside(server):
    """It ends the message, wherever it stands: both halves are no calls, and the first is refused."""
    call = encode(STATUS)[:-1]
    for at in range(0, len(call), 7):
        assert_refused_and_closed(server, call[:at] + b"\0" + call[at:] + b"\0")


@pytest.mark.parametrize("depth", [3000, 10000, 60000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_deep_nesting(server, depth, brackets):
    opening, closing = brackets[:-1], brackets[-1]
    depth = min(depth, (MESSAGE_MAX - 100) // len(brackets))
    value = opening * depth + "1" + closing * depth
    assert_refused_and_closed(server, f'{{{GET},"parameters":{{"x":{value}}}}}\0'.encode())
    assert_refused_and_closed(server, f'{{{GET},"parameters":{{"x":{opening * depth}\0'.encode())


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "10" * 30, "-" + "9" * 30, "9223372036854775808", "9" * 60000]
)
def test_numbers_that_nothing_holds(server, number):
    text = f'{{"method":"{EXPLAIN}","parameters":{{"tid":{number}}}}}\0'
    assert_refused_and_closed(server, text.encode())


@pytest.mark.parametrize(
    "number",
    ["1e5", "1.0", "-0.0", "0." + "0" * 60000 + "1", "1e-999", "4711.5", "1E0", "0e0", "0.0"],
    ids=lambda number: number[:10],
)
def test_fractions_are_no_tid(client, number):
    client.raw.send(f'{{"method":"{EXPLAIN}","parameters":{{"tid":{number}}}}}\0'.encode())
    client.expected.append(EXPLAIN)
    reply = client.receive()
    assert (reply.error, reply.parameters) == (INVALID_PARAMETER, {"parameter": "tid"})


@pytest.mark.parametrize("number", ["01", "+1", ".5", "1.", "0x1", "NaN", "Infinity", "-", "1e", "--1"])
def test_what_is_no_number(server, number):
    text = f'{{"method":"{EXPLAIN}","parameters":{{"tid":{number}}}}}\0'
    assert_refused_and_closed(server, text.encode())


@pytest.mark.parametrize(
    "tid", [0, -0, -1, -(2**31), -(2**31) - 1, 2**22 + 1, 2**31, 2**32, 2**32 + 1, -(2**63), 2**63 - 1]
)
@pytest.mark.parametrize("method", [EXPLAIN, f"{API}.ListThreads"])
def test_tids_that_no_thread_has(client, method, tid):
    """None is taken for another's by losing bits: 2**32 + 1 is not init."""
    reply = client.ask(method, {"tid": tid}, more=method != EXPLAIN)
    assert reply.error in {NO_SUCH_THREAD, INVALID_PARAMETER}
    if reply.error == NO_SUCH_THREAD:
        assert reply.parameters.get("tid", tid) == tid
    else:
        assert reply.parameters == {"parameter": "tid"}


# Parameters.

WRONG = {
    "int": ["1", True, 1.5, [], {}],
    "string": [1, True, 1.5, [], {}],
    "bool": [0, 1, "true", [], {}],
}
METHODS = {
    **{f"{API}.{name}": pair[0] for name, pair in served.INTERFACE.methods.items()},
    f"{SERVICE}.GetInfo": interface.Struct({}),
    f"{SERVICE}.GetInterfaceDescription": interface.Struct({"interface": interface.Plain("string")}),
}
STREAMS = [f"{API}.{name}" for name in ("ListCpus", "ListDecisions", "ListThreads", "Monitor")]
SINGLES = sorted(set(METHODS) - set(STREAMS))
# Those that we may call: Reload is for root.
CALLABLE = sorted(set(METHODS) - (set() if os.geteuid() == 0 else {f"{API}.Reload"}))


def plain(type_):
    return type_.of.name if isinstance(type_, interface.Maybe) else type_.name


def wrong_parameters():
    """Every declared parameter of every method with every type that it does not have."""
    for method, taken in METHODS.items():
        for name, type_ in taken.fields.items():
            for value in WRONG[plain(type_)]:
                yield method, name, value


def good_parameters(method):
    """What METHOD cannot do without."""
    usual = {"int": NO_TID, "string": API, "bool": False}
    return {
        name: usual[plain(type_)]
        for name, type_ in METHODS[method].fields.items()
        if not isinstance(type_, interface.Maybe)
    }


@pytest.mark.parametrize(("method", "name", "value"), list(wrong_parameters()))
def test_wrong_types_of_parameters(client, method, name, value):
    parameters = {**good_parameters(method), name: value}
    reply = client.ask(method, parameters, more=method in STREAMS)
    assert (reply.error, reply.parameters) == (INVALID_PARAMETER, {"parameter": name})
    assert client.call(STATUS)


@pytest.mark.parametrize("method", CALLABLE)
def test_parameters_that_are_not_declared(client, method):
    """They are named, as far as they are short."""
    for name in ("bogus", "Tid", "", "tid ", "\u00e9", "x" * 60000, "\u20ac" * 10000):
        parameters = {**good_parameters(method), name: 1}
        reply = client.ask(method, parameters, more=method in STREAMS)
        assert reply.error == INVALID_PARAMETER
        (told,) = reply.parameters.values()
        assert told == name if len(name) < 100 else 80 <= len(told) < 300 and name.startswith(told)


@pytest.mark.parametrize("method", [method for method in METHODS if good_parameters(method)])
def test_parameters_that_are_missing(client, method):
    for parameters in (None, {}):
        reply = client.ask(method, parameters)
        (name,) = good_parameters(method)
        assert (reply.error, reply.parameters) == (INVALID_PARAMETER, {"parameter": name})


def test_null_is_absent(client):
    absent = [one["thread"]["tid"] for one in client.more(f"{API}.ListThreads", {"all": True})]
    null = {"all": True, "tid": None, "pid": None}
    assert set(absent) & {one["thread"]["tid"] for one in client.more(f"{API}.ListThreads", null)}
    client.raw.send(b'{"method":"io.balancerd.GetStatus","parameters":null}\0')
    client.expected.append(STATUS)
    assert client.receive().parameters["pid"]


# more, oneway, upgrade.


@pytest.mark.parametrize("method", STREAMS)
def test_streams_want_more(client, method):
    reply = client.ask(method)
    assert (reply.error, reply.parameters) == (f"{SERVICE}.ExpectedMore", {})
    assert client.call(STATUS)


@pytest.mark.parametrize("method", SINGLES)
def test_more_of_what_is_one(client, method):
    """One reply that nothing follows."""
    reply = client.ask(method, good_parameters(method), more=True)
    assert not reply.continues
    assert client.call(f"{SERVICE}.GetInfo")["product"] == "balancerd"


@pytest.mark.parametrize("method", sorted(METHODS))
def test_oneway_is_not_answered(client, method):
    for parameters in (good_parameters(method), {"bogus": 1}, None):
        client.send(method, parameters, oneway=True)
    for name in ("org.example.None", f"{API}.None", ""):
        client.send(name, oneway=True)
    assert client.call(f"{SERVICE}.GetInfo")["product"] == "balancerd"


def test_several_replies_and_none_at_once(server):
    """Nobody knows what that would be."""
    assert_refused_and_closed(server, encode(STATUS, more=True, oneway=True))


def test_upgrade_is_refused(client):
    """There is no other protocol to go over to; whatever is answered, the connection stays Varlink."""
    reply = client.ask(STATUS, upgrade=True)
    assert not reply.continues
    assert client.call(f"{SERVICE}.GetInfo")["product"] == "balancerd"


def test_flags_that_are_false(client):
    client.raw.send(f'{{{GET},"more":false,"oneway":false,"upgrade":false}}\0'.encode())
    client.expected.append(STATUS)
    assert client.receive().parameters["pid"]


# What the methods say.


def test_status(client, server):
    status = client.call(STATUS)
    assert status["pid"] == server.pid
    assert status["observing"] is True
    assert status["connections"] >= 1
    assert status["narrow"] == 0
    assert status["threads"] >= 1
    assert status["privileged"] == (os.geteuid() == 0)


def test_cpus_are_those_of_the_machine(client):
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        online = procfs.parse_list(file.read())
    cpus = [one["cpu"] for one in client.more(f"{API}.ListCpus")]
    assert sorted(cpu["cpu"] for cpu in cpus) == sorted(online)
    assert procfs.parse_list(client.call(STATUS)["onlineCpus"]) == online
    for cpu in cpus:
        assert 0 <= cpu["idle"] <= 1


def test_threads_are_real_and_in_order(client):
    tids = [one["thread"]["tid"] for one in client.more(f"{API}.ListThreads", {"all": True})]
    assert tids == sorted(set(tids))
    own = [one["thread"] for one in client.more(f"{API}.ListThreads", {"pid": os.getpid(), "all": True})]
    assert {thread["pid"] for thread in own} == {os.getpid()}
    assert {str(thread["tid"]) for thread in own} == set(os.listdir("/proc/self/task"))


def test_explains_a_thread_that_it_does_not_watch(client):
    told = client.call(EXPLAIN, {"tid": os.getpid()})
    thread = told["thread"]
    assert (thread["tid"], thread["pid"]) == (os.getpid(), os.getpid())
    assert thread["uid"] == os.geteuid()
    assert procfs.parse_list(thread["affinity"]) == os.sched_getaffinity(0)
    assert told["text"]
    (listed,) = client.more(f"{API}.ListThreads", {"tid": os.getpid()})
    assert listed["thread"]["tid"] == os.getpid()


def escaped(name):
    return "".join(
        chr(byte) if 0x20 < byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in name
    )


NAMES = [bytes(range(first, min(first + 15, 256))) for first in range(1, 256, 15)]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.hex())
def test_names_of_threads_are_escaped(client, name):
    """Every byte that a name may have: what reaches JSON is printable ASCII."""
    with open("/proc/self/comm", "rb") as file:
        before = file.read().removesuffix(b"\n")
    own = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(own, name)
        client.send(EXPLAIN, {"tid": os.getpid()})
        text = client.raw.message()
    finally:
        os.write(own, before)
        os.close(own)
    client.expected.clear()
    assert all(0x20 <= byte < 0x7F for byte in text)
    reply = varlink.Reply.of(text)
    served.JUDGE.check(EXPLAIN, reply)
    assert reply.parameters["thread"]["comm"] == escaped(name)
    assert reply.parameters["text"].isprintable()


# Ends of connections.


def test_half_closed_after_a_call(server):
    """What was asked before is answered, then the connection ends."""
    (reply,) = replies_to(server, encode(STATUS))
    served.JUDGE.check(STATUS, reply)
    assert reply.error is None
    assert len(replies_to(server, encode(STATUS) * 500)) == 500


def test_half_closed_within_a_list(server):
    """All of a list is sent that was asked for."""
    replies = replies_to(server, encode(f"{API}.ListThreads", {"all": True}, more=True))
    assert [reply.continues for reply in replies] == [True] * (len(replies) - 1) + [False]


def test_half_closed_with_a_monitor(server):
    """Nobody can end it any more by a call: either it ends, or it lives until the socket is closed."""
    with server.connect() as watching:
        watching.send(f"{API}.Monitor", more=True)
        assert watching.receive().parameters == {"ready": True}
        watching.raw.shut()
        server.assert_serves()


def test_reading_end_is_shut(server):
    """What is sent then fails with EPIPE; SIGPIPE must not end the daemon."""
    for _ in range(10):
        with server.raw() as deaf:
            deaf.shut(socket.SHUT_RD)
            try:
                deaf.send(encode(STATUS) * 100)
            except varlink.Closed:
                pass
    server.assert_serves()


def test_goes_without_reading(server):
    for method in (STATUS, EXPLAIN, f"{API}.ListThreads", f"{API}.Monitor"):
        for _ in range(20):
            with server.raw() as rude:
                rude.send(encode(method, good_parameters(method), more=method in STREAMS) * 10)
    server.assert_serves()


# What a socket takes beside bytes.


def test_descriptors_that_come_along_are_not_kept(server, client):
    """Nor do they stay while the connection does."""
    other_is_served(client)
    before = server.n_descriptors()
    with open("/dev/null", "rb") as null:
        data = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null.fileno()] * 200))]
        for call in encode(f"{SERVICE}.GetInfo"), encode(STATUS)[:-1]:
            with server.raw() as giver:
                for _ in range(5):
                    giver.sock.sendmsg([call], data)
                other_is_served(client)
                assert server.n_descriptors() <= before + 1
    server.assert_serves()


def test_urgent_bytes(server, client):
    """Out-of-band data (Linux 5.15 has it on unix sockets) neither ends nor spins the daemon."""
    with server.raw() as urgent:
        try:
            urgent.sock.send(b"x", socket.MSG_OOB)
        except OSError:
            pytest.skip("this kernel has none")
        before = server.cpu_nsec()
        n = server.wait_for_samples(5, client, each=lambda: select.select([], [], [], 0.05))
        assert (server.cpu_nsec() - before) / n < 50e6
    server.assert_serves()


def test_empty_datagrams_and_seqpackets(server):
    """Sockets of another kind are turned away by the kernel."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as sock, pytest.raises(OSError, match="type"):
            sock.connect(server.path)


def test_the_file_is_for_everyone(server):
    mode = os.stat(server.path).st_mode & 0o7777
    assert mode == 0o666


# Several at once.


def test_a_monitor_does_not_keep_others(server):
    watching = [server.connect() for _ in range(5)]
    for one in watching:
        one.send(f"{API}.Monitor", more=True)
        assert one.receive().parameters == {"ready": True}
    server.assert_serves()
    for one in watching:
        one.close()


def test_calls_behind_a_monitor(server):
    """Replies come in order: a call behind one that has no end waits, or is refused by closing."""
    with server.connect() as watching:
        watching.send(f"{API}.Monitor", more=True)
        assert watching.receive().parameters == {"ready": True}
        for _ in range(10):
            watching.raw.send(encode(STATUS))
        server.assert_serves()
    server.assert_serves()


def test_lists_at_the_same_time(server):
    """Each gets its own, whole."""
    clients = [server.connect() for _ in range(8)]
    for one in clients:
        one.send(f"{API}.ListCpus", more=True)
    counts = []
    for one in clients:
        n, reply = 1, one.receive()
        while reply.continues:
            n, reply = n + 1, one.receive()
        counts.append(n)
        one.close()
    assert len(set(counts)) == 1


def test_the_interface_file_is_ascii_and_short():
    """It goes into one message."""
    text = served.INTERFACE_FILE.read_bytes()
    assert text.isascii()
    assert len(json.dumps({"parameters": {"description": text.decode()}})) < MESSAGE_MAX
