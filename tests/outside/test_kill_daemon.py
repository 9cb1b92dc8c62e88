# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL of the daemon itself, amid its job: `balancerd --restore` gives back what was narrow."""

import shutil
import signal

import pytest
from support import hogs, kills, procfs

# Each thread of the daemon counts its own: the mover's first places itself, and of those behind it
# one narrows a hog and the next gives back.
N_SETS = 9
# Many more to move than that, so that every one of them is reached at once.
N_HOGS_BY_CPU = 12


def kill_at(runtime_dir, start_daemon, nth):
    """Lets a daemon run until a thread of it is about to set its NTH mask."""
    # -D: what is started becomes the daemon, and strace its grandchild.
    strace = ["strace", "-D", "-f", "-o", runtime_dir / "trace", "-e", "trace=sched_setaffinity"]
    inject = ["-e", f"inject=sched_setaffinity:signal=KILL:when={nth}"]
    daemon_ = start_daemon(prefix=[*strace, *inject], wait=False)
    assert daemon_.wait() == -signal.SIGKILL, daemon_.lines


def test_killed_at_every_mask_that_it_sets(unbalanced, same_masks, start_daemon, runtime_dir):
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    tally = kills.Tally()
    n_hogs = N_HOGS_BY_CPU * len(unbalanced.cpus)
    for nth in range(1, N_SETS + 1):
        with hogs.Hogs(threads=n_hogs, stack=unbalanced.cpus[0], preexec=unbalanced.join) as run:
            before = run.masks()
            kill_at(runtime_dir, start_daemon, nth)
            tally.restore(runtime_dir)
            tally.add(len(before), procfs.changed_masks(before, run.masks()))
    print(f"\nthe daemon: {tally}")
    assert tally.wrong == []
    assert tally.restored["failed"] == 0
    assert tally.restored["damaged"] == 0
    assert tally.restored["restored"] > 0
