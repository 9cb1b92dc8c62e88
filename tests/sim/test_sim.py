# SPDX-License-Identifier: LGPL-2.1-or-later
"""balancerd-sim from outside: what it prints, what it refuses, and that it repeats itself."""

import os
import re
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(os.environ.get("top_builddir", ".")) / "balancerd-sim"


def run(*arguments):
    return subprocess.run(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_help_names_every_option():
    done = run("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    source = (Path(os.environ.get("top_srcdir", ".")) / "src/sim/main.c").read_text()
    options = set(re.findall(r'^ +\{"([a-z-]+)", (?:no|required)_argument', source, re.M))
    assert options == set(re.findall(r"^  --([a-z-]+)", done.stdout, re.M))


def test_list():
    done = run("--list")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert len(names) == len(set(names))
    assert {"stacked-8", "k1-mix", "chain-16", "forks"} <= set(names)


def test_a_goal_that_is_met():
    done = run("--duration=10s", "stacked-8")
    assert done.returncode == 0
    head, line = done.stdout.splitlines()
    assert head.startswith("scenario ")
    assert line.startswith("stacked-8 ")
    assert line.endswith(": met")


def test_a_goal_that_is_missed():
    idle = ["--set=balance.unbalanced=no", "--set=balance.stuckThreads=no"]
    done = run("--duration=5s", *idle, "stacked-8")
    assert done.returncode == 1
    assert re.search(r": MISSED: eff 0\.12.*, 0 moves$", done.stdout.splitlines()[1])


def test_without_balancerd_no_goal_is_asked_for():
    done = run("--duration=1s", "--mode=none", "stacked-8")
    assert done.returncode == 0
    assert "MISSED" in done.stdout
    done = run("--duration=2s", "--mode=kernel", "stacked-8")
    assert float(done.stdout.splitlines()[1].split()[1]) > 0.98


def test_moves_are_told():
    done = run("--duration=1s", "--moves", "stacked-8")
    moves = re.findall(r"sched_migrate_task: comm=hog pid=\d+ prio=120 orig_cpu=0", done.stdout)
    assert len(moves) == 7


def test_the_same_seed_prints_the_same():
    arguments = ["--duration=3s", "--moves", "--seed=5", "--seeds=2", "forks", "random-masks"]
    first, second, other = run(*arguments), run(*arguments), run(*arguments, "--seed=6")
    assert first.stdout == second.stdout
    assert first.stdout != other.stdout


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "Which scenario?"),
        (["no-such"], "There is no scenario no-such"),
        (["--mode=slow", "stacked-8"], "slow"),
        (["--seeds=0", "stacked-8"], "0"),
        (["--duration=tomorrow", "stacked-8"], "tomorrow"),
        (["--set=balance.tick", "stacked-8"], "KEY=VALUE"),
        (["--set=balance.tick=1h", "stacked-8"], "expected a time with its unit, such as 20ms, from 1ms to 1s"),
        (["--no-such-option"], "no-such-option"),
    ],
)
def test_what_is_refused(arguments, complaint):
    done = run(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
