# SPDX-License-Identifier: LGPL-2.1-or-later
"""varlinkctl, a client that no one here wrote, against the running service.

What it prints is what support/varlink.py and balancectl get.
"""

import contextlib
import json
import math
import os
import re
import signal
import subprocess
from dataclasses import dataclass, field

import pytest
from support import balancectl, hogs, interface, manual, procfs, served, tree, varlink
from support.balancectl import AS_NOBODY, said
from support.journald import by_id

from vm.guest import stacks, systemd

MACHINES = ("trixie/isolated",)

if os.environ["BALANCERD_GUEST"] == "bookworm":
    pytestmark = pytest.mark.inapplicable("systemd 252 has no varlinkctl")

INTERFACES = served.JUDGE.interfaces
SERVICE_FILE = tree.SOURCE / "src/api/org.varlink.service.varlink"
NO_THREAD = 4194305  # above all that Linux gives


def command(*arguments, user=()):
    """VERB, the socket, and what goes with it. USER: a command that becomes another user."""
    options = [word for word in arguments if word.startswith("-")]
    verb, *rest = [word for word in arguments if not word.startswith("-")]
    return [*user, "varlinkctl", *options, verb, stacks.SOCKET, *rest]


def run(*arguments, user=()):
    return subprocess.run(
        command(*arguments, user=user),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=systemd.PATIENCE_SEC,
    )  # fmt: skip


def parsed(line):
    """The JSON in a line. Each of several replies begins with a record separator (RFC 7464)."""
    return varlink.parse(line.removeprefix("\x1e").encode())


def replies(*arguments, user=()):
    """What it prints in JSON, a reply a line."""
    return [parsed(line) for line in said(run("-j", *arguments, user=user)).removesuffix("\n").split("\n")]


def reply(*arguments, user=()):
    (only,) = replies(*arguments, user=user)
    return only


@pytest.fixture
def service():
    systemd.systemctl("start", "balancerd")


@pytest.fixture
def moved_hogs(service):
    """Stacked hogs of an unprivileged user, some of which the service has moved. Their main thread, which
    reports, sleeps all the time: what is told of it stays the same."""
    with hogs.stacked(stacks.isolated(), prefix=AS_NOBODY, every_msec=600_000) as run_:
        systemd.wait_for(lambda: stacks.made_moves(run_.told.tids()), "a move")
        yield run_


def refused(done):
    """What is said on standard error by a call that was answered with an error."""
    assert done.returncode == 1, done
    return done.stderr


# What the service has.


def test_info(service):
    """info: who the service is, as GetInfo says; for reading and as JSON."""
    with stacks.connect() as client:
        wanted = client.call("org.varlink.service.GetInfo")
    assert reply("info") == wanted
    assert varlink.parse(said(run("info", "--json=pretty")).encode()) == wanted
    told = dict(re.findall(r"^ *(\w+): (.*)$", said(run("info")), re.M))
    assert (told["Vendor"], told["Version"]) == (wanted["vendor"], wanted["version"])
    assert told["Interfaces"] in wanted["interfaces"]


def test_interfaces_and_methods_are_listed(service):
    """list-interfaces, list-methods: all that the interfaces' texts have, and nothing else."""
    assert sorted(reply("list-interfaces")) == sorted(INTERFACES)
    assert said(run("list-interfaces")).split() == sorted(INTERFACES)
    for name, one in INTERFACES.items():
        wanted = sorted(f"{name}.{method}" for method in one.methods)
        assert said(run("list-methods", name)).split() == wanted
        assert sorted(reply("list-methods", name)) == wanted
    assert said(run("list-methods")).split() == sorted(CALLS)


def comments(text):
    return sorted(re.findall(r"^\s*# (.*)", text, re.M))


def test_introspect(service):
    """introspect: the text byte for byte, and as varlinkctl has understood it, comments included."""
    for path in (served.INTERFACE_FILE, SERVICE_FILE):
        text = path.read_text(encoding="ascii")
        one = interface.parse(text)
        assert reply("introspect", one.name) == {"description": text}
        printed = said(run("introspect", one.name))
        assert interface.parse(printed) == one
        assert comments(printed) == comments(text)
    everything = re.split(r"^(?=interface )", said(run("introspect")), flags=re.M)[1:]
    assert {one.name: one for one in map(interface.parse, everything)} == INTERFACES
    assert "InterfaceNotFound" in refused(run("introspect", "io.nothing"))


