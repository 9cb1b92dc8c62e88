# SPDX-License-Identifier: LGPL-2.1-or-later
"""balancectl beside a stand-in for the daemon: what it prints byte for byte, and what it says when the
daemon is not there, says no, lies, hangs, dies, is old or new."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from support import interface, tree, varlink
from support.balancectl import (
    ENVIRONMENT,
    LISTENING,
    PATIENCE_SEC,
    monitor,
    on_terminal,
    plain,
    read_to_end,
    run,
    said,
)
from support.namespace import in_mount_namespace
from support.stand_in import CLOSE, ENDLESS, SILENCE, Bytes, Error, StandIn

STATUS = {
    "version": "0.1.0",
    "pid": 4242,
    "startedUSec": 1795438245000000,
    "observing": False,
    "trouble": "unbalanced",
    "intervalUSec": 20000,
    "onlineCpus": "0-7",
    "unbalancedCpus": "0-1",
    "threads": 184,
    "watched": 12,
    "narrow": 0,
    "keptForChildren": 0,
    "samples": 1000,
    "plans": 14,
    "moves": 4,
    "missedMoves": 1,
    "failedMoves": 0,
    "missingSources": ["taskstats", "hwloc"],
    "configuration": ["/etc/balancerd/balancerd.json", "/etc/balancerd/balancerd.json.d/10-x.json"],
    "connections": 1,
    "privileged": True,
    "seesAll": True,
}


def cpu(number, **fields):
    usual = {
        "cpu": number,
        "core": number,
        "llc": 0,
        "node": 0,
        "capacity": 1.0,
        "balanced": False,
        "idle": 0.25,
        "waiting": 0.0,
        "threads": 4,
        "demand": 2.5,
    }
    return {"cpu": {**usual, **fields}}


def thread(tid, **fields):
    usual = {
        "tid": tid,
        "pid": 4711,
        "comm": "hog",
        "uid": 1000,
        "cpu": 1,
        "affinity": "0-7",
        "state": "R",
        "priority": 120,
        "watched": True,
        "run": 0.25,
        "wait": 0.0,
        "demand": 1.0,
        "verdict": "content",
    }
    merged = {**usual, **fields}
    return {"thread": {key: value for key, value in merged.items() if value is not None}}


DECISION = {
    "timeUSec": 1795446245123999,
    "tid": 4711,
    "pid": 4700,
    "comm": "hog",
    "priority": 120,
    "from": 0,
    "to": 1,
    "reason": "balance",
    "gain": 3.0,
    "loadFrom": 4.0,
    "loadTo": 0.0,
    "voluntarySwitches": 3,
    "involuntarySwitches": 41,
    "result": "moved",
    "durationUSec": 12,
}
NOTICE = {"timeUSec": 1795446245123999, "level": 4, "text": "no taskstats (EPERM)"}

DECISIONS = [DECISION, {**DECISION, "result": "denied", "error": "EPERM", "reason": "chain", "chain": 3}]

CPUS = [cpu(0, waiting=2.1, idle=0.0), cpu(1, capacity=0.5), cpu(10, balanced=True, threads=0)]
THREADS = [
    thread(4711),
    thread(4712, wait=0.5, verdict="nowhereBetter"),
    thread(4713, movedAgoUSec=3100000, comm="a\\x20b"),
    thread(4714, run=0.125, verdict="leftAlone", affinity="0,2,4,6,8,10,12"),
    thread(15000, watched=False, run=None, wait=None, demand=None, verdict="unwatched", state="S"),
    thread(15001, wait=0.75, verdict="candidate"),
]
EVENTS = [
    {"ready": True},
    {"decision": DECISIONS[0]},
    {"decision": DECISIONS[1]},
    {"notice": NOTICE},
    ENDLESS,
]
EXPLANATION = {"thread": THREADS[2]["thread"], "text": "It runs.", "decisions": [DECISION]}
ANSWERS = {
    "GetStatus": [STATUS],
    "ListCpus": CPUS,
    "ListThreads": THREADS,
    "Monitor": EVENTS,
    "ListDecisions": [{"decision": one} for one in DECISIONS],
    "Explain": [EXPLANATION],
    "Reload": [{"configuration": STATUS["configuration"]}],
}
CALLS = {
    "status": ["status"],
    "cpus": ["cpus"],
    "threads": ["threads"],
    "monitor": ["monitor", "-n", "3"],
    "history": ["history"],
    "explain": ["explain", "4713"],
    "reload": ["reload"],
}


@pytest.fixture
def path(runtime_dir):
    return runtime_dir / "io.balancerd"


@pytest.fixture
def stand_in(path):
    with StandIn(path, ANSWERS) as running:
        yield running


INTERFACE = interface.parse((tree.SOURCE / "src/api/io.balancerd.varlink").read_text())


def test_stand_in_answers_as_the_interface_has_it():
    """So that what follows is about the real thing."""
    judge = interface.Judge(INTERFACE)
    for method, steps in ANSWERS.items():
        for step in steps:
            if step != ENDLESS:
                judge.check(f"io.balancerd.{method}", varlink.Reply(step))


# What it prints.

STATUS_TEXT = """\
        Daemon: balancerd 0.1.0, PID 4242
          CPUs: balancing 0-1 itself; the kernel balances 2-7
           Now: threads wait where the kernel does not balance; looks every 20ms
         Moves: 4 moves, 1 missed, 0 failed
          Work: 1000 samples, 14 plans
       Threads: 184 known, 12 watched, 0 narrow at this moment, 0 kept for children
       Missing: taskstats: switch counts are read from status files
                hwloc: CPUs are taken to be equal and to share a cache
 Configuration: /etc/balancerd/balancerd.json
                /etc/balancerd/balancerd.json.d/10-x.json
        Access: you may do everything; connections: 1
"""

CPUS_TEXT = """\
CPU  CORE  LLC  NODE  CAPACITY  IDLE  WAITING  THREADS  DEMAND  BALANCED BY
  0     0    0     0      100%    0%     2.10        4    2.50  balancerd
  1     1    0     0       50%   25%     0.00        4    2.50  balancerd
 10    10    0     0      100%   25%     0.00        0    2.50  kernel
"""

THREADS_TEXT = """\
  TID   PID   UID  CPU  S  PRI  RUN  WAIT  DEMAND  MOVED  AFFINITY         VERDICT         COMMAND
 4711  4711  1000    1  R  120  25%    0%    100%      -  0-7              content         hog
 4712  4711  1000    1  R  120  25%   50%    100%      -  0-7              nowhere better  hog
 4713  4711  1000    1  R  120  25%    0%    100%   3.1s  0-7              content         a\\x20b
 4714  4711  1000    1  R  120  12%    0%    100%      -  0,2,4,6,8,10,12  left alone      hog
15000  4711  1000    1  S  120    -     -       -      -  0-7              not watched     hog
15001  4711  1000    1  R  120  25%   75%    100%      -  0-7              to be moved     hog
"""

MOVED_TEXT = (
    "Nov 23 15:04:05.123 hog[4711] moved from CPU 0 to 1 in 12us: "
    "balance, 3.00 competitors fewer (load 4.00, there 0.00)\n"
)

HISTORY_TEXT = (
    MOVED_TEXT + "Nov 23 15:04:05.123 hog[4711] not moved from CPU 0 to 1 (permission denied, EPERM): "
    "chain 3, 3.00 competitors fewer in all (load 4.00, there 0.00)\n"
)

MONITOR_TEXT = HISTORY_TEXT + "Nov 23 15:04:05.123 warning: no taskstats (EPERM)\n"

EXPLAIN_TEXT = (
    """\
        Thread: 4713 (a\\x20b) of process 4711, user 1000
         Where: CPU 1, permitted 0-7
         State: running or ready (R), nice 0
          Load: runs 25%, waits 0%, would use 100% of a CPU
         Moved: 3.1s ago
       Verdict: content
           Why: It runs.
       History: 1 decision
