# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mounts, and clocks, that only the program under test sees."""

import subprocess

import pytest


def in_mount_namespace(script):
    """A prefix that runs the rest of the command after SCRIPT, with mounts that nobody else sees."""
    prefix = ["unshare", "--mount", "--propagation", "private", "--"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("mount namespaces are not permitted here")
    return [*prefix, "sh", "-e", "-c", f'{script}\nexec "$@"', "sh"]


def after_a_sleep(seconds):
    """A prefix that runs the rest of the command on a machine that has slept so long: by CLOCK_BOOTTIME alone
    it has run for longer."""
    prefix = ["unshare", "--time", "--boottime", str(seconds), "--"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("time namespaces are not permitted here")
    return prefix
