# SPDX-License-Identifier: LGPL-2.1-or-later
"""A journal of our own: the real journald, in a mount namespace where nothing else is the machine's.

    with Journald() as journald:
        daemon_ = start_daemon(prefix=journald.prefix, wait=False)
        journald.wait_for("MESSAGE_ID=...")

It is one of journald's own namespaces (systemd-journald(8)), which reads neither the kernel's log nor
the audit's, put in the place where programs look for the machine's. Such a one ends after half a minute
without anything to do: start it after whatever has to be waited for.
"""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

from . import daemon, tree

PATIENCE_SEC = 60
PROGRAM = next((path for path in ("/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald")
                if Path(path).exists()), None)  # fmt: skip

# Its files stay in memory.
HIDE = """
mount -t tmpfs none /run/systemd
mount -t tmpfs none /var/log
mkdir -p /run/log
mount -t tmpfs none /run/log
mkdir /run/systemd/journal /run/systemd/journal.test
mount --bind /run/systemd/journal.test /run/systemd/journal
: >/run/systemd/prepared
exec sleep infinity
"""

# What systemd.exec(5) sets where standard error goes to the journal.
BEHIND = 'export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2); exec "$@"'


def by_id(kind):
    """A match for journalctl(1): the events of a kind, as news.c calls it, or of DROPPED lines."""
    if kind == "DROPPED":
        text, pattern = (tree.SOURCE / "src/base/log.h").read_text(), r'LOG_DROPPED_MESSAGE_ID "([0-9a-f]+)"'
    else:
        text, pattern = (tree.SOURCE / "src/balancerd/news.c").read_text(), rf'\[NEWS_{kind}\] = "([0-9a-f]+)"'
    return "MESSAGE_ID=" + re.search(pattern, text)[1]


def assert_fields_of_move(entry):
    """The fields of a move that was made say what its line says. Returns the daemon.Move."""
    told = daemon.parse_move(re.sub(r" suppressed=\d+$", "", entry["MESSAGE"]))
    assert told.made
    assert told.tid == int(entry["BALANCERD_TID"])
    assert told.orig == int(entry["BALANCERD_CPU_FROM"]) != int(entry["BALANCERD_CPU_TO"]) == told.dest
    assert (told.why, entry["BALANCERD_RESULT"]) == (entry["BALANCERD_REASON"], "moved")
    assert entry["BALANCERD_PID"] == entry["OBJECT_PID"]
    assert int(entry["BALANCERD_DURATION_USEC"]) >= 0
    assert float(entry["BALANCERD_GAIN"]) > 0
    return told


class Unable(Exception):
    pass


def _text(value):
    """Binary values are lists of bytes."""
    return bytes(value) if isinstance(value, list) else value


class Journald:
    def __init__(self):
        if not PROGRAM or not shutil.which("journalctl"):
            raise Unable("systemd-journald is not installed")
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "--", "sh", "-e", "-c", HIDE],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.root = Path(f"/proc/{self.holder.pid}/root")
        self.process = None

    def __enter__(self):
        try:
            self._wait(lambda: (self.root / "run/systemd/prepared").exists(), "mounts")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc):
        if self.process:
            self.kill()
        self.holder.kill()
        self.holder.wait()

    def _wait(self, condition, what):
        deadline = time.monotonic() + PATIENCE_SEC
        while not condition():
            if self.holder.poll() is not None or time.monotonic() > deadline:
                raise Unable(f"no {what}")
            time.sleep(0.01)

    def inside(self, *command):
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--", *command]

    @property
    def prefix(self):
        """Runs the rest of a command as a service whose standard error goes to this journal."""
        return self.inside("sh", "-c", BEHIND, "sh")

    def start(self):
        self.process = subprocess.Popen(
            self.inside(PROGRAM, "test"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait((self.root / "run/systemd/journal/socket").is_socket, "socket of journald")

    def kill(self):
        self.process.kill()
        self.process.wait()
        (self.root / "run/systemd/journal/socket").unlink(missing_ok=True)

    def entries(self, *matches):
        """The entries that journalctl finds, oldest first."""
        done = subprocess.run(
            self.inside("journalctl", "--namespace=test", "-q", "-o", "json", "--all",
                        "SYSLOG_IDENTIFIER=balancerd", *matches),
            capture_output=True, check=False,
        )  # fmt: skip
        return [
            {key: _text(value) for key, value in json.loads(line).items()}
            for line in done.stdout.splitlines()
        ]

    def wait_for(self, *matches, count=1):
        found = []

        def enough():
            found[:] = self.entries(*matches)
            return len(found) >= count

        self._wait(enough, f"{matches} in the journal")
        return found