"""
    + MOVED_TEXT
)

RELOAD_TEXT = """\
in effect:
  /etc/balancerd/balancerd.json
  /etc/balancerd/balancerd.json.d/10-x.json
"""


def without_age(text):
    return re.sub(r"^ +Running: .*\n", "", text, flags=re.M)


@pytest.mark.parametrize("arguments", [["status"], []])
def test_status(path, stand_in, arguments):
    assert without_age(said(run(path, *arguments))) == STATUS_TEXT


def test_status_tells_the_age(path):
    started = time.time() - 2 * 3600 - 5 * 60 - 30
    with StandIn(path, {"GetStatus": [{**STATUS, "startedUSec": int(started * 1e6)}]}):
        text = said(run(path, "status"))
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(started))
    assert f"       Running: for 2h 5min, since {since}\n" in text


def test_status_after_a_single_sample(path):
    with StandIn(path, {"GetStatus": [{**STATUS, "trouble": "quiet", "intervalUSec": 0}]}):
        assert "           Now: nothing waits that balancerd should move\n" in said(run(path, "status"))


def test_status_counts_one_as_one(path):
    answer = {**STATUS, "moves": 1, "samples": 1, "plans": 1}
    with StandIn(path, {"GetStatus": [answer]}):
        text = said(run(path, "status"))
    assert "         Moves: 1 move, 1 missed, 0 failed\n" in text
    assert "          Work: 1 sample, 1 plan\n" in text


def test_status_of_a_clock_that_was_set_back(path):
    started = int((time.time() + 3600) * 1e6)
    with StandIn(path, {"GetStatus": [{**STATUS, "startedUSec": started}]}):
        assert "Running" not in said(run(path, "status"))


@pytest.mark.parametrize(
    ("online", "unbalanced", "words"),
    [
        ("0-3", "", "the kernel balances 0-3"),
        ("0-3", "0-3", "balancing 0-3 itself"),
        ("0-3,8", "1,8", "balancing 1,8 itself; the kernel balances 0,2-3"),
        ("0-x", "1", "0-x, not balanced by the kernel: 1"),
    ],
)
def test_status_tells_who_balances(path, online, unbalanced, words):
    answer = {**STATUS, "onlineCpus": online, "unbalancedCpus": unbalanced}
    with StandIn(path, {"GetStatus": [answer]}):
        assert f"          CPUs: {words}\n" in said(run(path, "status"))


def test_status_of_observing_and_without_files(path):
    answer = {**STATUS, "observing": True, "configuration": [], "missingSources": []}
    with StandIn(path, {"GetStatus": [answer]}):
        text = said(run(path, "status"))
    assert "PID 4242, observing only: it moves nothing\n" in text
    assert " Configuration: the defaults; there is no file\n" in text
    assert "Missing" not in text


def test_every_source_has_a_cost(path):
    """The interface names the sources; none is unknown to status."""
    text = (tree.SOURCE / "src/api/io.balancerd.varlink").read_text()
    (names,) = re.findall(r"# Sources of the kernel that this host does not have: ([^.]*)\.", text)
    sources = re.findall(r"\w+", names.replace("#", ""))
    assert len(sources) >= 8
    with StandIn(path, {"GetStatus": [{**STATUS, "missingSources": [*sources, "moon"]}]}):
        printed = said(run(path, "status"))
    assert [s for s in sources if f" {s}: it is not known" in printed] == []
    assert " moon: it is not known" in printed


def test_cpus(path, stand_in):
    assert said(run(path, "cpus")) == CPUS_TEXT


def test_threads(path, stand_in):
    assert said(run(path, "threads")) == THREADS_TEXT
    assert stand_in.calls == [
        {"method": "io.balancerd.ListThreads", "parameters": {}, "more": True}
    ]


def test_monitor(path, stand_in):
    done = run(path, "monitor", "-n", "3")
    assert (done.returncode, done.stdout) == (0, MONITOR_TEXT)
    assert done.stderr == LISTENING


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ([], {}),
        (["-n", "5"], {"last": 5}),
        (["4711"], {"tid": 4711}),
        (["4711", "--count=1"], {"tid": 4711, "last": 1}),
        (["-n", str(2**64 - 1)], {"last": 2**31 - 1}),
    ],
)
def test_history(path, stand_in, arguments, parameters):
    assert said(run(path, "history", *arguments)) == HISTORY_TEXT
    assert stand_in.calls == [
        {"method": "io.balancerd.ListDecisions", "parameters": parameters, "more": True}
    ]


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ([], {"last": 20}),
        (["4711"], {"tid": 4711, "last": 20}),
        (["-n", "30"], {"last": 30}),
        (["-j"], {}),
    ],
)
def test_history_on_a_terminal_is_the_last_twenty(path, stand_in, arguments, parameters):
    on_terminal(path, "history", *arguments)
    assert [call["parameters"] for call in stand_in.calls] == [parameters]


@pytest.mark.parametrize(
    ("n", "arguments", "hint"),
    [
        (19, [], ""),
        (20, [], "these are the last 20; all: balancectl history | less\n"),
        (20, ["4711"], "these are the last 20; all: balancectl history 4711 | less\n"),
        (20, ["-n", "20"], ""),
        (20, ["--no-legend"], ""),
    ],
)
def test_history_says_how_to_see_all(path, n, arguments, hint):
    with StandIn(path, {"ListDecisions": [{"decision": DECISION}] * n}):
        printed = on_terminal(path, "history", *arguments, with_errors=True)
    assert printed == MOVED_TEXT * n + hint


@pytest.mark.parametrize(
    ("arguments", "sees_all", "words"),
    [
        ([], True, "nothing was decided yet\n"),
        (["7"], True, "nothing was decided yet about thread 7\n"),
        (["7"], False, "nothing was decided yet about thread 7, or nothing that you may see\n"),
        (["--no-legend"], False, ""),
        (["-j"], False, ""),
    ],
)
def test_history_of_nothing(path, arguments, sees_all, words):
    answers = {
        "ListDecisions": [Error("io.balancerd.NoDecisions")],
        "GetStatus": [{**STATUS, "seesAll": sees_all}],
    }
    with StandIn(path, answers):
        done = run(path, "history", *arguments)
    assert (done.returncode, done.stderr) == (0, words)
    assert done.stdout == ("[]\n" if "-j" in arguments else "")


def test_explain(path, stand_in):
    assert said(run(path, "explain", "4713")) == EXPLAIN_TEXT
    assert stand_in.calls == [{"method": "io.balancerd.Explain", "parameters": {"tid": 4713}}]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "running or ready (R), nice 0"),
        ({"state": "S", "priority": 100}, "asleep (S), nice -20"),
        ({"state": "D", "priority": 139}, "asleep, not to be disturbed (D), nice 19"),
        ({"state": "T", "priority": 99}, "stopped (T), real-time priority 0"),
        ({"state": "t", "priority": 0}, "stopped by a tracer (t), real-time priority 99"),
        ({"state": "I", "priority": -1}, "idle (I), under SCHED_DEADLINE"),
        ({"state": "q", "priority": 140}, "in a state that is not known here (q), of no priority that is known here"),
        ({"state": "Z", "priority": -2}, "ended, not yet waited for (Z), of no priority that is known here"),
    ],
)
def test_state_in_words(path, fields, words):
    shown = thread(4713, **fields)["thread"]
    with StandIn(path, {"Explain": [{**EXPLANATION, "thread": shown}]}):
        assert f"         State: {words}\n" in said(run(path, "explain", "4713"))


def test_status_is_broken_between_words(path):
    """Every line of it: what is missing, and long sets of CPUs too."""
    sources = ["pressure", "stat", "threadSchedstat"]
    answer = {**STATUS, "missingSources": sources, "configuration": [], "startedUSec": None}
    with StandIn(path, {"GetStatus": [answer]}):
        printed = plain(on_terminal(path, "status", columns=50))
        in_pipe = said(run(path, "status"))
    assert max(map(len, printed.splitlines())) <= 50 < max(map(len, in_pipe.splitlines()))
    assert printed.split() == in_pipe.split()
    assert (
        "       Missing: pressure: whether anything waited\n"
        "                is told from the threads, which\n"
        "                costs more\n"
        "                stat: idle CPUs cannot be seen, so\n"
    ) in printed


SENTENCE = (
    "Thread 4711 on CPU 1 waits, and where it may run there is no CPU that would give it noticeably "
    "more. It ran 25% and waited 75% of the time."
)


@pytest.mark.parametrize("columns", [33, 40, 80, 132])
@pytest.mark.parametrize("sentence", [SENTENCE, "x" * 300, " " * 300, "a " + "x" * 200 + " b"])
def test_sentence_is_broken_between_words(path, columns, sentence):
    with StandIn(path, {"Explain": [{**EXPLANATION, "text": sentence}]}):
        printed = plain(on_terminal(path, "explain", "4713", columns=columns))
        in_pipe = said(run(path, "explain", "4713"))
    assert f"           Why: {sentence}\n" in in_pipe
    (lines,) = re.findall(r"^           Why: (.*?)\n       History", printed, re.M | re.S)
    lines = [line.removeprefix(" " * 16) for line in lines.split("\n")]
    assert "".join(lines).replace(" ", "") == sentence.replace(" ", "")
    if sentence == SENTENCE:
        assert " ".join(lines) == sentence
        assert max(map(len, lines)) <= columns - 16


def test_reload(path, stand_in):
    assert said(run(path, "reload")) == RELOAD_TEXT


def test_reload_without_files(path):
    with StandIn(path, {"Reload": [{"configuration": []}]}):
        text = said(run(path, "reload"))
    assert text == "in effect: the defaults; there is no configuration file\n"


@pytest.mark.parametrize(("verb", "text"), [("cpus", CPUS_TEXT), ("threads", THREADS_TEXT)])
def test_manual_explains_every_column_in_order(verb, text):
    section = manual().split(f".It Cm {verb}")[1].split(".It Cm")[0]
    explained = re.findall(r"^\.It Sy (.*)$", section, re.M)
    columns = re.split(r" {2,}", text.splitlines()[0].strip())
    assert [name for line in explained for name in line.split(" , ")] == columns


def test_manual_explains_every_line_of_status_in_order(path, stand_in):
    section = manual().split(".It Cm status")[1].split(".It Cm cpus")[0]
    explained = re.findall(r"^\.It Sy (.*)$", section, re.M)
    keys = re.findall(r"^ *(\w+): ", said(run(path, "status")), re.M)
    assert explained == [key for key in keys if key not in ("taskstats", "hwloc")]


def headers(text):
    return re.split(r" {2,}", plain(text).splitlines()[0].strip())


@pytest.mark.parametrize(("verb", "text"), [("cpus", CPUS_TEXT), ("threads", THREADS_TEXT)])
def test_manual_says_which_columns_go_first(path, stand_in, verb, text):
    """As the terminal gets narrower by what the narrowest column takes."""
    gone = []
    for columns in range(98, 26, -3):
        shown = headers(on_terminal(path, verb, columns=columns))
        gone += [name for name in headers(text)[:-1] if name not in [*shown, *gone]]
    section = manual().split(f".It Cm {verb}")[1].split(".It Cm")[0]
    (told,) = re.findall(r"left out, in this order:\n\.Sy (.*) \.$", section, re.M)
    assert told.split(" , ") == gone


def test_manual_shows_a_line_of_monitor():
    assert MOVED_TEXT in manual().replace("\\e\n    ", "")


def test_manual_names_every_reason():
    section = manual().split(".It Cm monitor")[1].split(".It Cm")[0]
    (reasons,) = re.findall(r"^\.Pq Cm (.*)$", section, re.M)
    assert reasons.split(" , ") == list(INTERFACE.types["Reason"].values)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "moved from CPU 0 to 1 in 12us: balance, 3.00 competitors fewer"),
        ({"result": None}, "would be moved from CPU 0 to 1: balance"),
        ({"result": "foreign"}, "not moved from CPU 0 to 1 (somebody else has set its affinity): "),
        ({"result": "noRoom"}, "not moved from CPU 0 to 1 (the ledger is full): "),
        ({"result": "melted"}, "not moved from CPU 0 to 1 (melted): "),
        ({"reason": "rotate", "gain": 0.08}, ": rotate, taking turns: one is 0.08s behind ("),
        (
            {"gain": 1.0, "loadFrom": 5.99, "loadTo": 8.02},
            ": balance, as good as 1.00 competitors fewer by weight or speed (load 5.99, there 8.02)",
        ),
        ({"gain": 1.0, "loadFrom": 2.0, "loadTo": 2.0}, " fewer by weight or speed ("),
        ({"gain": 1.0, "loadFrom": 2.01, "loadTo": 2.0}, ", 1.00 competitors fewer (load 2.01"),
        ({"reason": "chain", "loadTo": 9.0}, ": chain, 3.00 competitors fewer in all ("),
        ({"reason": "stuck"}, ": stuck, 3.00 competitors fewer ("),
    ],
)
def test_decisions_in_words(path, fields, words):
    decision = {key: value for key, value in {**DECISION, **fields}.items() if value is not None}
    with StandIn(path, {"Monitor": [{"decision": decision}, ENDLESS]}):
        assert words in run(path, "monitor", "-n", "1").stdout


def test_verdicts_agree_with_interface_and_manual(path):
    """All verdicts of the interface are words here, and those words stand in the manual."""
    verdicts = INTERFACE.types["Verdict"].values
    threads = [thread(4000 + i, verdict=v, comm=v) for i, v in enumerate(verdicts)]
    with StandIn(path, {"ListThreads": threads}):
        rows = said(run(path, "threads", "--no-legend")).splitlines()
    words = {row.split()[-1]: re.search(r"0-7 +(.*?)  ", row)[1] for row in rows}
    section = (tree.SOURCE / "man/balancectl.1").read_text().split(".Sh VERDICTS")[1].split(".Sh")[0]
    listed = [w for line in re.findall(r"^\.It Sy (.*)$", section, re.M) for w in line.split(" , ")]
    assert sorted(words.values()) == sorted(listed)
    # A word of its own for each that is not one word in the interface already.
    assert all(words[v] != v for v in verdicts if re.search(r"[A-Z]", v))


# On a terminal.

def bold(text):
    return f"\x1b[1m{text}\x1b[0m"


def yellow(text):
    return f"\x1b[33m{text}\x1b[0m"


def green(text):
    return f"\x1b[32m{text}\x1b[0m"


def test_cpus_on_a_terminal(path, stand_in):
    header, first, *rest = CPUS_TEXT.splitlines()
    expected = "".join(line + "\n" for line in [bold(header), yellow(first), *rest])
    assert on_terminal(path, "cpus") == expected


def test_cpus_on_a_narrow_terminal(path, stand_in):
    assert plain(on_terminal(path, "cpus", columns=40)) == (
        "CPU  IDLE  WAITING  DEMAND  BALANCED BY\n"
        "  0    0%     2.10    2.50  balancerd\n"
        "  1   25%     0.00    2.50  balancerd\n"
        " 10   25%     0.00    2.50  kernel\n"
    )


THREADS_PAGE = "".join(
    line + "\n"
    for line in [
        bold("  TID   PID  CPU  S  PRI  RUN  WAIT  MOVED  AFFINITY     VERDICT         COMMAND"),
        yellow("15001  4711    1  R  120  25%   75%      -  0-7          to be moved     hog"),
        yellow(" 4712  4711    1  R  120  25%   50%      -  0-7          nowhere better  hog"),
        green(" 4713  4711    1  R  120  25%    0%   3.1s  0-7          content         a\\x20b"),
        " 4714  4711    1  R  120  12%    0%      -  0,2,4,6,...  left alone      hog",
        " 4711  4711    1  R  120  25%    0%      -  0-7          content         hog",
        "15000  4711    1  S  120    -     -      -  0-7          not watched     hog",
    ]
)


def test_threads_on_a_terminal(path, stand_in):
    assert on_terminal(path, "threads") == THREADS_PAGE


def test_page(path, stand_in):
    assert plain(on_terminal(path, "threads", lines=6)) == (
        "  TID   PID  CPU  S  PRI  RUN  WAIT  MOVED  AFFINITY  VERDICT         COMMAND\n"
        "15001  4711    1  R  120  25%   75%      -  0-7       to be moved     hog\n"
        " 4712  4711    1  R  120  25%   50%      -  0-7       nowhere better  hog\n"
        " 4713  4711    1  R  120  25%    0%   3.1s  0-7       content         a\\x20b\n"
        "3 more: balancectl threads | less\n"
    )


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["threads", "--all"], "5 more: balancectl threads --all | less\n"),
        (["threads", "-a", "4711"], "5 more: balancectl threads -a 4711 | less\n"),
    ],
)
def test_page_says_how_to_see_the_rest(path, stand_in, arguments, hint):
    assert on_terminal(path, *arguments, lines=1).endswith("\n" + hint)


def test_who_was_moved_last_comes_first(path):
    threads = [thread(4711 + i, movedAgoUSec=ago) for i, ago in enumerate((5000000, 1000, 3000000))]
    with StandIn(path, {"ListThreads": threads}):
        rows = plain(on_terminal(path, "threads")).splitlines()[1:]
    assert [int(row.split()[0]) for row in rows] == [4712, 4713, 4711]


def test_nothing_is_cut_where_that_would_not_be_told(path, stand_in):
    assert len(on_terminal(path, "threads", "--no-legend", lines=4).splitlines()) == len(THREADS)


@pytest.mark.parametrize("columns", [*range(40, 120, 7), 200])
@pytest.mark.parametrize("verb", ["cpus", "threads"])
def test_no_line_is_longer_than_the_terminal(path, stand_in, verb, columns):
    lines = plain(on_terminal(path, verb, columns=columns)).splitlines()
    assert max(map(len, lines)) <= columns


def test_environment_gives_the_size(path, stand_in):
    text = on_terminal(path, "threads", columns=80, env={"COLUMNS": "200", "LINES": "5"})
    assert "UID" in text
    assert "more: " in text


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(path, stand_in, verb, env):
    assert "\x1b" not in on_terminal(path, *CALLS[verb], env=env)


@pytest.mark.parametrize("verb", ["status", "cpus", "threads", "monitor", "history", "explain"])
def test_colour_on_a_terminal_only(path, stand_in, verb):
    assert "\x1b[" in on_terminal(path, *CALLS[verb], env={"NO_COLOR": ""})
    assert "\x1b" not in run(path, *CALLS[verb]).stdout


def test_no_legend(path, stand_in):
    assert said(run(path, "cpus", "--no-legend")).splitlines() == [
        " 0   0  0  0  100%   0%  2.10  4  2.50  balancerd",
        " 1   1  0  0   50%  25%  0.00  4  2.50  balancerd",
        "10  10  0  0  100%  25%  0.00  0  2.50  kernel",
    ]
    assert run(path, "monitor", "-n", "1", "--no-legend").stderr == ""
    assert run(path, "threads", "4711", "--no-legend").stderr == ""


# JSON.

JSON_ANSWERS = {
    "status": STATUS,
    "cpus": [c["cpu"] for c in CPUS],
    "threads": [t["thread"] for t in THREADS],
    "history": DECISIONS,
    "explain": EXPLANATION,
    "reload": ANSWERS["Reload"][0],
}


@pytest.mark.parametrize("verb", JSON_ANSWERS)
@pytest.mark.parametrize("mode", [["-j"], ["--json=short"], ["--json", "pretty"]])
def test_json(path, stand_in, verb, mode):
    """What was answered, as it was answered."""
    text = said(run(path, *CALLS[verb], *mode))
    assert json.loads(text) == JSON_ANSWERS[verb]
    assert (text.count("\n") == 1) == (mode != ["--json", "pretty"])


def test_json_of_monitor_is_an_object_a_line(path, stand_in):
    lines = run(path, "monitor", "-n", "3", "-j").stdout.splitlines()
    assert [json.loads(line) for line in lines] == EVENTS[1:4]


def test_json_off(path, stand_in):
    assert said(run(path, "cpus", "-j", "--json=off")) == CPUS_TEXT


def test_j_is_pretty_on_a_terminal(path, stand_in):
    text = on_terminal(path, "cpus", "-j")
    assert text.startswith('[\n    {\n        "cpu": 0,\n')
    assert json.loads(text) == JSON_ANSWERS["cpus"]


# Which threads.

@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        (["threads", "--all"], {"all": True}),
        (["threads", "4711"], {"tid": 4711}),
        (["threads", "-a", "4711"], {"pid": 4711, "all": True}),
        (["threads", "4711", "--all-tasks"], {"pid": 4711, "all": True}),
    ],
)
def test_choice_of_threads(path, stand_in, arguments, parameters):
    run(path, *arguments, "--no-legend")
    assert [call["parameters"] for call in stand_in.calls] == [parameters]


@pytest.mark.parametrize("verb", ["threads", "explain"])
def test_a_process_is_said_to_be_its_first_thread(path, verb):
    """Though there is no end to its threads."""
    answers = {
        "ListThreads": lambda asked: [THREADS[0], ENDLESS] if "pid" in asked else [THREADS[0]],
        "Explain": [{"thread": THREADS[0]["thread"]}],
    }
    with StandIn(path, answers) as stand_in:
        done = run(path, verb, "4711")
    assert stand_in.calls[1]["parameters"] == {"pid": 4711, "all": True}
    assert done.returncode == 0
    assert done.stderr == (
        "this is thread 4711 alone; all threads of process 4711: "
        f"balancectl {verb} -a 4711\n"
    )


@pytest.mark.parametrize("verb", ["threads", "explain"])
def test_a_process_of_one_thread_is_that_thread(path, verb):
    answers = {"ListThreads": [THREADS[0]], "Explain": [{"thread": THREADS[0]["thread"]}]}
    with StandIn(path, answers):
        said(run(path, verb, "4711"))


@pytest.mark.parametrize("arguments", [["threads", "4713"], ["threads", "-a", "4711"]])
def test_nothing_is_said_where_nothing_is_unclear(path, stand_in, arguments):
    said(run(path, *arguments))


def test_explain_all_threads(path, stand_in):
    text = said(run(path, "explain", "-a", "4711"))
    assert text == "\n".join([EXPLAIN_TEXT] * len(THREADS))
    asked = [call["parameters"] for call in stand_in.calls]
    expected = [{"tid": one["thread"]["tid"]} for one in THREADS]
    assert asked == [{"pid": 4711, "all": True}, *expected]


def test_explain_all_passes_over_threads_that_end(path):
    answers = {"ListThreads": THREADS, "Explain": [Error("io.balancerd.NoSuchThread", {"tid": 1})]}
    with StandIn(path, answers):
        assert said(run(path, "explain", "-a", "4711")) == ""


def test_explain_a_thread_that_is_none(path):
    with StandIn(path, {"Explain": [Error("io.balancerd.NoSuchThread", {"tid": 4711})]}):
        done = run(path, "explain", "4711")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "there is no thread 4711, or it is none that you may see\n"


@pytest.mark.parametrize(("sees_all", "suffix"), [(True, ""), (False, ", or it is none that you may see")])
@pytest.mark.parametrize(
    ("arguments", "tid", "words"),
    [
        (["explain", "7"], {"tid": 7}, "there is no thread 7"),
        (["threads", "7"], {"tid": 7}, "there is no thread 7"),
        (["threads", "-a", "7"], {}, "there is no process 7"),
        (["explain", "-a", "7", "-j"], {}, "there is no process 7"),
    ],
)
def test_who_sees_all_is_not_told_of_more(path, sees_all, suffix, arguments, tid, words):
    answers = {"*": [Error("io.balancerd.NoSuchThread", tid)], "GetStatus": [{**STATUS, "seesAll": sees_all}]}
    with StandIn(path, answers):
        done = run(path, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{words}{suffix}\n")


def test_no_threads_are_no_failure(path):
    with StandIn(path, {"ListThreads": [Error("io.balancerd.NoSuchThread")]}):
        assert said(run(path, "threads", "-j")) == "[]\n"
        assert said(run(path, "threads", "--no-legend")) == ""
        assert len(said(run(path, "threads", "--all")).splitlines()) == 1
        done = run(path, "threads")
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
        assert done.stderr == (
            "no thread that you may see waits or runs where it needs watching; --all lists those "
            "that are not watched\n"
        )
        assert run(path, "threads", "4711").returncode == 1
        assert run(path, "threads", "-a", "4711").returncode == 1


def test_no_threads_of_anybody(path):
    answers = {"ListThreads": [Error("io.balancerd.NoSuchThread")], "GetStatus": [STATUS]}
    with StandIn(path, answers):
        assert run(path, "threads").stderr.startswith("no thread waits or runs where ")


# A daemon that is not there, or says no.

def test_no_daemon(path):
    done = run(path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"balancerd does not run ({path}: No such file or directory)\n"


DEFAULT_SOCKET = "/run/balancerd/io.balancerd"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    ("script", "arguments", "hint"),
    [
        ("mkdir -p /run/systemd/system", [], True),
        ("mkdir -p /run/systemd/system", ["--socket", DEFAULT_SOCKET], True),
        ("mkdir -p /run/systemd/system", ["--socket", "/run/other"], False),
        ("", [], False),
    ],
)
def test_how_to_start_it_is_said_where_it_is_a_service(script, arguments, hint):
    prefix = in_mount_namespace(f"mount -t tmpfs -o size=1m none /run\n{script}")
    done = run(None, *arguments, prefix=prefix)
    assert done.returncode == 1
    socket_path = (arguments or [DEFAULT_SOCKET])[-1]
    assert done.stderr == (
        f"balancerd does not run ({socket_path}: No such file or directory)"
        + ("; start it with: systemctl start balancerd\n" if hint else "\n")
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("is_service", [False, True])
def test_default_socket_that_nobody_listens_at(path, is_service):
    """The service's outlives it; another was left by a daemon that was killed, as the service's may be, too."""
    abandon(path)
    folders = "/run/balancerd /run/systemd/system" if is_service else "/run/balancerd"
    script = f"mount -t tmpfs -o size=1m none /run\nmkdir -p {folders}\ntouch {DEFAULT_SOCKET}\nmount --bind {path} {DEFAULT_SOCKET}"
    done = run(None, prefix=in_mount_namespace(script))
    assert done.returncode == 1
    if is_service:
        expected = (
            f"balancerd does not run ({DEFAULT_SOCKET}: Connection refused); start it with: systemctl start balancerd; "
            "that gives back what one that was killed left narrow, as does: balancerd --restore\n"
        )
    else:
        expected = (
            f"balancerd was killed ({DEFAULT_SOCKET}: Connection refused); its next start gives back what "
            "it left narrow, or: balancerd --restore\n"
        )
    assert done.stderr == expected


def abandon(path):
    """A socket that nobody listens at."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def test_stale_socket(path):
    abandon(path)
    done = run(path)
    assert done.returncode == 1
    assert done.stderr == (
        f"balancerd was killed ({path}: Connection refused); its next start gives back what it left "
        "narrow, or: balancerd --restore --runtime-dir DIR\n"
    )


