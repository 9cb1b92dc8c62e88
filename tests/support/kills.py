# SPDX-License-Identifier: LGPL-2.1-or-later
"""Killing the mover at any step, and judging what becomes of the masks."""

import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from . import daemon, procfs, tree

MOVER_STEPS = tree.BUILD / "tests/outside/mover-steps"
VICTIM = tree.BUILD / "tests/outside/victim"

# The last word of `balancerd --restore`.
RESTORED = re.compile(r"^balancerd: (?:nothing was left narrow|restored: (?P<parts>.*))$", re.M)
PARTS = {
    "restored": "masks given back",
    "children": "masks of children given back",
    "intact": "as they were",
    "foreign": "set by somebody else since",
    "gone": "threads gone",
    "damaged": "records damaged",
    "failed": "failed",
}


def read_restored(text):
    """What TEXT, the daemon's lines, says was restored: {"restored": 2, ...}, or None."""
    found = RESTORED.search(text)
    if not found:
        return None
    told = dict(reversed(part.split(" ", 1)) for part in (found["parts"] or "").split(", ") if part)
    assert set(told) <= set(PARTS.values()), found[0]
    return {key: int(told.get(what, 0)) for key, what in PARTS.items()}


def parents():
    """{pid: pid of its parent} of all processes."""
    found = {}
    for pid in procfs.processes():
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except procfs.GONE:
            continue
        found[pid] = int(stat.rpartition(b")")[2].split()[1])
    return found


class Victims:
    """Busy processes, some of which bear children: `with Victims("fork", "plain") as victims`."""

    def __init__(self, *kinds, nice=0):
        self.processes = [
            subprocess.Popen([VICTIM, kind, str(nice)], stdout=subprocess.PIPE, text=True)
            for kind in kinds
        ]
        for process in self.processes:
            assert process.stdout.readline() == "ready\n"
        self.pids = [process.pid for process in self.processes]
        self.original = {pid: procfs.read_thread(pid, pid).mask for pid in self.pids}

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
            process.stdout.close()

    def family(self):
        """{pid: the victim that it is, or descends from}."""
        parent_of = parents()
        found = {}
        for pid in parent_of:
            ancestor = pid
            while ancestor in parent_of and ancestor not in self.original:
                ancestor = parent_of[ancestor]
            if ancestor in self.original:
                found[pid] = ancestor
        return found

    def judge(self):
        """(how many threads were looked at, those whose mask is not the victim's own, as text)."""
        assert all(process.poll() is None for process in self.processes)
        looked_at, wrong = 0, []
        for pid, victim in self.family().items():
            for thread in procfs.masks([pid]).values():
                looked_at += 1
                if thread.mask != self.original[victim]:
                    wrong.append(f"{thread.tid} of {victim}: {thread.mask}")
        return looked_at, wrong


def ledger_dir(runtime_dir):
    """The folder of the ledger below the daemon's --runtime-dir; made, if need be."""
    path = Path(runtime_dir) / "private"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def steps(runtime_dir, *arguments, prefix=()):
    """Runs mover-steps to its end, or to its death."""
    option = f"--runtime-dir={ledger_dir(runtime_dir)}"
    command = [*prefix, MOVER_STEPS, option, *map(str, arguments)]
    # Leaks are not looked for under a tracer: LeakSanitizer would have to be one itself.
    traced = {"ASAN_OPTIONS": "detect_leaks=0"} if prefix else {}
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **traced}
    )