def test_the_texts_are_valid(tmp_path):
    """validate-idl takes both texts as they stand in the sources, and would not take any."""
    for path in (served.INTERFACE_FILE, SERVICE_FILE):
        text = path.read_text(encoding="ascii")
        assert interface.parse(systemd.run("varlinkctl", "validate-idl", path)) == interface.parse(text)
        broken = tmp_path / path.name
        broken.write_text(text.replace("method Get", "mehtod Get"), encoding="ascii")
        assert subprocess.run(["varlinkctl", "validate-idl", broken], capture_output=True, check=False).returncode == 1


# Calls.


@dataclass(frozen=True)
class Call:
    """How a method is called. A hog's number stands for HOG."""

    parameters: dict = field(default_factory=dict)
    more: bool = False
    privileged: bool = False

    def words(self, method, tid):
        return "call", method, json.dumps(self.filled(tid))

    def filled(self, tid):
        return {key: tid if value == "HOG" else value for key, value in self.parameters.items()}


# A method that is added to an interface is to be added here: test_interfaces_and_methods_are_listed.
CALLS = {
    "io.balancerd.GetStatus": Call(),
    "io.balancerd.ListCpus": Call(more=True),
    "io.balancerd.ListThreads": Call({"pid": "HOG", "all": True}, more=True),
    "io.balancerd.Explain": Call({"tid": "HOG"}),
    "io.balancerd.ListDecisions": Call({"last": 2}, more=True),
    "io.balancerd.Monitor": Call(more=True),
    "io.balancerd.Reload": Call(privileged=True),
    "org.varlink.service.GetInfo": Call(),
    "org.varlink.service.GetInterfaceDescription": Call({"interface": "io.balancerd"}),
}
ENDLESS = "io.balancerd.Monitor"
ENDING = {method: call for method, call in CALLS.items() if method != ENDLESS}


def agrees(before, told, after):
    """Whether TOLD is what was answered BEFORE and AFTER it, in all that was the same both times."""
    if all(isinstance(one, dict) for one in (before, told, after)):
        both = set(before) & set(after)
        return both <= set(told) <= set(before) | set(after) and all(
            agrees(before[key], told[key], after[key]) for key in both
        )
    if isinstance(told, list) and len(before) == len(told) == len(after):
        return all(map(agrees, before, told, after))
    if before != after:
        return type(told) is type(before)
    return told == before or (isinstance(told, float) and math.isclose(told, before))


def answers(user, method, parameters, more):
    """The parameters of all replies by the tests' own client."""
    connect = user.connect if user else varlink.Client.connect
    with connect(stacks.SOCKET, served.JUDGE.check) as client:
        return list(client.more(method, parameters)) if more else [client.call(method, parameters)]


def assert_told(method, call, tid, user, prefix):
    """varlinkctl prints what the method answers to that user, in every form of a call."""
    words = call.words(method, tid)
    before = answers(user, method, call.filled(tid), call.more)
    found = [replies(*words, "--more", user=prefix)]
    if not prefix:
        found.append(reply(*words, "--collect"))
    if not call.more:
        found.append(replies(*words, user=prefix))
    after = answers(user, method, call.filled(tid), call.more)
    for told in found:
        assert agrees(before, told, after), f"{method}:\n{before}\n{told}\n{after}"
        for one in told:
            served.JUDGE.check(method, varlink.Reply(one))


@pytest.mark.parametrize("who", ["root", "nobody"])
def test_every_method_is_called(moved_hogs, who):
    """call, --more, --collect: as root and as an unprivileged user, whose threads the hogs are."""
    tid = moved_hogs.process.pid
    with contextlib.ExitStack() as stack:
        user = stack.enter_context(varlink.User()) if who == "nobody" else None
        prefix = AS_NOBODY if user else ()
        for method, call in ENDING.items():
            if user and call.privileged:
                assert "PermissionDenied" in refused(run(*call.words(method, tid), user=prefix))
            else:
                assert_told(method, call, tid, user, prefix)


def test_it_prints_what_balancectl_prints(moved_hogs):
    """Threads and decisions, as both have them in JSON."""
    pid = str(moved_hogs.process.pid)

    def of_balancectl(*arguments):
        return json.loads(said(balancectl.run(stacks.SOCKET, *arguments, "--json=short")))

    before = of_balancectl("threads", "-a", pid)
    words = CALLS["io.balancerd.ListThreads"].words("io.balancerd.ListThreads", int(pid))
    told = [one["thread"] for one in replies("--more", *words)]
    assert agrees(before, told, of_balancectl("threads", "-a", pid))
    assert sorted(one["tid"] for one in told) == sorted(procfs.threads_of(moved_hogs.process.pid))
    before = of_balancectl("cpus")
    told = [one["cpu"] for one in replies("--more", "call", "io.balancerd.ListCpus")]
    assert agrees(before, told, of_balancectl("cpus"))