def test_path_too_long(path):
    done = run("/" + "a" * 200)
    assert done.returncode == 1
    assert done.stderr == f"balancectl: cannot connect to /{'a' * 200}: File name too long\n"


def test_daemon_that_accepts_nobody(path):
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        done = run(path, "--timeout=1ms")
    assert done.returncode == 1
    assert done.stderr == f"balancerd takes no connection ({path}): it is busy, or it hangs\n"


REFUSALS = [
    (
        Error("org.varlink.service.PermissionDenied"),
        "this is for root and the group balancerd only\n",
    ),
    (
        Error("io.balancerd.NoSuchThread", {"tid": 4711}),
        "there is no thread 4711, or it is none that you may see\n",
    ),
    (
        Error("io.balancerd.TooManyConnections", {"limit": 32}),
        "balancerd has 32 connections already, which is as many as it takes; close some, or try "
        "again later\n",
    ),
    (
        Error("io.balancerd.InvalidConfiguration", {"file": "/etc/x", "line": 3, "column": 9, "expected": "a value"}),
        "/etc/x:3:9: expected a value\nthe settings stay as they were; there may be more: balancerd --check --config-dir DIR\n",
    ),
    (
        Error("io.balancerd.InvalidConfiguration", {"file": "/etc/x", "pointer": "/a/0", "expected": "true or false"}),
        "/etc/x: /a/0: expected true or false\nthe settings stay as they were; there may be more: balancerd --check --config-dir DIR\n",
    ),
    (
        Error("io.balancerd.InvalidConfiguration", {"file": "/etc/x", "pointer": "", "expected": "an object"}),
        "/etc/x: expected an object\nthe settings stay as they were; there may be more: balancerd --check --config-dir DIR\n",
    ),
    (Error("io.balancerd.InvalidMessage", {"reason": "x"}), "balancerd did not understand: x\n"),
    (
        Error("org.varlink.service.InvalidParameter", {"parameter": "tid"}),
        'balancerd refuses the parameter "tid"; is it another version than balancectl?\n',
    ),
    (
        Error("org.varlink.service.MethodNotFound", {"method": "io.balancerd.Reload"}),
        'this balancerd does not know "io.balancerd.Reload"; is it another version than '
        "balancectl?\n",
    ),
    (
        Error("org.varlink.service.InterfaceNotFound", {"interface": "io.balancerd"}),
        'this balancerd does not know "io.balancerd"; is it another version than balancectl?\n',
    ),
    (Error("io.balancerd.OutOfCheese", {"a": 1}), "balancerd refuses: io.balancerd.OutOfCheese\n"),
    (Error(""), "balancerd refuses: \n"),
]