class Hold:
    """A mover that holds threads, the first of their process each, until it is told to release them
    or is killed: `with Hold(runtime_dir, pid) as hold: hold.release()`."""

    def __init__(self, runtime_dir, *pids):
        command = [MOVER_STEPS, f"--runtime-dir={ledger_dir(runtime_dir)}", "--hold", "--until-told"]
        self.process = subprocess.Popen(
            [*command, *map(str, pids)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "begin\n"
        self.cpus = {}  # {tid: the CPU that it is held on}
        for _pid in pids:
            told = self.told()
            assert (told["what"], told["result"]) == ("hold", "moved"), told
            self.cpus[int(told["tid"])] = int(told["to"])

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def told(self):
        """The next line: {"what": "hold", "tid": "123", ...}."""
        what, *pairs = self.process.stdout.readline().split()
        return {"what": what, **dict(pair.split("=") for pair in pairs)}

    def release(self):
        """{tid: what became of it, "released" or "foreign"}"""
        self.process.stdin.close()
        told = [self.told() for _tid in self.cpus]
        assert self.process.wait() == 0
        return {int(one["tid"]): one["result"] for one in told}

    def kill(self):
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL


def calls_of(result):
    """How many operations on the kernel a run that lived took."""
    assert result.returncode == 0, result
    return int(re.search(r"calls=(\d+)", result.stdout.splitlines()[-1]).group(1))


def died(result):
    return result.returncode == -signal.SIGKILL


@dataclass
class Tally:
    """What was found over many kills."""

    n_kills: int = 0
    n_looked_at: int = 0
    wrong: list = field(default_factory=list)
    restored: Counter = field(default_factory=Counter)  # what `balancerd --restore` says

    def restore(self, runtime_dir):
        done = daemon.restore(runtime_dir)
        assert done.returncode == 0, done.stderr
        found = read_restored(done.stderr)
        assert found, done.stderr
        self.restored.update(found)

    def judge(self, victims):
        self.add(*victims.judge())

    def add(self, n_looked_at, wrong):
        self.n_kills += 1
        self.n_looked_at += n_looked_at
        self.wrong += wrong

    def __str__(self):
        restored = ", ".join(f"{key} {value}" for key, value in self.restored.items())
        return (
            f"{self.n_kills} kills: masks changed afterwards: {len(self.wrong)} of"
            f" {self.n_looked_at} looked at; {restored}"
        )


def kinds_of_victims(count):
    """Of ten, two bear children and one threads."""
    return [{0: "fork", 5: "fork", 7: "threads"}.get(n % 10, "plain") for n in range(count)]


@dataclass
class Speed:
    """How fast the mover was while it lived."""

    n_moves: int = 0
    seconds: float = 0

    def __str__(self):
        rate = self.n_moves / self.seconds
        return f"{self.n_moves} moves in {self.seconds:.1f} s: {rate:.0f} a second"


def kill_at_random(runtime_dir, victims, chance, speed, *arguments):
    """Lets the mover move all victims at its own pace, and kills it some time later."""
    log = Path(runtime_dir) / "moves"
    with log.open("w+") as output:
        mover = subprocess.Popen(
            [MOVER_STEPS, f"--runtime-dir={ledger_dir(runtime_dir)}", "--rounds=0", "--workers=1"]
            + ["--births", *arguments, *map(str, victims.pids)],
            stdout=output,
        )
        while os.fstat(output.fileno()).st_size == 0:
            assert mover.poll() is None
            time.sleep(0.001)
        begin = time.monotonic()
        time.sleep(chance.uniform(0, 0.3))
        mover.kill()
        speed.seconds += time.monotonic() - begin
        assert mover.wait() == -signal.SIGKILL
        output.seek(0)
        speed.n_moves += len(re.findall(r" result=(?:moved|released) ", output.read()))
    log.unlink()


def random_kills(runtime_dir, n_kills, n_victims, seed):
    """Half the kills amid nudges, half amid holds. Returns (Tally, Speed)."""
    tally, speed, chance = Tally(), Speed(), random.Random(seed)
    with Victims(*kinds_of_victims(n_victims), nice=10) as victims:
        for n in range(n_kills):
            arguments = ["--hold"] if n % 2 else []
            kill_at_random(runtime_dir, victims, chance, speed, *arguments)
            tally.restore(runtime_dir)
            tally.judge(victims)
    return tally, speed
