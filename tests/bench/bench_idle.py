# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon uses while there is nothing to do: CPU time and wakeups a second and memory, beside
10,000 sleeping threads and with 500 of them active; top in thread mode for comparison."""

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import bench, machine, tree  # noqa: E402

COMMAND = "tests/bench/bench_idle.py"
N_THREADS = 10000
N_ACTIVE = 500
QUIET_SEC = 5
MEASURE_SEC = 5

HANDLE_BYTES = 5600  # what a descriptor kept on a thread costs the kernel
LIMIT = f"8 MiB + 300 bytes * threads + {HANDLE_BYTES} bytes * kept descriptors"


def limit_bytes(counts):
    return (8 << 20) + 300 * counts["threads"] + HANDLE_BYTES * counts.get("handles", 0)


def measure_top(interval_sec):
    """Milliseconds of CPU time a second of top in thread mode."""
    with subprocess.Popen(
        ["top", "-H", "-b", "-d", f"{interval_sec:.2f}"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TERM": "dumb"},
    ) as top:
        try:
            time.sleep(interval_sec + 1)  # its start is not what is compared
            usage = bench.Usage(top.pid)
            time.sleep(MEASURE_SEC)
            return usage.since()[0]
        finally:
            top.terminate()


def run(n_active):
    with subprocess.Popen(
        [tree.SLEEPERS, f"--threads={N_THREADS}", f"--active={n_active}", "--hz=10"],
        stdout=subprocess.PIPE,
        text=True,
    ) as sleepers:
        try:
            if sleepers.stdout.readline() != "ready\n":
                raise machine.Unable(f"{N_THREADS} threads cannot be started here")
            with bench.memory_group() as group, bench.running_daemon(preexec=group.join) as daemon:
                time.sleep(QUIET_SEC)
                first = daemon.counts()
                usage = bench.Usage(daemon.process.pid)
                time.sleep(MEASURE_SEC)
                cpu_msec, wakeups = usage.since()
                counts = daemon.counts()
                ticks = max(1, counts["ticks"] - first["ticks"])
                interval = MEASURE_SEC / ticks
                result = {
                    "cpu_msec": cpu_msec,
                    "wakeups": wakeups,
                    "ticks": ticks / MEASURE_SEC,
                    "memory": group.bytes(),
                    "limit": limit_bytes(counts),
                    "handles": counts.get("handles", 0),
                    "top_msec": measure_top(interval),
                }
                daemon.stop()
                return result
        finally:
            sleepers.terminate()


def megabytes(runs, key):
    return bench.spread([run[key] / (1 << 20) for run in runs if run[key] is not None], "{:.2f}")


def main():
    rows = [("threads", "CPU ms/s", "wakeups/s", "ticks/s", "top -H -b, same interval: CPU ms/s",
             "memory MiB", "limit MiB", "kept descriptors")]  # fmt: skip
    runs = bench.n_pairs(5)
    with machine.lock():
        quiet, active = bench.interleave(runs, lambda: run(0), lambda: run(N_ACTIVE))
    for name, results in (
        (f"{N_THREADS} asleep", quiet),
        (f"{N_THREADS}, {N_ACTIVE} of them active", active),
    ):
        rows.append(
            (
                name,
                bench.spread([one["cpu_msec"] for one in results], "{:.2f}"),
                bench.spread([one["wakeups"] for one in results], "{:.1f}"),
                bench.spread([one["ticks"] for one in results], "{:.1f}"),
                bench.spread([one["top_msec"] for one in results], "{:.1f}"),
                megabytes(results, "memory"),
                megabytes(results, "limit"),
                bench.spread([one["handles"] for one in results], "{:.0f}"),
            )
        )
    bench.table(f"After {QUIET_SEC} s of quiet, over {MEASURE_SEC} s, {runs} interleaved runs", rows,
                COMMAND)  # fmt: skip
    print(f"  limit of memory, the kernel's part included: {LIMIT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
