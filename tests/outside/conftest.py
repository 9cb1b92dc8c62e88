# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures for the tests from outside."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import daemon, machine, procfs, tree  # noqa: E402

ALL_SKIPPED = 77  # automake's exit status for a skipped test


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and reporter and not reporter.stats.get("passed"):
        session.exitstatus = ALL_SKIPPED


@pytest.fixture
def runtime_dir():
    """An empty folder that every user may reach."""
    path = Path(tempfile.mkdtemp(prefix="balancerd-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def unbalanced():
    """CPUs that the kernel leaves alone while the test runs."""
    try:
        with machine.unbalanced_cpus() as arranged:
            yield arranged
    except machine.Unable as error:
        pytest.skip(str(error))


@pytest.fixture
def same_masks():
    """Holds the test to it that afterwards every thread of the machine has the mask that it had."""
    before = procfs.masks()
    yield before
    assert procfs.changed_masks(before, procfs.masks()) == []


@pytest.fixture
def start_daemon(runtime_dir):
    """A function that starts daemons; they are ended with the test."""
    running = []

    def start(*arguments, **options):
        running.append(daemon.Daemon(options.pop("runtime_dir", runtime_dir), *arguments, **options))
        return running[-1]

    yield start
    for one in running:
        one.__exit__(None, None, None)
        # pytest shows this where the test failed.
        print("\n".join(one.lines))


@pytest.fixture
def balancerd():
    """The built program."""
    return tree.BALANCERD