@pytest.mark.parametrize(("refusal", "words"), REFUSALS, ids=range(len(REFUSALS)))
@pytest.mark.parametrize("mode", [[], ["-j"]])
def test_refusal(path, refusal, words, mode):
    with StandIn(path, {"*": [refusal]}):
        done = run(path, "reload", *mode)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", words)


def test_default_folder_is_not_asked_for(path):
    usage = subprocess.run([tree.BALANCERD, "--help"], capture_output=True, text=True, check=True).stdout
    (folder,) = re.findall(r"--config-dir DIR .*\[(.+)\]", usage)
    for file, option in ((f"{folder}/x", ""), (f"{folder}x", " --config-dir DIR"), (folder, " --config-dir DIR")):
        error = Error("io.balancerd.InvalidConfiguration", {"file": file, "expected": "an object"})
        with StandIn(path, {"Reload": [error]}):
            assert run(path, "reload").stderr.endswith(f": balancerd --check{option}\n")
        path.unlink()


@pytest.mark.parametrize("verb", CALLS)
def test_refusal_of_every_command(path, verb):
    with StandIn(path, {"*": [Error("org.varlink.service.PermissionDenied")]}):
        done = run(path, *CALLS[verb])
    assert (done.returncode, done.stdout, done.stderr) == (1, "", REFUSALS[0][1])


