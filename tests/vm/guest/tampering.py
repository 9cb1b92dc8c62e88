# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon caught amid a move: strace(1) tampers with its mover's calls of sched_setaffinity(2)."""

import contextlib
import os
import subprocess
import tempfile

from support import hogs, procfs

from vm.guest import stacks, systemd

# The calls of the mover's thread, in order.
NARROWING, GIVING_BACK = 1, 2


def _mover_of(pid):
    """The daemon's thread that moves others."""
    (tid,) = [tid for tid in procfs.threads_of(pid) if procfs.comm(tid).startswith("mover/")]
    return tid


@contextlib.contextmanager
def tampered(pid, fault, call):
    """FAULT, as strace has it, happens to the daemon PID at its mover's CALL, not counted the one with which
    it takes its own place. The loop is not traced: each of its system calls would cost so much that it made
    up for that by looking less often."""
    tid = _mover_of(pid)
    isolated = set(stacks.isolated().cpus)
    systemd.wait_for(lambda: not os.sched_getaffinity(tid) & isolated, "a mover in its place")
    with tempfile.TemporaryFile() as log:
        tracer = subprocess.Popen(
            ["strace", "-qq", "-p", str(tid), "-e", "trace=sched_setaffinity",
             "-e", f"inject=sched_setaffinity:{fault}:when={call}"],
            stdin=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
        try:
            systemd.wait_for(lambda: systemd.status_of(tid)["TracerPid"] != "0", "strace")
            yield
        finally:
            tracer.terminate()
            tracer.wait()
            log.seek(0)
            print(log.read().decode())  # pytest shows this where the test failed


def narrow(run):
    """{tid: Thread} of the hogs that may run on one CPU alone."""
    return {tid: thread for tid, thread in run.masks().items() if len(procfs.parse_list(thread.mask)) == 1}


def assert_whole(run):
    """All hogs, and their parent, may run where they might before."""
    masks = [procfs.parse_list(thread.mask) for thread in run.masks().values()]
    assert masks == stacks.whole_masks(run, stacks.isolated())


@contextlib.contextmanager
def stopped_amid_a_move(pid):
    """The daemon PID stands still, with one of the hogs that are given narrow."""
    with contextlib.ExitStack() as stack:
        with tampered(pid, "signal=SIGSTOP", NARROWING):
            run = stack.enter_context(hogs.stacked(stacks.isolated()))
            systemd.wait_for(lambda: procfs.state(pid) in "tT" and narrow(run), "a daemon that stands still")
        yield run
