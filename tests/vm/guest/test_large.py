# SPDX-License-Identifier: LGPL-2.1-or-later
"""64 CPUs under light load: what the service costs there, counted, and that it moves nothing."""

import os

from support import hogs, procfs

from vm.guest import stacks, systemd, topology

MACHINES = ("trixie/large",)

pytestmark = stacks.PATIENT

N_HOGS = 2
N_SAMPLES = 2


def counted(pid):
    """What can be counted of the daemon, and grows."""
    status = stacks.status()
    return {"samples": status["samples"], "wakeups": procfs.voluntary_switches(pid), "run": procfs.run_nsec(pid)}


def memory_kib(pid):
    """Of its own, touched and not given back."""
    return int(systemd.status_of(pid)["RssAnon"].split()[0])


def test_a_light_load(record_property):
    """Hogs that the kernel spreads itself, and all that systemd has running."""
    assert topology.shape() == (2, 32, 64)
    with hogs.Hogs(threads=N_HOGS) as run:
        systemd.systemctl("start", "balancerd")
        pid = systemd.main_pid()
        topology.assert_is_told(stacks.cpus())
        before = counted(pid)
        stacks.wait_for_samples(N_SAMPLES)
        now = counted(pid)
        status = stacks.status()
        assert (status["moves"], status["failedMoves"], status["narrow"]) == (0, 0, 0)
        assert (status["unbalancedCpus"], status["missingSources"]) == ("", [])
        assert stacks.made_moves(run.told.tids()) == []
    samples = now["samples"] - before["samples"]
    figures = {
        "wakeups a sample, to answer the test among them": (now["wakeups"] - before["wakeups"]) / samples,
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "watched threads": status["watched"],
        "memory [KiB]": memory_kib(pid),
        "CPU time a sample [ms]": (now["run"] - before["run"]) / samples / 1e6,
        "samples a second, between two": 1e6 / status["intervalUSec"],
    }
    for name, value in figures.items():
        record_property(name, round(value, 1))
    assert figures["descriptors"] < 50 + status["watched"]
    assert figures["memory [KiB]"] < 8192
