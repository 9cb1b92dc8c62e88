# SPDX-License-Identifier: LGPL-2.1-or-later
"""balancectl while threads are moved: what monitor, threads and explain tell is what the daemon's log
tells."""

import json
import signal

from support import hogs, varlink
from support.balancectl import LISTENING, PATIENCE_SEC, monitor, run, said


def test_moves(unbalanced, start_daemon, runtime_dir):
    daemon = start_daemon()
    path = varlink.socket_path(runtime_dir)
    with monitor(path, "--json=short") as watching:
        assert watching.stderr.readline() == LISTENING
        with hogs.stacked(unbalanced) as run_:
            # Made, for whatever reason: what else is busy on this machine may come before.
            daemon.wait_line("sched_migrate_task: comm=hog (?!.*result=)")
            (move, *_others) = [one for one in daemon.moves() if one.made and one.comm == "hog"]
            table = said(run(path, "threads", "-a", str(run_.process.pid), "--no-legend"))
            explained = run(path, "explain", str(move.tid)).stdout
            history = said(run(path, "history"))
            (last,) = json.loads(said(run(path, "history", str(move.tid), "-n", "1", "-j")))
            tids = [report.tid for report in run_.told.reports["start"]]
        told = first_move_of(move.tid, watching)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE_SEC) == -signal.SIGINT
    assert (told["from"], told["to"], told["reason"]) == (move.orig, move.dest, move.why)
    assert set(tids) <= {int(row.split()[0]) for row in table.splitlines()}
    assert last["tid"] == move.tid
    for text in (explained, history):
        assert f"hog[{move.tid}] moved from CPU {move.orig} to {move.dest} in " in text


def first_move_of(tid, watching):
    """Reads until a move of the thread is told that was made."""
    while True:
        decision = json.loads(watching.stdout.readline()).get("decision", {})
        if (decision.get("tid"), decision.get("result")) == (tid, "moved"):
            return decision
