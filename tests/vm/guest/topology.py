# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the guest's kernel says of its CPUs, read without any of balancerd's code."""

import re
from pathlib import Path

from support import procfs

CPUS = Path("/sys/devices/system/cpu")
NODES = Path("/sys/devices/system/node")


def listed(name):
    """The set of CPUs in a file of /sys/devices/system/cpu: online, present, possible, isolated."""
    return procfs.parse_list((CPUS / name).read_text(encoding="ascii"))


def core(cpu):
    """The CPUs of its core, itself among them."""
    return procfs.parse_list((CPUS / f"cpu{cpu}/topology/core_cpus_list").read_text(encoding="ascii"))


def llc(cpu):
    """The CPUs that share its outermost cache."""
    caches = (CPUS / f"cpu{cpu}/cache").glob("index*")
    outermost = max(caches, key=lambda cache: int((cache / "level").read_text(encoding="ascii")))
    return procfs.parse_list((outermost / "shared_cpu_list").read_text(encoding="ascii"))


def nodes():
    """The online CPUs of each memory node, in order."""
    return [procfs.parse_list(path.read_text(encoding="ascii")) for path in sorted(NODES.glob("node*/cpulist"))]


def node(cpu):
    (found,) = [cpus for cpus in nodes() if cpu in cpus]
    return found


def groups(of, cpus):
    """How CPUS fall into groups, OF telling those of one CPU: a set of frozensets."""
    return {frozenset(of(cpu)) for cpu in cpus}


def schedstat():
    """(version, {cpu: the words of its line}, {cpu: masks of its domains}) of /proc/schedstat."""
    version, counters, domains, cpu = None, {}, {}, None
    for line in Path("/proc/schedstat").read_text(encoding="ascii").splitlines():
        word, *rest = line.split()
        if word == "version":
            version = int(rest[0])
        elif word.startswith("cpu"):
            cpu = int(word.removeprefix("cpu"))
            counters[cpu], domains[cpu] = rest, []
        elif word.startswith("domain"):
            # From version 17 on, its name comes first.
            domains[cpu].append(next(mask for mask in rest if re.fullmatch("[0-9a-f,]+", mask)))
    return version, counters, domains


def domainless():
    """CPUs that no load balancer of the kernel serves."""
    return {cpu for cpu, masks in schedstat()[2].items() if not masks}


def run_delay(cpu):
    """Seconds that threads have waited for it, all together."""
    return int(schedstat()[1][cpu][7]) / 1e9


def assert_is_told(cpus):
    """What the service says of the CPUs: which are online; their cores, last-level caches and nodes; and none
    of them is slower than another."""

    def grouped(key):
        return groups(lambda one: {cpu for cpu in cpus if cpus[cpu][key] == cpus[one][key]}, cpus)

    online = listed("online")
    assert set(cpus) == online
    assert grouped("core") == groups(core, online)
    assert grouped("llc") == groups(llc, online)
    assert grouped("node") == groups(node, online)
    assert {cpu["capacity"] for cpu in cpus.values()} == {1}


def shape():
    """(nodes, cores, CPUs online)"""
    online = listed("online")
    return len(nodes()), len(groups(core, online)), len(online)
