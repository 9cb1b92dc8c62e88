# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long GetStatus takes beside a bare round trip of as many bytes, both ends pinned."""

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import bench, machine, served, tree  # noqa: E402

ROUND_TRIPS = tree.BUILD / "tests/bench/round-trips"
N_RUNS = 5


def run(path, pid):
    """{number of CPUs: {figure: value}}"""
    done = subprocess.run([ROUND_TRIPS, path, str(pid)], stdout=subprocess.PIPE, text=True, check=True)
    found = {}
    for line in done.stdout.splitlines():
        values = dict(re.findall(r"(\w+)=(\S+)", line))
        found[int(values.pop("cpus"))] = values
    return found


def usec(runs, figure):
    return [int(values[figure]) / 1000 for values in runs]


def row(n_cpus, percentile, runs):
    bare, status = usec(runs, f"bare_{percentile}_nsec"), usec(runs, f"status_{percentile}_nsec")
    ratios = [one / other for one, other in zip(status, bare)]
    return [
        n_cpus,
        percentile,
        bench.spread(bare, "{:.1f}"),
        bench.spread(status, "{:.1f}"),
        bench.spread(ratios, "{:.2f}"),
    ]


def main():
    # The daemon follows where the kernel balances: no test that changes that may run meanwhile.
    with machine.lock(), served.serving("--set", "balance.quietTick=1s") as server:
        runs = [run(server.path, server.pid) for _ in range(N_RUNS)]
    rows = [["CPUs", "", "bare, usec", "GetStatus, usec", "times"]]
    for n_cpus in sorted(runs[0], reverse=True):
        values = [one[n_cpus] for one in runs]
        rows += [row(n_cpus, percentile, values) for percentile in ("p50", "p99")]
    sizes = runs[0][1]["bytes"].replace(":", " bytes asked, ")
    bench.table(f"Round trips ({sizes} answered), of {N_RUNS} runs", rows, "tests/bench/bench_status.py")


if __name__ == "__main__":
    main()
