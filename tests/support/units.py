# SPDX-License-Identifier: LGPL-2.1-or-later
"""Units as systemd reads them, and what its filters of system calls let through."""

import subprocess
import sys
from collections import defaultdict

from . import tree


def read(name):
    """{section: {key: [values in order]}} of a unit of the build."""
    found, section = {}, None
    for line in (tree.BUILD / "systemd" / name).read_text().splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), defaultdict(list))
        elif line and line[0] not in "#;":
            key, value = line.split("=", 1)
            section[key].append(value)
    return found


def _members(group):
    text = subprocess.check_output(["systemd-analyze", "syscall-filter", "--no-pager", group], text=True)
    names = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    return [name for name in names if not name.startswith("#")]


def calls_of(group):
    """All system calls of a group ("@system-service"), or the one that is named."""
    if not group.startswith("@"):
        return {group}
    return set().union(*(calls_of(name) for name in _members(group)))


def permitted_calls(service):
    """What the service's SystemCallFilter= lines let through, in their order."""
    permitted = calls_of("@default")
    for line in service["Service"]["SystemCallFilter"]:
        calls = set().union(*(calls_of(name) for name in line.lstrip("~").split()))
        permitted = permitted - calls if line.startswith("~") else permitted | calls
    return permitted


# Runs a command under a filter of system calls: what is not named ends it by SIGSYS, and of socket(2),
# mmap(2) and mprotect(2) only what the other lines of the unit leave.
FILTER = """
import ctypes, os, sys

KILL, ALLOW, MASKED_EQUAL = 0x80000000, 0x7FFF0000, 7
EVERY_BIT, WRITE, EXECUTE = (1 << 64) - 1, 2, 4

class Compare(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int),
                ("mask", ctypes.c_uint64), ("value", ctypes.c_uint64)]

library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
context = ctypes.c_void_p(library.seccomp_init(KILL))

def allow(name, *conditions):
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == -1:
        return
    compared = (Compare * len(conditions))(*(
        Compare(argument, MASKED_EQUAL, mask, value) for argument, mask, value in conditions))
    library.seccomp_rule_add_array(
        context, ctypes.c_uint32(ALLOW), number, len(conditions), compared)

special = {
    "socket": [(0, EVERY_BIT, 1), (0, EVERY_BIT, 16)],
    "mmap": [(2, WRITE | EXECUTE, value) for value in (0, WRITE, EXECUTE)],
    "mprotect": [(2, EXECUTE, 0)],
}
for name in sys.argv[1].split(","):
    if name in special:
        for condition in special[name]:
            allow(name, condition)
    else:
        allow(name)
if library.seccomp_load(context) < 0:
    sys.exit("the filter cannot be set")
os.execv(sys.argv[2], sys.argv[2:])
"""


def filtering(calls):
    """A prefix that runs the rest of the command with these system calls alone."""
    return [sys.executable, "-c", FILTER, ",".join(sorted(calls))]


def with_rights(service, uid):
    """A prefix that runs it as UID with the capabilities that the unit gives, and no others."""
    names = [name.removeprefix("CAP_").lower() for name in service["Service"]["AmbientCapabilities"][0].split()]
    given = ",".join(["-all", *(f"+{name}" for name in names)])
    return [
        "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs",
        f"--inh-caps={given}", f"--ambient-caps={given}", f"--bounding-set={given}",
    ]  # fmt: skip


# What ProtectSystem=strict, ProtectKernelTunables= and ProtectControlGroups= make of the mounts; the
# folders in {0} stay as they are.
READ_ONLY = """
for folder in {0}; do mount --bind "$folder" "$folder"; done
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
while read -r _ _ _ _ folder _; do
    case " {0} " in *" $folder "*) continue;; esac
    case $folder in
    / | /sys | /sys/*) mount -o remount,bind,ro "$folder" ;;
    esac
done </proc/self/mountinfo
"""
