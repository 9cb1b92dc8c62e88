# SPDX-License-Identifier: LGPL-2.1-or-later
"""io.balancerd(7): it quotes the interface as it is, its sessions run as printed, its figures hold."""

import os
import re
import subprocess
import sys

import pytest
from support import served, tree
from support.manual import PAGE, displays, section, sessions

SOCKET = "/run/balancerd/io.balancerd"


def test_displays_are_printed_so():
    mandoc = os.environ.get("MANDOC", "mandoc")
    done = subprocess.run(
        [mandoc, "-T", "utf8", "-O", "indent=5", PAGE], capture_output=True, check=True, text=True
    )
    printed = re.sub(".\b", "", done.stdout)
    for block in displays("INTERFACE") + displays("EXAMPLES"):
        assert "".join(f"     {line}\n" if line else "\n" for line in block.splitlines()) in printed


def test_the_interface_is_quoted_byte_for_byte():
    """After a change: make quote-interface."""
    (quoted,) = displays("INTERFACE")
    assert quoted.encode() == served.INTERFACE_FILE.read_bytes()


@pytest.fixture(scope="module")
def server():
    with served.serving() as running:
        yield running


def test_there_are_sessions():
    assert len(sessions("socat")) >= 5
    assert sum(len(told.splitlines()) for _command, told in sessions("socat")) >= 5


@pytest.mark.parametrize(("command", "told"), sessions("socat"))
def test_session(server, command, told):
    assert command.count(SOCKET) == 1
    done = subprocess.run(
        ["sh", "-c", command.replace(SOCKET, server.path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.decode(), done.stderr) == (told, b"")


def test_python(server):
    (script,) = [block for block in displays("EXAMPLES") if block.startswith("import json")]
    assert script.count(SOCKET) == 1
    done = subprocess.run(
        [sys.executable, "-c", script.replace(SOCKET, server.path)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    *cpus, last = done.stdout.splitlines()
    assert cpus == [f"CPU {cpu}" for cpu in sorted(online_cpus(server))]
    assert last == str([{"error": "io.balancerd.NoSuchThread", "parameters": {"tid": 4194305}}])
    assert done.stderr == ""


def online_cpus(server):
    with server.connect() as client:
        return [one["cpu"]["cpu"] for one in client.more("io.balancerd.ListCpus")]


def constant(path, name):
    """The expression that a macro of the sources stands for."""
    text = (tree.SOURCE / path).read_text(encoding="ascii")
    return re.search(rf"^#define {name}\s+(.*)$", text, re.M)[1]


@pytest.mark.parametrize(
    ("path", "name", "expression", "said"),
    [
        ("src/varlink/stream.h", "VARLINK_MESSAGE_MAX", "((size_t)64 << 10)", "65536 bytes"),
        ("src/api/limits.h", "LIMITS_CONNECTIONS", "1024U", "all users together 1024"),
        ("src/api/limits.h", "LIMITS_KEPT", "64U", "of which 64 are"),
        ("src/api/limits.h", "LIMITS_SHARE", "0.05", "5 percent"),
        ("src/api/limits.h", "LIMITS_SAVINGS", "(100 * NSEC_PER_MSEC)", "100 milliseconds"),
        ("src/api/connection.h", "FIRST_CALL_WITHIN", "(10 * NSEC_PER_SEC)", "10 seconds after"),
        ("src/api/connection.h", "NEXT_CALL_WITHIN", "(300 * NSEC_PER_SEC)", "5 minutes"),
        ("src/api/connection.h", "TAKE_WITHIN", "(10 * NSEC_PER_SEC)", "within 10 seconds"),
        ("src/api/call.c", "ECHO_MAX", "255U", "up to 255 bytes"),
    ],
)
def test_limits_are_those_of_the_program(path, name, expression, said):
    assert constant(path, name) == expression
    text = " ".join((section("LIMITS") + "\n" + section("REFUSALS")).split())
    assert said in text


def test_every_error_is_named_or_quoted():
    text = PAGE.read_text(encoding="ascii")
    for name in list(served.INTERFACE.errors):
        assert name in text
    for name in served.JUDGE.interfaces["org.varlink.service"].errors:
        assert name in section("REFUSALS"), name