def test_refusal_in_the_middle_of_a_list(path):
    """Half a list is none."""
    with StandIn(path, {"ListThreads": [THREADS[0], Error("org.varlink.service.PermissionDenied")]}):
        done = run(path, "threads")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", REFUSALS[0][1])


def test_refusal_before_the_call(path):
    greeting = b'{"error":"io.balancerd.TooManyConnections","parameters":{"limit":7}}\0'
    with StandIn(path, greeting=greeting):
        done = run(path)
    assert done.returncode == 1
    assert done.stderr.startswith("balancerd has 7 connections already")


# A daemon that is none.

@pytest.mark.parametrize("verb", CALLS)
def test_daemon_that_dies(path, verb):
    with StandIn(path, {"*": [CLOSE]}):
        done = run(path, *CALLS[verb])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"balancerd has closed the connection ({path})\n"


def test_daemon_that_dies_within_a_list(path):
    with StandIn(path, {"ListCpus": [*CPUS, CLOSE]}):
        done = run(path, "cpus")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"balancerd has closed the connection ({path})\n"


def test_daemon_that_dies_within_a_message(path):
    with StandIn(path, {"GetStatus": [Bytes(b'{"parameters":{}}'), CLOSE]}):
        done = run(path)
    assert done.returncode == 1
    assert done.stderr == f"balancerd has closed the connection ({path})\n"


