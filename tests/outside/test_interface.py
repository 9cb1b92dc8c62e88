# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface's text is Varlink, and the judge of replies is strict."""

import re

import pytest
from support import interface, tree
from support.varlink import Reply

TEXT = (tree.SOURCE / "src/api/io.balancerd.varlink").read_text(encoding="ascii")
BALANCERD = interface.parse(TEXT)


def test_the_interface_is_what_its_file_is_called():
    assert BALANCERD.name == "io.balancerd"


def test_it_has_what_the_design_asks_for():
    wanted = {"GetStatus", "ListCpus", "ListThreads", "Explain"}
    wanted |= {"ListDecisions", "Monitor", "Reload"}
    assert set(BALANCERD.methods) >= wanted


def test_names_follow_the_house():
    """Fields in lowerCamelCase, without underscores."""
    assert re.findall(r"^ *(\w*_\w*):", TEXT, re.M) == []


def test_every_member_is_explained():
    """A comment stands before every method and error."""
    for kind, name in re.findall(r"^(method|error) (\w+)", TEXT, re.M):
        assert re.search(rf"^#.*\n{kind} {name}\b", TEXT, re.M), name


def test_comments_fit_into_80_columns():
    """varlinkctl(1), which has a tab before what stands in a type, would break them."""
    for indent, comment in re.findall(r"^( *)(#.*)", TEXT, re.M):
        assert len(comment) + (8 if indent else 0) <= 80, comment


def test_the_service_of_the_specification_parses():
    assert set(interface.parse(interface.SERVICE_TEXT).methods) == {
        "GetInfo",
        "GetInterfaceDescription",
    }


GOOD = "interface a.b\ntype T (x: ?[]int, y: [string](), z: (on, off))\nmethod M(t: T) -> ()\n"


def test_every_kind_of_type_parses():
    assert interface.parse(GOOD).types["T"].fields == {
        "x": interface.Maybe(interface.Array(interface.Plain("int"))),
        "y": interface.Map(interface.Struct({})),
        "z": interface.Enum(("on", "off")),
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("interface", "interfaces"),
        ("a.b", "a"),
        ("a.b", "A.b"),
        ("a.b", "a.b-"),
        ("a.b", "a..b"),
        ("?[]", "??[]"),
        ("[]int", "[int]int"),
        ("[]int", "[]integer"),
        ("x:", "X:"),
        ("x:", "x_:"),
        ("x:", "y:"),
        ("x: ?[]int", "x"),
        ("on, off", "on, on"),
        ("on, off", "on, off,"),
        ("(t: T)", "(t: U)"),
        ("(t: T)", "()"),
        ("(t: T)", "(t, u)"),
        ("-> ()", ""),
        ("-> ()", "-> (), "),
        ("-> ()", "-> () method N() -> ()"),
        ("method M", "method T"),
        ("method M", "method m"),
        ("method M", "error M"),
        ("method M(t: T) -> ()\n", ""),
        ("type T", "type T T"),
        ("-> ()\n", "-> () # the end"),
        ("-> ()", "-> ()\n;"),
    ],
)
def test_what_is_no_interface_is_refused(old, new):
    assert old in GOOD
    with pytest.raises(interface.BadInterface):
        interface.parse(GOOD.replace(old, new, 1))


JUDGE = interface.Judge(
    interface.parse(
        "interface a.b\n"
        "method M() -> (i: int, f: float, s: string, b: bool, e: (on, off), l: []int, m: ?object)\n"
        "error E (n: int)\n"
    )
)
ANSWER = {"i": 1, "f": 0.5, "s": "", "b": False, "e": "on", "l": []}


@pytest.mark.parametrize(
    "change", [{}, {"m": {"k": 1}}, {"f": 1}, {"i": -(2**63)}, {"l": [1, 2]}], ids=str
)
def test_good_replies_pass(change):
    JUDGE.check("a.b.M", Reply({**ANSWER, **change}))


@pytest.mark.parametrize(
    "change",
    [
        {"i": True},
        {"i": 1.0},
        {"i": 2**63},
        {"f": "1"},
        {"f": False},
        {"s": None},
        {"b": 0},
        {"e": "maybe"},
        {"l": {}},
        {"l": [1, "2"]},
        {"m": None},
        {"m": []},
        {"n": 1},
    ],
    ids=str,
)
def test_bad_replies_are_refused(change):
    with pytest.raises(interface.Mismatch):
        JUDGE.check("a.b.M", Reply({**ANSWER, **change}))


@pytest.mark.parametrize("missing", list(ANSWER))
def test_a_missing_field_is_refused(missing):
    with pytest.raises(interface.Mismatch):
        JUDGE.check("a.b.M", Reply({key: ANSWER[key] for key in ANSWER if key != missing}))


def test_errors_are_judged_by_their_own_declaration():
    JUDGE.check("a.b.M", Reply({"n": 1}, error="a.b.E"))
    JUDGE.check(None, Reply({"n": 1}, error="a.b.E"))
    for reply in (Reply({}, error="a.b.E"), Reply({"n": 1}, error="a.b.F"), Reply({}, error="E")):
        with pytest.raises(interface.Mismatch):
            JUDGE.check("a.b.M", reply)


def test_what_nobody_declared_is_not_answered():
    with pytest.raises(interface.Mismatch):
        JUDGE.check("a.b.N", Reply({}))
