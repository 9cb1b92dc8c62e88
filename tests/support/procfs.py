# SPDX-License-Identifier: LGPL-2.1-or-later
"""Threads as /proc shows them, read without any of balancerd's code."""

import os
from dataclasses import dataclass
from pathlib import Path

# Threads come and go while they are read.
GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True)
class Thread:
    """One thread's identity and affinity: equal before and after if nothing was lost."""

    tid: int
    start_ticks: int
    mask: str  # as Cpus_allowed_list has it: "0-3"


def threads_of(pid):
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except GONE:
        return []


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def read_thread(pid, tid):
    """The Thread, or None if it is gone."""
    task = Path(f"/proc/{pid}/task/{tid}")
    try:
        # The name may hold anything, so what follows its last parenthesis counts.
        fields = (task / "stat").read_bytes().rpartition(b")")[2].split()
        status = (task / "status").read_bytes()
    except GONE:
        return None
    for line in status.splitlines():
        if line.startswith(b"Cpus_allowed_list:"):
            return Thread(tid, int(fields[19]), line.split(b":")[1].strip().decode())
    return None


def masks(pids=None):
    """{tid: Thread} of the threads of PIDS, or of the whole machine."""
    found = {}
    for pid in processes() if pids is None else pids:
        for tid in threads_of(pid):
            thread = read_thread(pid, tid)
            if thread:
                found[tid] = thread
    return found


def changed_threads(before, after):
    """[(tid, its mask before, its mask after)] of the threads that were there both times."""
    return [
        (tid, before[tid].mask, thread.mask)
        for tid, thread in after.items()
        if tid in before
        and before[tid].start_ticks == thread.start_ticks
        and before[tid].mask != thread.mask
    ]


def changed_masks(before, after):
    """The same as text."""
    return [f"thread {tid}: {was} became {now}" for tid, was, now in changed_threads(before, after)]


def comm(tid):
    """The thread's name, with foreign bytes escaped; "?" once it has ended."""
    try:
        name = Path(f"/proc/{tid}/comm").read_bytes().rstrip(b"\n")
    except GONE:
        return "?"
    return name.decode("ascii", "backslashreplace").encode("unicode_escape").decode()


def parse_list(text):
    """The set of CPUs that a list like 0-3,8 names."""
    cpus = set()
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def busy_sec(cpus):
    """CPU time that was used on CPUS so far, that which a hypervisor took for others included."""
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name in {f"cpu{cpu}" for cpu in cpus}:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            total += user + nice + system + irq + softirq + steal
    return total / os.sysconf("SC_CLK_TCK")


def state(tid):
    """The thread's state, a letter as in ps(1)."""
    return Path(f"/proc/{tid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()


def is_kernel_thread(tid):
    """Whether the thread is there and is one of the kernel's own (PF_KTHREAD)."""
    try:
        fields = Path(f"/proc/{tid}/stat").read_bytes().rpartition(b")")[2].split()
    except GONE:
        return False
    return bool(int(fields[6]) & 0x00200000)


def run_nsec(pid):
    """CPU time that all threads of a process have used since they were born."""
    total = 0
    for tid in threads_of(pid):
        try:
            total += int(Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()[0])
        except GONE:
            pass
    return total


def voluntary_switches(pid):
    """How often the threads of a process went to sleep: each time, something woke them."""
    total = 0
    for tid in threads_of(pid):
        try:
            status = Path(f"/proc/{pid}/task/{tid}/status").read_bytes()
        except GONE:
            continue
        for line in status.splitlines():
            if line.startswith(b"voluntary_ctxt_switches:"):
                total += int(line.split(b":")[1])
    return total
