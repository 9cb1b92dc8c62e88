# SPDX-License-Identifier: LGPL-2.1-or-later
"""In a guest: tells the host what becomes of each test, as a line of JSON on the second serial line.

A test that a guest has nothing for is inapplicable, which is no skip: the reason stands in the table.
Figures are what a test gives record_property().
"""

import faulthandler
import json
import os
from pathlib import Path

import pytest

LINE, CONSOLE = "/dev/ttyS1", "/dev/ttyS0"
LIMIT_SEC = 120

console = open(CONSOLE, "w", encoding="ascii")


def tell(event, **values):
    with open(LINE, "w", encoding="ascii") as line:
        line.write(json.dumps({"event": event, **values}) + "\n")


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): longer than that and the guest hangs")
    config.addinivalue_line("markers", "long: of the long set alone")
    config.addinivalue_line("markers", "inapplicable(reason): this guest has nothing to be tested")


def is_left_out(config, item):
    """Whether it is of the long set alone, and is not asked for by its name but with its whole file."""
    return item.get_closest_marker("long") is not None and item.nodeid.partition("::")[0] in config.args


def pytest_collection_modifyitems(config, items):
    left_out = [] if os.environ.get("BALANCERD_LONG") else [item for item in items if is_left_out(config, item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish(session):
    tell("collected", tests=[item.nodeid for item in session.items])


def pytest_collectreport(report):
    """A file that cannot be read, leaves itself out, or has no test has no verdict but this one."""
    if not report.passed:
        tell("unreadable", test=report.nodeid, text=str(report.longrepr))
    elif Path(report.nodeid).match("test_*.py") and not report.result:
        tell("unreadable", test=report.nodeid, text="there is no test in it")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    marker = item.get_closest_marker("limit")
    limit = marker.args[0] if marker else LIMIT_SEC
    faulthandler.dump_traceback_later(limit, file=console)
    tell("begin", test=item.nodeid, limit=limit)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    reason = item.get_closest_marker("inapplicable")
    if reason:
        pytest.skip("inapplicable: " + reason.args[0])


class Verdict:
    """What the three phases of a test come to."""

    def __init__(self):
        self.result, self.text, self.seconds, self.figures = "passed", "", 0, {}

    def add(self, report):
        self.seconds += report.duration
        self.figures.update(report.user_properties)
        if report.failed:
            self.result = "failed"
            self.text += "\n".join([report.longreprtext, *(f"--- {name}\n{text}" for name, text in report.sections)])
        elif report.skipped and self.result == "passed":
            reason = report.longrepr[2].removeprefix("Skipped: ")
            applicable = not reason.startswith("inapplicable: ")
            self.result = "skipped" if applicable else "inapplicable"
            self.text = reason.removeprefix("inapplicable: ")


verdicts = {}


def pytest_runtest_logreport(report):
    verdict = verdicts.setdefault(report.nodeid, Verdict())
    verdict.add(report)
    if report.when == "teardown":
        faulthandler.cancel_dump_traceback_later()
        tell(
            "end",
            test=report.nodeid,
            result=verdict.result,
            text=verdict.text,
            seconds=round(verdict.seconds, 1),
            figures=verdict.figures,
        )
