# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mounts that only the program under test sees."""

import subprocess

import pytest


def in_mount_namespace(script):
    """A prefix that runs the rest of the command after SCRIPT, with mounts that nobody else sees."""
    prefix = ["unshare", "--mount", "--propagation", "private", "--"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("mount namespaces are not permitted here")
    return [*prefix, "sh", "-e", "-c", f'{script}\nexec "$@"', "sh"]
