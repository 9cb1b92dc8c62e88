# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon costs programs on CPUs that the kernel balances well: hackbench and stress-ng with
and without it, how many moves it made, and what it used itself."""

import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import bench, hogs, machine  # noqa: E402

COMMAND = "tests/bench/bench_healthy.py"


def hackbench():
    """Loops a second."""
    loops = 1000
    began = time.monotonic()
    subprocess.run(
        ["hackbench", "-g", str(2 * len(hogs.all_cpus())), "-l", str(loops)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return loops / (time.monotonic() - began)


def stress_ng():
    """Bogus operations a second of twice as many CPU stressors as there are CPUs."""
    done = subprocess.run(
        ["stress-ng", "--cpu", str(2 * len(hogs.all_cpus())), "--cpu-method", "int64", "--timeout",
         "2s", "--metrics-brief", "--temp-path", "/tmp"],
        check=True,
        capture_output=True,
        text=True,
    )  # fmt: skip
    return float(re.search(r"\bcpu +\d+ +[\d.]+ +[\d.]+ +[\d.]+ +([\d.]+)", done.stderr + done.stdout)[1])


def with_daemon(load):
    with bench.running_daemon() as daemon:
        usage = bench.Usage(daemon.process.pid)
        work = load()
        cpu_msec, wakeups = usage.since()
        daemon.stop()
        moves = sum(1 for move in daemon.moves() if move.made)
        return {"work": work, "cpu_percent": cpu_msec / 10, "wakeups": wakeups, "moves": moves}


def main():
    rows = [("load", "work with / without", "moves", "daemon's CPU %", "its wakeups/s")]
    pairs = bench.n_pairs(15)
    # Nobody takes the CPUs away from the kernel's balancer meanwhile.
    with machine.lock():
        for load in (hackbench, stress_ng):
            without, with_ = bench.interleave(pairs, load, lambda load=load: with_daemon(load))
            ratios = [run["work"] / base for run, base in zip(with_, without)]
            rows.append(
                (
                    load.__name__,
                    bench.spread(ratios),
                    sum(run["moves"] for run in with_),
                    bench.spread([run["cpu_percent"] for run in with_], "{:.2f}"),
                    bench.spread([run["wakeups"] for run in with_], "{:.1f}"),
                )
            )
    bench.table(f"CPUs that the kernel balances, {pairs} interleaved pairs: median (least ... most)",
                rows, COMMAND)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
