# SPDX-License-Identifier: LGPL-2.1-or-later
"""/proc/schedstat: the kernel's own word on which CPUs it balances and where threads wait."""

import contextlib
import time
from pathlib import Path

import pytest
from support import hogs, procfs

from vm.guest import stacks, systemd, topology

MACHINES = ("bookworm/default", "trixie/isolated")

SWITCH = Path("/proc/sys/kernel/sched_schedstats")

pytestmark = stacks.PATIENT


def switch(value):
    SWITCH.write_text(value, encoding="ascii")


@pytest.fixture
def restored_switch():
    """kernel.sched_schedstats becomes what it was."""
    before = SWITCH.read_text(encoding="ascii")
    yield
    switch(before)


@pytest.fixture(params=["0", "1"])
def schedstats(request, restored_switch):
    """kernel.sched_schedstats: whether the kernel counts what the service has no use for, too."""
    switch(request.param)


def test_its_version_is_known(record_property):
    """With the columns that the service counts on."""
    version, counters, _domains = topology.schedstat()
    record_property("version", version)
    assert version in (15, 16, 17)
    assert {len(words) for words in counters.values()} == {9}


def test_isolated_cpus_have_no_domains():
    """Which is where the service has it from."""
    systemd.systemctl("start", "balancerd")
    isolated = topology.listed("isolated")
    assert stacks.unbalanced_cpus() == topology.domainless() == isolated
    assert {cpu for cpu, told in stacks.cpus().items() if not told["balanced"]} == isolated


def test_where_threads_wait_is_told(schedstats):
    """Four hogs that may use one CPU only: three of them wait for it, at any time."""
    with hogs.Hogs(threads=4, preexec=hogs.confine({2})) as run:
        systemd.systemctl("start", "balancerd")
        before, since = topology.run_delay(2), time.monotonic()
        stacks.wait_for(lambda: 2 < stacks.cpus()[2]["waiting"] < 4, "three wait")
        stacks.wait_for(lambda: time.monotonic() - since > 4, "a while")
        # The kernel adds what a thread has waited when it gets to run at last.
        assert 2 < (topology.run_delay(2) - before) / (time.monotonic() - since) < 4
        assert stacks.cpus()[2]["idle"] < 0.2
        assert {stacks.thread(tid)["verdict"] for tid in run.told.tids()} == {"pinned"}
        assert stacks.made_moves(run.told.tids()) == []


def unbalanced():
    """For a `with`: CPUs 2 and 3, isolated at boot or in a partition."""
    return contextlib.nullcontext(stacks.isolated()) if topology.listed("isolated") else stacks.partition()


def test_it_is_switched_while_the_service_runs(restored_switch, record_property):
    """Nothing is reported, nothing moved, and the next stack is spread as the last one was."""
    with unbalanced() as arranged:
        since = systemd.cursor()
        systemd.systemctl("start", "balancerd")
        for value in ("1", "0"):
            moves = stacks.status()["moves"]
            switch(value)
            stacks.wait_for_samples(1)
            status = stacks.status()
            assert (status["missingSources"], status["moves"]) == ([], moves)
            assert procfs.parse_list(status["unbalancedCpus"]) == set(arranged.cpus)
            stacks.record(record_property, f"sched_schedstats {value}", stacks.spread_anew(arranged))
        assert systemd.entries(since, "PRIORITY=4", "_COMM=balancerd") == []
