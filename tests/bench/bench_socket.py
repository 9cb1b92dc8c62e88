# SPDX-License-Identifier: LGPL-2.1-or-later
"""10,000 calls and 1,000 connections: the daemon's descriptors and memory before and after."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import bench, machine, served  # noqa: E402

N_CALLS = 10000
N_CONNECTIONS = 1000
N_AT_ONCE = 900  # of the connections; at most 1024 may be open
STATUS = "io.balancerd.GetStatus"


def measured(what, server, group):
    charged = group.bytes()
    return [
        what,
        server.n_descriptors(),
        f"{server.memory_kb()} kB",
        "not accounted" if charged is None else f"{charged // 1024} kB",
    ]


def calls(server):
    with server.connect() as client:
        for _ in range(N_CALLS // 100):
            client.pipeline([(STATUS, None)] * 100)


def connections(server):
    for _ in range(N_CONNECTIONS):
        with server.connect() as client:
            client.call(STATUS)


def settle(server):
    """Has the daemon see all that was closed."""
    with server.connect() as client:
        server.wait_for_samples(3, client)


def rows(server, group):
    yield ["", "descriptors", "own memory", "charged to its control group"]
    settle(server)
    yield measured("at the start", server, group)
    calls(server)
    settle(server)
    yield measured(f"after {N_CALLS} calls of GetStatus", server, group)
    connections(server)
    settle(server)
    yield measured(f"after {N_CONNECTIONS} connections, one after the other", server, group)
    open_ = [server.connect() for _ in range(N_AT_ONCE)]
    for one in open_:
        one.call(STATUS)
    yield measured(f"while {N_AT_ONCE} connections are open", server, group)
    for one in open_:
        one.close()
    settle(server)
    yield measured("after they were closed", server, group)
    calls(server)
    connections(server)
    settle(server)
    yield measured("after as many calls and connections again", server, group)


def main():
    if os.geteuid() != 0:
        sys.exit("an unprivileged user has 32 connections: run it as root")
    with machine.lock(), bench.memory_group() as group:
        with served.serving("--set", "balance.quietTick=1s", preexec=group.join) as server:
            bench.table("What it holds", list(rows(server, group)), "tests/bench/bench_socket.py")


if __name__ == "__main__":
    main()