def test_monitor_of_a_daemon_that_dies(path):
    """What was told before stays told."""
    with StandIn(path, {"Monitor": [{"ready": True}, {"decision": DECISION}, CLOSE]}):
        done = run(path, "monitor")
    assert (done.returncode, done.stdout) == (1, MOVED_TEXT)
    assert done.stderr.endswith(f"balancerd has closed the connection ({path})\n")


@pytest.mark.parametrize("verb", CALLS)
def test_daemon_that_never_answers(path, verb):
    with StandIn(path, {"*": [SILENCE]}):
        done = run(path, *CALLS[verb], "--timeout=10ms")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"balancerd does not answer ({path}, waited 10ms)\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"hello\0",
        b"\xff\xfe\0",
        b"HTTP/1.1 400 Bad Request\r\n\r\n\0",
        b"[]\0",
        b'{"parameters":{"a":1,"a":2}}\0',
        b'{"error":7}\0',
        b'{"parameters":"\\u0000"}\0',
        b"[" * 5000 + b"\0",
        b"x" * 70000,
        b'{"parameters":{"text":"' + b"x" * 70000 + b'"}}\0',
    ],
    ids=range(11),
)
@pytest.mark.parametrize("verb", ["status", "threads", "monitor"])
def test_rubbish(path, verb, data):
    with StandIn(path, {"*": [Bytes(data), SILENCE]}):
        done = run(path, *CALLS[verb])
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"what answers at {path} is no balancerd that this balancectl knows: [a-zA-Z0-9 ,-]+\n",
        done.stderr,
    )


@pytest.mark.parametrize("verb", CALLS)
def test_slow_daemon(path, verb):
    """Byte by byte it is the same."""
    with StandIn(path, ANSWERS, by_byte=True):
        slow = run(path, *CALLS[verb])
    path.unlink()
    with StandIn(path, ANSWERS):
        assert slow.stdout == run(path, *CALLS[verb]).stdout
    assert slow.returncode == 0


def newer(value):
    """The same as a later version might tell it."""
    if isinstance(value, dict):
        return {**{key: newer(part) for key, part in value.items()}, "later": {"x": [1, None]}}
    return [newer(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("verb", CALLS)
def test_newer_daemon(path, verb):
    """Fields that are not known make no difference."""
    answers = {method: newer(steps) for method, steps in ANSWERS.items()}
    with StandIn(path, answers):
        done = run(path, *CALLS[verb])
    path.unlink()
    with StandIn(path, ANSWERS):
        assert (done.returncode, done.stdout) == (0, run(path, *CALLS[verb]).stdout)


def test_monitor_passes_over_what_it_does_not_know(path):
    events = [{"ready": True}, {"eclipse": {}}, {}, {"decision": None}, {"decision": DECISION}, ENDLESS]
    with StandIn(path, {"Monitor": events}):
        assert run(path, "monitor", "-n", "1").stdout == MOVED_TEXT


def test_monitor_tells_what_was_lost(path):
    with StandIn(path, {"Monitor": [{"ready": True}, {"lost": 17}, {"decision": DECISION}, ENDLESS]}):
        told = run(path, "monitor", "-n", "2").stdout
        assert told == "17 events came too fast to be shown\n" + MOVED_TEXT
    path.unlink()
    with StandIn(path, {"Monitor": [{"ready": True}, {"lost": 17}, ENDLESS]}):
        assert json.loads(run(path, "-j", "monitor", "-n", "1").stdout) == {"lost": 17}


OLDER = {
    "GetStatus": [{}],
    "ListCpus": [{"cpu": {}}, {}],
    "ListThreads": [{"thread": {}}, {}],
    "ListDecisions": [{"decision": {}}, {}],
    "Monitor": [{}, {"decision": {}}, {"notice": {}}, ENDLESS],
    "Explain": [{}],
    "Reload": [{}],
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status"], "        Daemon: balancerd -, PID -\n"),
        (["cpus"], "  -     -    -     -         -     -        -        -       -  -\n"),
        (["threads"], "  -    -    -    -  -    -    -     -       -      -  -         -        -\n"),
        (["monitor", "-n", "2"], "? -[-] would be moved from CPU - to -: -, - competitors fewer"),
        (["monitor", "-n", "2"], "? notice: -\n"),
        (["history"], "? -[-] would be moved from CPU - to -: -, - competitors fewer"),
        (["explain", "1"], "        Thread: - (-) of process -, user -\n"),
        (["reload"], "in effect: the defaults"),
    ],
)
def test_older_daemon(path, arguments, words):
    """What is missing is a dash."""
    with StandIn(path, OLDER):
        done = run(path, *arguments)
    assert done.returncode == 0
    assert words in done.stdout


@pytest.mark.parametrize("verb", ["status", "explain", "reload"])
def test_reply_without_parameters(path, verb):
    with StandIn(path, {"*": [Bytes(b"{}\0")]}):
        assert said(run(path, *CALLS[verb], "-j")) == "{}\n"
        assert said(run(path, *CALLS[verb])) != ""


def lying(value, lie):
    if isinstance(value, dict):
        return {key: lying(part, lie) for key, part in value.items()}
    return [lying(part, lie) for part in value] if isinstance(value, list) else lie


@pytest.mark.parametrize(
    "lie", [None, True, "", "x", -1, 2**63 - 1, -(2**63), 1e308, -1e308, 1e-308, [], {}, [[]]], ids=repr
)
@pytest.mark.parametrize("verb", CALLS)
def test_lying_daemon(path, verb, lie):
    """Whatever the values are, it prints text and ends as it should; in a pipe and on a terminal."""
    answers = {
        method: [step if step == ENDLESS else lying(step, lie) for step in steps]
        for method, steps in ANSWERS.items()
    }
    with StandIn(path, answers):
        done = run(path, *CALLS[verb])
        assert done.returncode == 0
        assert re.fullmatch(r"[ -~\n]+", done.stdout)
        on_terminal(path, *CALLS[verb])


EVIL = "\x1b]0;evil\x07\x1b[2J\r\n\x9b31m\u202eabc\x7f\\x1b"


@pytest.mark.parametrize("verb", CALLS)
def test_nothing_foreign_speaks_to_the_terminal(path, verb):
    answers = {
        method: [step if step == ENDLESS else lying(step, EVIL) for step in steps]
        for method, steps in ANSWERS.items()
    }
    # Only what is an object is told.
    with StandIn(path, answers):
        assert re.fullmatch(r"[ -~\n]*", run(path, *CALLS[verb]).stdout)
        assert re.fullmatch(r"[ -~\n]*", plain(on_terminal(path, *CALLS[verb])))
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x80-\uffff]", run(path, *CALLS[verb], "-j").stdout)


