# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd as process 1: the units of balancerd, and what the journal has of them."""

import contextlib
import functools
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

from support.journald import by_id

PATIENCE_SEC = 60
SERVICE = "balancerd.service"
SOCKET = "balancerd.socket"
LEDGER = Path("/run/balancerd/private/ledger")
CONFIGURATION = Path("/etc/balancerd/balancerd.json")


def run(*command, check=True):
    """Runs a command; its output, which must be of one that went well unless CHECK says otherwise."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SEC)
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def systemctl(*arguments, check=True):
    return run("systemctl", "--no-pager", *arguments, check=check)


def shown(name, unit=SERVICE):
    """A property of a unit."""
    return systemctl("show", "--value", "-p", name, unit).strip()


def properties(*names, unit=SERVICE):
    """{name: value} of several, taken at one moment."""
    lines = systemctl("show", "-p", ",".join(names), unit).splitlines()
    return dict(line.split("=", 1) for line in lines)


def main_pid():
    return int(shown("MainPID"))


def status_of(pid):
    """{key: value} of /proc/PID/status."""
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


def reset():
    """The units stand still as after the installation."""
    systemctl("stop", SERVICE, SOCKET, check=False)
    systemctl("reset-failed", SERVICE, SOCKET, check=False)


@contextlib.contextmanager
def drop_in(text):
    """TEXT is part of the service's unit; what runs already goes by it as far as systemd lets it."""
    folder = Path("/run/systemd/system") / f"{SERVICE}.d"
    folder.mkdir(parents=True)
    (folder / "test.conf").write_text(text, encoding="utf-8")
    try:
        systemctl("daemon-reload")
        yield
    finally:
        shutil.rmtree(folder)
        systemctl("daemon-reload")


@contextlib.contextmanager
def configured(settings=None):
    """SETTINGS are the service's configuration; gives a function that writes others, or bare text."""
    before = CONFIGURATION.read_text(encoding="utf-8")

    def write(new):
        CONFIGURATION.write_text(new if isinstance(new, str) else json.dumps(new), encoding="utf-8")

    try:
        write(settings or {})
        yield write
    finally:
        CONFIGURATION.write_text(before, encoding="utf-8")


def wait_for_start(after=0):
    """Waits until a daemon other than AFTER runs; returns its process."""

    def running():
        now = properties("SubState", "MainPID")
        return now["SubState"] == "running" and int(now["MainPID"]) != after and int(now["MainPID"])

    return wait_for(running, f"a daemon after {after}")


def wait_for(condition, what, patience=PATIENCE_SEC, every=0.05):
    """Polls until CONDITION is true; returns what it returned."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {patience} s\n{journal_text()}"
        time.sleep(every)
    return found


def cursor():
    """The journal's end, for what comes after it."""
    run("journalctl", "--sync")
    line = run("journalctl", "-n", "1", "-o", "json", "--no-pager")
    return json.loads(line)["__CURSOR"]


def written_entries(since, *matches):
    """What the journal has written of entries().

    Given to journalctl of systemd 252 together with a cursor, matches would cost the first entry.
    """
    text = run("journalctl", "--no-pager", "-o", "json", "--all", "--after-cursor", since)
    pairs = [match.split("=", 1) for match in matches]
    found = map(json.loads, text.splitlines())
    return [entry for entry in found if all(entry.get(key) == value for key, value in pairs)]


def entries(since, *matches):
    """[{field: value}] of all that was sent to the journal by now, after SINCE, and has each "FIELD=value" of
    MATCHES."""
    run("journalctl", "--sync")
    return written_entries(since, *matches)


def wait_for_entries(since, *matches, count=1):
    """COUNT entries or more, once they are there."""

    def enough():
        found = written_entries(since, *matches)
        return len(found) >= count and found

    return wait_for(enough, f"{count} times {matches} in the journal")


@functools.cache
def catalog():
    """{message id: text} of what the journal's catalog has."""
    parts = run("journalctl", "--no-pager", "--dump-catalog").split("\n-- ")
    return {part[:32]: part.partition("\n")[2].strip() for part in parts}


def assert_explained(entry):
    """`journalctl -x` prints the catalog's text behind ENTRY, with its fields filled in."""
    printed = run("journalctl", "--no-pager", "-x", "--cursor", entry["__CURSOR"], "-n", "1")
    expected = re.sub(r"@(\w+)@", lambda field: entry.get(field[1], ""), catalog()[entry["MESSAGE_ID"]])
    assert "Documentation: man:balancerd(8)" in expected
    # Each line has a mark in front.
    lines = [line.partition(" ")[2].strip() for line in printed.splitlines()]
    assert "\n".join(line.strip() for line in expected.splitlines()) in "\n".join(lines)


def told(since, kind, *matches):
    """The first event of a KIND, as the daemon's news.c calls it, once it is there; it is explained."""
    entry = wait_for_entries(since, by_id(kind), *matches)[0]
    assert entry["_SYSTEMD_UNIT"] == SERVICE
    assert_explained(entry)
    return entry


def journal_text(unit=SERVICE, lines=50):
    return run("journalctl", "--no-pager", "-o", "short-monotonic", "-n", str(lines), "-u", unit, check=False)
