# SPDX-License-Identifier: LGPL-2.1-or-later
"""Units as systemd reads them, and what its filters of system calls let through."""

import subprocess
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
