# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running the built balancectl: in a pipe, on a terminal, and for as long as it monitors."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

from . import tree

PATIENCE_SEC = 60
LISTENING = "listening; Ctrl-C ends\n"
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

# Nothing of the one who runs the tests, but the sanitizers' options.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "TZ": "UTC",
    "TERM": "xterm",
    **{key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")},
}


def command(path, arguments):
    return [tree.BALANCECTL, *(["--socket", path] if path else []), *arguments]


def run(path, *arguments, env=None, prefix=(), **options):
    """In a pipe. PATH: of the socket; None: the option is not given. PREFIX: a command that runs it."""
    return subprocess.run(
        [*prefix, *command(path, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=PATIENCE_SEC,
        env={**ENVIRONMENT, **(env or {})},
        **options,
    )


def said(done):
    """The output of a command that went well and had nothing to add."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def monitor(path, *arguments):
    """A running monitor, for a `with`."""
    return subprocess.Popen(
        command(path, ["monitor", *arguments]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def read_to_end(fd):
    text = b""
    try:
        while data := os.read(fd, 4096):
            text += data
    except OSError:  # EIO: the other side of a terminal is closed
        pass
    return text.decode()


def on_terminal(path, *arguments, columns=80, lines=24, env=None, with_errors=False):
    """What it prints on a terminal of that size. WITH_ERRORS: and what it adds on standard error."""
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST  # newlines stay what they are
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        process = subprocess.Popen(
            command(path, arguments),
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave if with_errors else subprocess.DEVNULL,
            env={**ENVIRONMENT, **(env or {})},
        )
    finally:
        os.close(slave)
    printed = read_to_end(master)
    os.close(master)
    assert process.wait(PATIENCE_SEC) == 0
    return printed


def plain(text):
    """Without colours."""
    return re.sub(r"\x1b\[\d*m", "", text)