def test_oneway(service):
    """--oneway prints nothing, does what was asked for, and hurts nobody."""
    since, pid = systemd.cursor(), systemd.main_pid()
    for method, call in CALLS.items():
        assert said(run(*call.words(method, 1), "--oneway")) == ""
    systemd.wait_for_entries(since, by_id("CONFIGURATION_LOADED"))
    assert reply("call", "io.balancerd.GetStatus")["pid"] == pid == systemd.main_pid()


@contextlib.contextmanager
def monitoring():
    """varlinkctl monitors: yields a function that reads the next object, once it listens."""
    with subprocess.Popen(
        command("-j", "-E", "call", ENDLESS), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert parsed(process.stdout.readline()) == {"ready": True}
            yield lambda: parsed(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGINT)


def rounded(decision):
    """Of fractions what is left on varlinkctl's way through another format of numbers."""
    return {key: round(value, 9) if isinstance(value, float) else value for key, value in decision.items()}


def decisions_of(next_object, n):
    """The next N decisions."""
    found = []
    while len(found) < n:
        told = next_object()
        served.JUDGE.check(ENDLESS, varlink.Reply(told))
        found += [told["decision"]] if "decision" in told else []
    return [rounded(one) for one in found]


def test_monitor(service):
    """-E: moves come as they happen, the same as to the tests' own client; it leaves nothing behind."""
    with monitoring() as next_object, stacks.connect(served.JUDGE.check) as client:
        own = client.more(ENDLESS)
        assert next(own) == {"ready": True}
        with hogs.stacked(stacks.isolated()) as run_:
            run_.wait_until_spread()
            n_moves = len(systemd.wait_for(lambda: stacks.made_moves(run_.told.tids()), "moves"))
        told = decisions_of(next_object, n_moves)
        assert told == decisions_of(lambda: next(own), n_moves)
    systemd.wait_for(lambda: stacks.status()["connections"] == 1, "the daemon sees them leave")


def test_timeout(service):
    """--timeout: what has come is printed, then it gives up."""
    done = run("-j", "--more", "--timeout=1s", "call", ENDLESS)
    assert (done.returncode, parsed(done.stdout)) == (1, {"ready": True})
    assert "TimedOut" in done.stderr
    assert stacks.status()["connections"] == 1


# Errors.

ERRORS = [
    ("io.balancerd.Frobnicate", {}, "org.varlink.service.MethodNotFound", {"method": "io.balancerd.Frobnicate"}),
    ("io.nothing.GetStatus", {}, "org.varlink.service.InterfaceNotFound", {"interface": "io.nothing"}),
    ("io.balancerd.Explain", {}, "org.varlink.service.InvalidParameter", {"parameter": "tid"}),
    ("io.balancerd.Explain", {"tid": "1"}, "org.varlink.service.InvalidParameter", {"parameter": "tid"}),
    ("io.balancerd.GetStatus", {"x": 1}, "org.varlink.service.InvalidParameter", {"parameter": "x"}),
    ("io.balancerd.Explain", {"tid": NO_THREAD}, "io.balancerd.NoSuchThread", {"tid": NO_THREAD}),
    ("io.balancerd.ListCpus", {}, "org.varlink.service.ExpectedMore", {}),
    ("io.balancerd.ListDecisions", {"tid": NO_THREAD}, "io.balancerd.NoDecisions", {}),
]


def test_errors(service):
    """Exit status 1, the error's name on standard error, its parameters on standard output."""
    for method, parameters, error, detail in ERRORS:
        words = ["-j", "call", method, json.dumps(parameters)]
        words += ["--more"] if method == "io.balancerd.ListDecisions" else []
        done = run(*words)
        assert error in refused(done)
        assert parsed(done.stdout) == detail
        expected = run(f"--graceful={error}", *words)
        assert (expected.returncode, expected.stdout) == (0, done.stdout)


# The socket unit, and the manual.


@pytest.mark.parametrize("user", [(), AS_NOBODY], ids=["root", "nobody"])
def test_the_first_client_starts_the_service(user):
    """Socket activation by varlinkctl."""
    systemd.systemctl("start", systemd.SOCKET)
    assert systemd.shown("ActiveState") == "inactive"
    assert reply("call", "io.balancerd.GetStatus", user=user)["pid"] == systemd.main_pid()
    assert systemd.shown("ActiveState") == "active"


def test_the_sessions_of_the_manual(service):
    """io.balancerd(7): they print what they are said to."""
    found = manual.sessions("varlinkctl")
    assert len(found) >= 3
    for line, told in found:
        done = subprocess.run(
            ["sh", "-c", line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=systemd.PATIENCE_SEC,
        )  # fmt: skip
        assert done.stdout == told