def test_nothing_foreign_speaks_through_a_refusal(path):
    parameters = {"file": EVIL, "pointer": EVIL, "expected": EVIL, "reason": EVIL, "method": EVIL}
    for name in (
        "io.balancerd.InvalidConfiguration",
        "io.balancerd.InvalidMessage",
        "org.varlink.service.MethodNotFound",
        EVIL,
    ):
        with StandIn(path, {"*": [Error(name, parameters)]}):
            for mode in ([], ["-j"]):
                done = run(path, "reload", *mode)
                assert done.returncode == 1
                assert re.fullmatch(r"[ -~\n]+", done.stderr)
        path.unlink()


# Output that nobody takes.

@pytest.mark.parametrize("arguments", [*CALLS.values(), ["--help"], ["--version"]])
def test_full_disk(path, stand_in, arguments):
    with open("/dev/full", "w") as full:
        done = run(path, *arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr.endswith("balancectl: cannot write: No space left on device\n")


@pytest.mark.parametrize("arguments", CALLS.values())
def test_closed_output(path, stand_in, arguments):
    done = run(path, *arguments, preexec_fn=lambda: os.close(1))
    assert done.returncode == 1
    assert done.stderr.endswith("balancectl: cannot write: Bad file descriptor\n")
    # And what should have been printed was not sent to the daemon instead.
    assert all(call["method"].startswith("io.balancerd.") for call in stand_in.calls)


@pytest.mark.parametrize("arguments", CALLS.values())
def test_pipe_that_nobody_reads(path, stand_in, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        done = run(path, *arguments, stdout=pipe)
    assert done.returncode == 1
    assert done.stderr in ("", LISTENING)


def test_head(path):
    with StandIn(path, {"ListThreads": [thread(tid) for tid in range(1, 5000)]}):
        done = subprocess.run(
            ["sh", "-c", '"$0" --socket "$1" threads | head -n 1', tree.BALANCECTL, path],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SEC,
            env=ENVIRONMENT,
        )
    assert done.stdout.split()[0] == "TID"
    assert done.stderr == ""


def test_monitor_tells_at_once_and_ends_by_the_signal(path, stand_in):
    """In a pipe too, a line is there when it is told; the daemon says no more."""
    with monitor(path) as process:
        assert "".join(process.stdout.readline() for _ in range(3)) == MONITOR_TEXT
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SEC) == -signal.SIGINT


def test_monitor_ends_when_its_reader_has_left(path):
    """Though nothing happens: `balancectl monitor | head -n 1` does not wait for the next move."""
    with StandIn(path, {"Monitor": [{"ready": True}, ENDLESS]}):
        with monitor(path) as process:
            assert process.stderr.readline() == LISTENING
            process.stdout.close()
            assert process.wait(PATIENCE_SEC) == 1
            assert process.stderr.read() == ""


# check

def fake_balancerd(runtime_dir, status):
    program = runtime_dir / "fake"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@"\nexit {status}\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("status", [0, 1, 3])
def test_check_runs_the_daemon(runtime_dir, status):
    program = fake_balancerd(runtime_dir, status)
    done = run(None, "check", env={"BALANCERD_PATH": str(program)})
    assert (done.returncode, done.stdout) == (status, "--check\n")
    done = run(None, "check", "--config-dir", "/a b", env={"BALANCERD_PATH": str(program)})
    assert (done.returncode, done.stdout) == (status, "--check\n--config-dir\n/a b\n")


def test_check_without_a_daemon(runtime_dir):
    done = run(None, "check", env={"BALANCERD_PATH": str(runtime_dir / "none")})
    assert done.returncode == 1
    assert done.stderr == f"balancectl: cannot run {runtime_dir}/none: No such file or directory\n"


def test_empty_path_of_the_daemon_is_none():
    assert "cannot run :" not in run(None, "check", env={"BALANCERD_PATH": ""}).stderr


# The command line.

@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["frobnicate"],
            'there is no command "frobnicate"; there are status, cpus, threads, monitor, history, explain, reload, check',
        ),
        (["stat"], 'there is no command "stat"'),
        (["help", "stat"], 'there is no command "stat"'),
        (["--socket="], '--socket "": expected a path'),
        (["--frobnicate"], "frobnicate"),
        (["status", "x"], 'unexpected argument "x"'),
        (["threads", "1", "2"], 'unexpected argument "2"'),
        (["threads", "x"], "threads x: expected the number of a thread"),
        (["threads", "0"], "threads 0: expected the number of a thread"),
        (["threads", "-a", "x"], "threads x: expected the number of a process"),
        (["threads", "-1"], "no option -1; threads and processes have numbers from 1 on"),
        (["explain", "-90"], "no option -9; threads and processes have numbers from 1 on"),
        (["threads", "99999999999"], "expected the number of a thread"),
        (["threads", "-a"], "threads --all-tasks: which process? Give its number"),
        (["explain"], "explain: which thread? Give its number"),
        (["explain", "1", "-n", "1"], "explain takes no --count"),
        (["check", "-j"], "check takes no -j"),
        (["-n", "1"], "status takes no --count"),
        (["monitor", "-n", "0"], "--count 0: expected a number from 1 on"),
        (["monitor", "-n", "many"], "--count many: expected a number from 1 on"),
        (["--json=long"], "--json long: expected short, pretty or off"),
        (["--json"], "requires an argument"),
        (["--timeout=soon"], "--timeout soon: expected a time such as 500ms or 10s"),
        (["--timeout=10"], "--timeout 10: expected a time such as 500ms or 10s"),
    ],
)
def test_bad_arguments(path, arguments, words):
    done = run(path, *arguments) if arguments != ["check", "-j"] else run(None, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    complaint, hint = done.stderr.splitlines()
    assert words in complaint
    assert hint == 'Try "balancectl --help".'


def help_text(*verb):
    return said(run(None, *verb, "--help"))


def listed(text):
    """Commands, long options and letters of a help."""
    verbs = re.findall(r"^  ([a-z]+)(?: \[?TID\]?)?  +", text, re.M)
    rows = re.findall(r"^  (?:(-\w),? )? *(?:--([a-z-]+))?(?: [A-Z]+)?  +\S", text, re.M)
    return verbs, {name for _letter, name in rows if name}, {letter for letter, _name in rows if letter}


def manual():
    return (tree.SOURCE / "man/balancectl.1").read_text()


def test_help_and_manual_agree():
    verbs, names, letters = listed(help_text())
    assert re.findall(r"^\.It Cm ([a-z]+)", manual(), re.M) == verbs
    described = re.findall(r"^\.It Fl (.*)$", manual(), re.M)
    assert {n for line in described for n in re.findall(r"(?<= )-([a-z-]+)", " " + line)} == names
    assert {f"-{line[0]}" for line in described if line[0] != "-"} == letters


def test_parser_takes_what_the_help_lists():
    """Every option of a command's help is accepted by it, and no other of the main help's."""
    verbs, every_name, every_letter = listed(help_text())
    value = {"count": "1", "config-dir": "/", "json": "off", "socket": "/", "timeout": "1s"}
    for verb in verbs:
        _verbs, names, letters = listed(help_text(verb))
        assert {"help", "version"} <= names
        for name in every_name - {"help", "version"}:
            option = f"--{name}" + (f"={value[name]}" if name in value else "")
            done = run(None, verb, option, "1", "2", "3")
            refused = f"{verb} takes no --{name}" in done.stderr
            assert done.returncode == 2
            assert refused == (name not in names)
        for letter in every_letter - {"-h"}:
            done = run(None, verb, letter, *(["1"] if letter == "-n" else []), "1", "2", "3")
            assert done.returncode == 2
            assert ("takes no" in done.stderr) == (letter not in letters)


def test_help_of_a_command():
    text = help_text("threads")
    assert text.startswith("balancectl threads [OPTION...] [TID]\n\nList threads")
    assert said(run(None, "threads", "-h")) == text
    assert said(run(None, "help", "threads")) == text


def test_help_is_a_command_too():
    assert said(run(None, "help")) == help_text()


def test_version():
    text = said(run(None, "--version"))
    assert re.fullmatch(r"balancectl \d+\.\d+\.\d+\n", text)
    daemon = subprocess.run([tree.BALANCERD, "--version"], capture_output=True, text=True, check=True)
    assert text.split()[1] == daemon.stdout.split()[1]


def test_default_socket_is_the_manual_s():
    (default,) = re.findall(r"--socket PATH .*\[(.+)\]", help_text())
    assert default == "/run/balancerd/io.balancerd"
    assert f"\n.Pa {default} ." in manual() and f"\n.It Pa {default}\n" in manual()
    (timeout,) = re.findall(r"--timeout TIME .*\[(.+)\]", help_text())
    assert f"The default is\n.Ql {timeout} ." in manual()


README = (tree.SOURCE / "README.md").read_text()
EXAMPLES = [
    *re.findall(r"^\.Dl [$#] (.*)$", manual(), re.M),
    *re.findall(r"^    \$ (balancectl .*?) *(?:#.*)?$", README, re.M),
]


def test_there_are_examples():
    assert len(EXAMPLES) >= 9


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(path, stand_in, runtime_dir, example):
    """Every example of the documents, as it stands there, with this balancectl in front of PATH."""
    if example == "balancectl monitor":
        example += " -n 1"  # which ends
    program = fake_balancerd(runtime_dir, 0)
    wrapper = runtime_dir / "balancectl"
    socket_option = f'--socket "{path}"'
    wrapper.write_text(
        "#!/bin/sh\n"
        f'case "$1" in check) exec "{tree.BALANCECTL}" "$@" ;; esac\n'
        f'exec "{tree.BALANCECTL}" "$@" {socket_option}\n'
    )
    wrapper.chmod(0o755)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-ec", example],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SEC,
        env={
            **ENVIRONMENT,
            "PATH": f"{runtime_dir}:{ENVIRONMENT['PATH']}",
            "BALANCERD_PATH": str(program),
        },
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_it_links_nothing_of_the_daemon_s():
    """The command starts quickly and runs where the daemon's libraries are not."""
    needed = subprocess.run(
        ["readelf", "-d", tree.BALANCECTL], capture_output=True, text=True, check=True
    ).stdout
    libraries = re.findall(r"\(NEEDED\).*\[(.+?)\.so", needed)
    assert set(libraries) - {"libasan", "libubsan"} <= {"libjansson", "libc", "libm", "ld-linux-x86-64"}


# What bash offers.

def offered(*words):
    """For the last of WORDS, which may have been begun only."""
    script = (
        'compopt() { :; }; source "$1" && shift && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && _balancectl && '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-uc", script, "bash", tree.SOURCE / "completions/bash/balancectl", "balancectl", *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SEC,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_offers_what_the_help_lists():
    verbs, _names, _letters = listed(help_text())
    assert sorted(offered("")) == sorted(verbs)
    assert offered("th") == ["threads"]
    for verb in verbs:
        _verbs, names, letters = listed(help_text(verb))
        assert sorted(offered(verb, "-")) == sorted({f"--{name}" for name in names} | letters)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cpus", "--json", "p"], ["pretty"]),
        (["cpus", "--json", "=", ""], ["short", "pretty", "off"]),
        (["cpus", "--json", "="], ["short", "pretty", "off"]),
        (["monitor", "-n", ""], []),
        (["cpus", ""], []),
        (["check", "--config-dir", "/pro"], ["/proc"]),
        (["--socket", "/dev/nul"], ["/dev/null"]),
        (["--socket", "cpus", "thr"], ["threads"]),
        (["", "thr"], ["threads"]),
        (["explain", "-a", str(os.getpid())], [str(os.getpid())]),
        (["check", "--json", ""], []),
        (["reload", "--config-dir", "/pro"], []),
        (["--json", ""], ["short", "pretty", "off"]),
    ],
)
def test_bash_offers_values(words, expected):
    assert [word for word in offered(*words) if word in expected] == expected
    assert len(offered(*words)) >= len(expected)
    if not expected:
        assert offered(*words) == []


def typed(keys, folder):
    """The words that bash makes of KEYS on a terminal."""
    words, setup = folder / "words", folder / "setup"
    setup.write_text(
        f'HISTFILE=; source "{tree.SOURCE}/completions/bash/balancectl"\n'
        f'balancectl() {{ printf "%s\\n" "$@" >"{words}"; exit; }}\n'
    )
    master, slave = os.openpty()
    shell = ["bash", "--rcfile", setup, "-i"]
    with subprocess.Popen(shell, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as bash:
        os.close(slave)
        os.write(master, f"{keys}\n".encode())
        shown = read_to_end(master)
        os.close(master)
        assert bash.wait(PATIENCE_SEC) == 0, shown
    return words.read_text().splitlines()


@pytest.mark.parametrize("option", ["--socket", "--config-dir"])
def test_bash_goes_on_below_a_folder(option, runtime_dir):
    """No blank behind its name, as there is behind a word that is whole."""
    (runtime_dir / "folder/below").mkdir(parents=True)
    keys = f"balancectl {option} {runtime_dir}/fol\tbel\t"
    assert typed(keys, runtime_dir) == [option, f"{runtime_dir}/folder/below/"]
