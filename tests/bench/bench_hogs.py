# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stacked hogs on CPUs that the kernel does not balance, without and with the daemon, beside the same
hogs on CPUs that it balances; and hogs that do not divide by CPUs, with and without rotation."""

import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import bench, hogs, machine, procfs  # noqa: E402

COMMAND = "tests/bench/bench_hogs.py"
SETTLED_SEC = 0.3  # work counts from here on
STACKED_MSEC = 3000
ROTATED_MSEC = 20000
N_CPUS = 2


def on_two_cpus(arranged=None):
    """For preexec_fn: the figures are of two CPUs, however many there are."""
    cpus = arranged.cpus if arranged else hogs.all_cpus()
    pair = cpus[:N_CPUS]
    return pair, hogs.confine(pair, arranged)


def run_stacked(arranged):
    pair, preexec = on_two_cpus(arranged)
    with hogs.Hogs(
        threads=4, stack=pair[0], every_msec=100, for_msec=STACKED_MSEC, preexec=preexec
    ) as run:
        before = run.masks()
        run.wait_for_reports("tick", 4 * (STACKED_MSEC // 100 - 2))
        lost = procfs.changed_masks(before, run.masks())
        run.wait_for_end()
    ticks = run.told.work_by_tick()
    settled_at, settled_work = next(tick for tick in ticks if tick[0] >= SETTLED_SEC)
    end_at, end_work = ticks[-1]
    return {
        "tids": run.told.tids(),
        "rate": (end_work - settled_work) / (end_at - settled_at),
        "spread_usec": run.told.spread_usec(N_CPUS),
        "lost": len(lost),
        "moves": 0,
    }


def moves_of(daemon, tids):
    return [move for move in daemon.moves() if move.made and move.tid in tids]


def balanced_by_kernel():
    with machine.lock():
        return run_stacked(None)


def left_alone():
    with machine.unbalanced_cpus() as arranged:
        return run_stacked(arranged)


def balanced_by_daemon():
    with machine.unbalanced_cpus() as arranged, bench.running_daemon() as daemon:
        result = run_stacked(arranged)
        daemon.stop()
        result["moves"] = len(moves_of(daemon, result["tids"]))
        return result


def show_stacked():
    kernel, alone, daemon = bench.interleave(
        bench.n_pairs(5), balanced_by_kernel, left_alone, balanced_by_daemon
    )
    rows = [("four hogs stacked on one of two CPUs", "work / kernel's", "spread after ms", "moves",
             "masks lost")]  # fmt: skip
    for name, runs in (
        ("kernel balances", kernel),
        ("nobody balances", alone),
        ("balancerd balances", daemon),
    ):
        ratios = [run["rate"] / base["rate"] for run, base in zip(runs, kernel)]
        spread_msec = [run["spread_usec"] / 1000 for run in runs if run["spread_usec"] is not None]
        rows.append(
            (
                name,
                bench.spread(ratios),
                bench.spread(spread_msec, "{:.0f}") if spread_msec else "never",
                bench.spread([run["moves"] for run in runs], "{:.0f}"),
                sum(run["lost"] for run in runs),
            )
        )
    bench.table(
        f"Work from {SETTLED_SEC} s to {STACKED_MSEC / 1000:g} s, {len(kernel)} interleaved runs:"
        " median (least ... most)",
        rows,
        COMMAND,
    )


def run_rotated(*arguments, daemon=True):
    with machine.unbalanced_cpus() as arranged, contextlib.ExitStack() as stack:
        running = stack.enter_context(bench.running_daemon(*arguments)) if daemon else None
        pair, preexec = on_two_cpus(arranged)
        with hogs.Hogs(
            threads=3, stack=pair[0], every_msec=1000, for_msec=ROTATED_MSEC, preexec=preexec
        ) as run:
            run.wait_for_end()
        work = [report.work for report in run.told.reports["end"]]
        moves = 0
        if running:
            running.stop()
            moves = len(moves_of(running, run.told.tids()))
        return {"worst": min(work) * len(work) / sum(work), "work": sum(work), "moves": moves}


def show_rotated():
    rotated, fixed = bench.interleave(
        bench.n_pairs(5), run_rotated, lambda: run_rotated("--set", "balance.rotate=off")
    )
    rows = [("three hogs on two CPUs", "worst one's part of its fair share", "work in all / off",
             "moves")]  # fmt: skip
    for name, runs in (("rotation every 1 s", rotated), ("balance.rotate=off", fixed)):
        rows.append(
            (
                name,
                bench.spread([run["worst"] for run in runs]),
                bench.spread([run["work"] / off["work"] for run, off in zip(runs, fixed)]),
                bench.spread([run["moves"] for run in runs], "{:.0f}"),
            )
        )
    bench.table(f"Fairness over {ROTATED_MSEC / 1000:g} s, {len(rotated)} interleaved pairs", rows,
                COMMAND)  # fmt: skip


def main():
    try:
        show_stacked()
        show_rotated()
    except machine.Unable as error:
        print(f"not on this machine: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
