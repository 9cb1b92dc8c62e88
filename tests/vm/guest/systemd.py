# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd as process 1: the units of balancerd, and what the journal has of them."""

import json
import subprocess
import time

PATIENCE_SEC = 60
SERVICE = "balancerd.service"
SOCKET = "balancerd.socket"


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


def main_pid():
    return int(shown("MainPID"))


def reset():
    """The units stand still as after the installation."""
    systemctl("stop", SERVICE, SOCKET, check=False)
    systemctl("reset-failed", SERVICE, SOCKET, check=False)


def wait_for(condition, what):
    """Polls until CONDITION is true; returns what it returned."""
    deadline = time.monotonic() + PATIENCE_SEC
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SEC} s\n{journal_text()}"
        time.sleep(0.05)
    return found


def cursor():
    """The journal's end, for what comes after it."""
    run("journalctl", "--sync")
    line = run("journalctl", "-n", "1", "-o", "json", "--no-pager")
    return json.loads(line)["__CURSOR"]


def entries(since, *matches):
    """[{field: value}] of what stands in the journal after SINCE."""
    text = run("journalctl", "--no-pager", "-o", "json", "--all", "--after-cursor", since, *matches, check=False)
    return [json.loads(line) for line in text.splitlines()]


def journal_text(unit=SERVICE, lines=50):
    return run("journalctl", "--no-pager", "-o", "short-monotonic", "-n", str(lines), "-u", unit, check=False)
