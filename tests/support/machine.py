# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPUs that the kernel does not balance, for as long as a test needs them.

Where cpusets are on cgroup v1, the root cpuset's cpuset.sched_load_balance is set to 0. Where they
are on cgroup v2, an isolated partition is made of all CPUs but the first. A guard process in a
session of its own puts everything back as soon as this process lets go of a pipe: at the end of the
`with` block, on any exception, and on a SIGKILL too. A lock sees to it that two such tests never
run at the same time.
"""

import contextlib
import fcntl
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import procfs


class Unable(Exception):
    """This machine cannot; the text says why."""


@dataclass(frozen=True)
class Unbalanced:
    """What was arranged."""

    cpus: tuple  # in order; the kernel moves nothing between them
    cgroup: Path = None  # processes must be in it to run there
    how: str = ""
    switch: Path = None  # what was written to where there is no cgroup of our own

    def is_put_back(self):
        """Whether the files say that the kernel balances these CPUs again."""
        if self.cgroup:
            return not self.cgroup.exists()
        return self.switch.read_text().strip() == "1"

    def join(self):
        """For preexec_fn: moves the calling process to where these CPUs are."""
        if self.cgroup:
            (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))
        else:
            os.sched_setaffinity(0, self.cpus)


def mounts():
    """[(root inside the file system, mount point, type, super options)]"""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        fs_type, _source, options = rest.split(" ", 2)
        found.append((fields.split()[3], Path(fields.split()[4]), fs_type, options.split(",")))
    return found


def v1_cpuset():
    """The root of the cpuset hierarchy of cgroup v1, or None."""
    for root, point, fs_type, options in mounts():
        if fs_type == "cgroup" and "cpuset" in options and root == "/":
            return point
    return None


def v2_root():
    """The root of cgroup v2, if it has the cpuset controller, or None."""
    for root, point, fs_type, _options in mounts():
        if fs_type == "cgroup2" and root == "/":
            controllers = (point / "cgroup.controllers").read_text().split()
            return point if "cpuset" in controllers else None
    return None


# Reads a line to know that all is arranged, then its end; $1... are "FILE=VALUE" to write back and
# "rmdir DIR", in the order in which they are to be done.
GUARD = r"""
trap '' INT TERM HUP
cat >/dev/null
status=0
for step; do
    case $step in
    'rmdir '*)
        dir=${step#rmdir }
        # The kernel lets go of the last process a moment after it has ended.
        for try in 1 2 3 4 5 6 7 8 9 10; do
            test -d "$dir" || break
            rmdir "$dir" 2>/dev/null && break
            while read -r pid; do echo "$pid" >"${dir%/*}/cgroup.procs"; done <"$dir/cgroup.procs"
            sleep 0.1
        done
        test ! -d "$dir" || status=1 ;;
    *) echo "${step##*=}" >"${step%=*}" || status=1 ;;
    esac
done
exit $status
"""


@contextlib.contextmanager
def guard(*steps, inherit=()):
    """Whatever happens to this process, STEPS are done when the block is left."""
    process = subprocess.Popen(
        ["sh", "-c", GUARD, "guard", *steps],
        stdin=subprocess.PIPE,
        start_new_session=True,
        pass_fds=inherit,
    )
    try:
        yield
    finally:
        process.stdin.close()
        if process.wait() != 0:
            raise RuntimeError(f"could not put back: {', '.join(steps)}")


@contextlib.contextmanager
def lock():
    """One test at a time; the lock's descriptor, which the guard keeps too."""
    folder = Path("/run/lock")
    path = (folder if folder.is_dir() else Path("/tmp")) / "balancerd-tests.lock"
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


@contextlib.contextmanager
def unbalanced_v1(root, lock_fd):
    switch = root / "cpuset.sched_load_balance"
    if switch.read_text().strip() != "1":
        raise Unable(f"{switch} is 0 already: something else has changed it")
    if not os.access(switch, os.W_OK):
        raise Unable(f"{switch} cannot be written (needs root outside of a container)")
    with guard(f"{switch}=1", inherit=(lock_fd,)):
        try:
            switch.write_text("0")
        except OSError as error:
            raise Unable(f"{switch}: {error.strerror}") from error
        cpus = tuple(sorted(os.sched_getaffinity(0)))
        yield Unbalanced(cpus, how=f"echo 0 > {switch}", switch=switch)


@contextlib.contextmanager
def partition(parent, cpus, kind="isolated", name="balancerd-tests", inherit=()):
    """A cgroup of version 2 with CPUS below the cgroup PARENT: a partition, "isolated" or "root", or
    a "member", which is none."""
    folder, subtree = parent / name, parent / "cgroup.subtree_control"
    if not os.access(subtree, os.W_OK):
        raise Unable(f"{subtree} cannot be written (needs root outside of a container)")
    steps = [f"rmdir {folder}"]
    if "cpuset" not in subtree.read_text().split():
        steps.append(f"{subtree}=-cpuset")
    with guard(*steps, inherit=inherit):
        try:
            subtree.write_text("+cpuset")
            folder.mkdir()
            (folder / "cpuset.cpus").write_text(",".join(map(str, cpus)))
            (folder / "cpuset.cpus.partition").write_text(kind)
        except OSError as error:
            raise Unable(f"no partition: {error}") from error
        state = (folder / "cpuset.cpus.partition").read_text().strip()
        if state != kind:
            raise Unable(f"no partition: the kernel says {state!r}")
        yield Unbalanced(tuple(cpus), folder, f"{kind} in {folder}")


@contextlib.contextmanager
def unbalanced_v2(root, lock_fd):
    cpus = sorted(procfs.parse_list((root / "cpuset.cpus.effective").read_text()))
    if len(cpus) < 3:
        raise Unable("an isolated partition of two CPUs needs a machine of three")
    with partition(root, cpus[1:], inherit=(lock_fd,)) as arranged:
        yield arranged


@contextlib.contextmanager
def unbalanced_cpus():
    """An Unbalanced with two CPUs or more, or Unable."""
    if os.geteuid() != 0:
        raise Unable("taking CPUs from the kernel's load balancer needs root")
    if len(os.sched_getaffinity(0)) < 2:
        raise Unable("this machine has one CPU")
    v1, v2 = v1_cpuset(), v2_root()
    with lock() as fd:
        if v1:
            with unbalanced_v1(v1, fd) as arranged:
                yield arranged
        elif v2:
            with unbalanced_v2(v2, fd) as arranged:
                yield arranged
        else:
            raise Unable("there is no cpuset hierarchy of cgroups here")
