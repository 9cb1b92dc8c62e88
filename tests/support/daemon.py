# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starting the built daemon, reading its lines as they come, ending it."""

import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from . import tree

# Long enough for the slowest machine under the slowest checker; a daemon that hangs fails by it.
PATIENCE_SEC = 60

# Its exit status where the command line or the configuration is wrong.
REFUSED = 78

# For the environment: AddressSanitizer keeps what was freed for a while, to see it used again.
EXACT_MEMORY = {"ASAN_OPTIONS": "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"}

MOVE = re.compile(r"(would: )?sched_migrate_task: ((?:[a-z_]+=\S+ ?)+)")

# What every line of a move has; others may stand between and behind.
MOVE_KEYS = {"comm", "pid", "prio", "orig_cpu", "dest_cpu", "rq", "why", "load", "gain"}


@dataclass(frozen=True)
class Move:
    """A line of the log that tells a move."""

    observed: bool
    comm: str
    tid: int
    orig: int
    dest: int
    why: str
    result: str

    @property
    def made(self):
        return not self.observed and self.result == "moved"


def parse_move(line):
    """The Move that LINE tells, or None."""
    match = MOVE.fullmatch(line)
    if not match:
        return None
    values = dict(pair.split("=", 1) for pair in match[2].split(" "))
    if not MOVE_KEYS <= set(values):
        return None
    return Move(
        observed=bool(match[1]),
        comm=values["comm"],
        tid=int(values["pid"]),
        orig=int(values["orig_cpu"]),
        dest=int(values["dest_cpu"]),
        why=values["why"],
        result=values.get("result", "moved"),
    )


class Daemon:
    """A running balancerd: `with Daemon(runtime_dir) as daemon`.

    PREFIX is a command that runs it (unshare, setpriv, ...) and must end in the daemon's own
    exec, so that the process that is signalled is the daemon.
    """

    def __init__(self, runtime_dir, *arguments, prefix=(), binary=tree.BALANCERD, env=None,
                 wait=True, on_line=None, preexec=None, pass_fds=()):
        self.lines = []
        self._changed = threading.Condition()
        self._ended = False
        self._on_line = on_line
        environment = {**os.environ, **(env or {})}
        environment.pop("JOURNAL_STREAM", None)
        self.process = subprocess.Popen(
            [*prefix, binary, *folders(runtime_dir), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env=environment,
            start_new_session=True,
            preexec_fn=preexec,
            pass_fds=pass_fds,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if wait:
            self.wait_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_SEC)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()

    def _read(self):
        for line in self.process.stderr:
            line = line.rstrip("\n")
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
            if self._on_line:
                self._on_line(line)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_line(self, pattern, start=0, timeout=PATIENCE_SEC):
        """Waits for a line from number START on that PATTERN is found in; returns it."""
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self.lines[start:]:
                    if expression.search(line):
                        return line
                start = max(start, len(self.lines))
                if self._ended:
                    raise AssertionError(f"ended without {pattern!r}:\n" + "\n".join(self.lines))
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no {pattern!r} in time:\n" + "\n".join(self.lines))
                self._changed.wait(left)

    def wait_ready(self):
        return self.wait_line(r"^balancerd: ready: ")

    def stop(self, number=signal.SIGTERM):
        """Sends a signal, waits for the end and for the last line; returns the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        status = self.process.wait(PATIENCE_SEC)
        self._reader.join()
        return status

    def counts(self):
        """What the daemon counts, asked for by SIGUSR1: {"threads": 120, ...}."""
        with self._changed:
            start = len(self.lines)
        self.process.send_signal(signal.SIGUSR1)
        line = self.wait_line(r"^balancerd: counts: ", start)
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}

    def moves(self):
        """All moves told so far, failed and observed ones too."""
        with self._changed:
            return [move for move in map(parse_move, self.lines) if move]

    def complaints(self):
        """Lines that are neither moves nor counts nor news of its state."""
        with self._changed:
            return [
                line
                for line in self.lines
                if not parse_move(line) and not re.match(r"balancerd: (counts|ready|ending|waiting)\b", line)
            ]


def folders(runtime_dir):
    """Options for a daemon that shares nothing with one of the host: neither its folder nor its
    configuration, which is in the folder etc if the test has made that. A later option counts."""
    configuration = Path(runtime_dir) / "etc"
    if not configuration.is_dir():
        configuration = Path("/proc")  # which every machine has, without a balancerd.json
    return ["--runtime-dir", str(runtime_dir), "--config-dir", str(configuration)]


def restore(runtime_dir, *arguments):
    """Runs `balancerd --restore` to its end."""
    return subprocess.run(
        [tree.BALANCERD, "--runtime-dir", str(runtime_dir), "--restore", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SEC,
    )
