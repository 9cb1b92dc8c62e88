# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bench of guests itself: what it makes of guests that panic, hang, or do not boot, and of tests in
every way of going wrong (tests/vm/faulty)."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import recipes
import run

HERE = Path(__file__).resolve().parent
FAULTY = HERE / "faulty"
GUEST = "bookworm"
LIMIT_SEC = 600


def result(test="file::test", kind="passed", **values):
    return run.Result(test, **{"guest": "bookworm", "machine": "default", "result": kind, **values})


# Without a guest.


@pytest.mark.parametrize(
    ("text", "machines"),
    [
        ("", ("default",)),
        ('MACHINES = ("flat", "large")\n', ("flat", "large")),
        ('import os\nOTHER = 1\nMACHINES = ("isolated",)\n', ("isolated",)),
        ("def cut(:\n", ("default",)),
        ("\0", ("default",)),
    ],
)
def test_a_file_names_its_machines(tmp_path, text, machines):
    """One that is no Python is left to the guest, which tells so."""
    path = tmp_path / "test_x.py"
    path.write_text(text, encoding="ascii")
    assert run.machines_of(path) == machines


def test_every_file_names_machines_that_there_are():
    for path in (HERE / "guest").glob("test_*.py"):
        for guest, machine in run.pairs(path, list(recipes.GUESTS), False):
            assert guest in recipes.GUESTS and machine in recipes.MACHINES, path.name


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "test_a.py").write_text("", encoding="ascii")
    (tmp_path / "test_b.py").write_text('MACHINES = ("default", "flat")\n', encoding="ascii")
    (tmp_path / "helper.py").write_text("", encoding="ascii")
    return tmp_path


def test_a_pair_of_guest_and_machine_is_run_once(folder):
    place = f"tests/vm/{folder.name}"
    assert run.plan(folder, ["trixie", "bookworm"]) == [
        ("trixie", "default", [f"{place}/test_a.py", f"{place}/test_b.py"]),
        ("trixie", "flat", [f"{place}/test_b.py"]),
        ("bookworm", "default", [f"{place}/test_a.py", f"{place}/test_b.py"]),
        ("bookworm", "flat", [f"{place}/test_b.py"]),
    ]


def test_what_is_run_can_be_chosen(folder):
    place = f"tests/vm/{folder.name}"
    assert run.plan(folder, ["trixie"], "flat") == [("trixie", "flat", [f"{place}/test_b.py"])]
    assert run.plan(folder, ["trixie"], test="a") == [("trixie", "default", [f"{place}/test_a.py"])]
    assert run.plan(folder, ["trixie"], "flat", "b::test_c") == [
        ("trixie", "flat", [f"{place}/test_b.py::test_c"])
    ]
    assert run.plan(folder, ["trixie"], "flat", "a") == []


def test_a_machine_may_be_for_one_guest(tmp_path):
    """In the short set."""
    (tmp_path / "test_a.py").write_text('MACHINES = ("trixie/large", "flat")\n', encoding="ascii")
    files = [f"tests/vm/{tmp_path.name}/test_a.py"]
    assert run.plan(tmp_path, ["trixie", "bookworm"]) == [
        ("trixie", "flat", files),
        ("trixie", "large", files),
        ("bookworm", "flat", files),
    ]
    assert len(run.plan(tmp_path, ["trixie", "bookworm"], everywhere=True)) == 4


def test_labels_are_short():
    assert run.label("tests/vm/guest/test_kill.py::test_it[::1-a/b]") == "kill::test_it[::1-a/b]"
    assert run.label("tests/vm/guest/test_kill.py") == "kill"
    assert run.label("boot") == "boot"


def test_the_table_has_a_row_for_a_test_and_a_column_for_a_guest():
    results = [
        result("a::b"),
        result("a::b", machine="flat"),
        result("a::b", "inapplicable", guest="trixie"),
        result("boot", "failed", guest="trixie", machine="flat"),
    ]
    rows = [re.split(r"  +", line.strip()) for line in run.table(results, ["bookworm", "trixie"])]
    assert rows == [
        ["test (machine)", "bookworm", "trixie"],
        ["a::b (default)", "passed", "not applicable"],
        ["a::b (flat)", "passed", "-"],
        ["boot (flat)", "-", "failed"],
    ]


def test_reasons_and_figures_are_told():
    results = [result(figures={"ticks": 3}), result("x::y", "inapplicable", text="no varlinkctl")]
    assert list(run.notes(results)) == [
        "inapplicable: bookworm/default: x::y: no varlinkctl",
        "figure: bookworm/default: file::test: ticks: 3",
    ]


def test_junit_has_what_can_be_tested(tmp_path):
    path = tmp_path / "new" / "guests.xml"
    foreign = "ä\x1b[31m\0\ud800\n"
    results = [
        result("a::passed", seconds=1.5),
        result("a::failed", "failed", text=foreign),
        result("a::skipped", "skipped", text=foreign),
        result("a::inapplicable", "inapplicable"),
    ]
    run.write_junit(path, results)
    cases = list(ElementTree.parse(path).iter("testcase"))
    assert [case.get("name") for case in cases] == [
        f"bookworm/default: a::{name}" for name in ("passed", "failed", "skipped")
    ]
    assert cases[0].get("time") == "1.5" and len(cases[0]) == 0
    assert cases[1].find("failure").text == "ä?[31m??\n"
    assert "ä?[31m" in cases[2].find("skipped").get("message")


@pytest.mark.parametrize(
    ("kinds", "status"),
    [(["passed"], 0), (["passed", "inapplicable", "skipped"], 0), (["passed", "failed"], 1), ([], 1)],
)
def test_failures_and_nothing_at_all_fail(capsys, kinds, status):
    assert run.report([result(kind=kind) for kind in kinds], ["bookworm"], {"all": 1}, None) == status
    counts = [kinds.count(kind) for kind in ("passed", "failed", "skipped")]
    assert capsys.readouterr().out.endswith("{} passed, {} failed, {} skipped\n".format(*counts))


def test_what_the_emulator_breaks_off_is_run_again(monkeypatch, tmp_path, capsys):
    """Twice; then it has failed."""
    monkeypatch.setattr(run.images, "image", lambda *_: None)
    bench = SimpleNamespace(
        cache=None, emulator=None, append="", new_folder=lambda: tmp_path, write_payload=lambda *_: None
    )
    session = run.Session(bench, "bookworm", "default", ["x::y"], lambda _result: None)
    monkeypatch.setattr(run.emulator, "Run", BrokenRun)
    assert [(one.test, one.result) for one in session.run()] == [("boot", "failed"), ("x::y", "failed")]
    assert capsys.readouterr().out.count("the emulator has died (SIGABRT)") == 3


class BrokenRun:
    """A run whose emulator dies before the guest tells anything."""

    def __init__(self, *_arguments):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        pass

    def next_event(self, _limit_sec):
        raise run.emulator.Broken("the emulator has died (SIGABRT)")

    def console(self):
        return ""

    def seconds(self):
        return 0


# With guests.


@dataclass
class Outcome:
    """Of a run of the bench."""

    status: int
    printed: str
    failures: dict  # by name; None: the test has passed, "": it was skipped

    def said_of(self, test):
        """What is told of a failed test."""
        return self.printed.partition(f"\n--- failed: {GUEST}/default: {test}\n")[2].partition("\n--- failed: ")[0]


def verdict(case):
    if case.find("skipped") is not None:
        return ""
    failure = case.find("failure")
    return None if failure is None else failure.text


def bench(folder, *arguments):
    """Runs it on tests that go wrong."""
    junit = folder / "guests.xml"
    done = subprocess.run(
        [sys.executable, "-B", HERE / "run.py", f"--guest={GUEST}", f"--folder={FAULTY}", f"--junit={junit}", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=LIMIT_SEC,
    )  # fmt: skip
    print(done.stdout)  # pytest shows this where the test failed
    cases = ElementTree.parse(junit).iter("testcase")
    failures = {case.get("name").removeprefix(f"{GUEST}/default: "): verdict(case) for case in cases}
    return Outcome(done.returncode, done.stdout, failures)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """All of them in one run."""
    return bench(tmp_path_factory.mktemp("faulty"))


def test_each_test_has_its_verdict(faulty):
    """Whatever became of the others; and those that do not apply are in the table alone."""
    assert faulty.status == 1
    assert [name for name, text in faulty.failures.items() if text is None] == [
        "assertion::test_passes",
        "rest::test_still_runs",
    ]
    assert [name for name, text in faulty.failures.items() if text == ""] == ["assertion::test_skips"]
    assert sorted(name for name, text in faulty.failures.items() if text) == [
        "assertion::test_fails",
        "assertion::test_fails_afterwards",
        "crash::test_panics",
        "hang::test_sleeps",
        "hang::test_starves_the_guest",
        "killed::test_kills_pytest",
        "unreadable",
    ]
    assert faulty.printed.endswith("\n2 passed, 7 failed, 1 skipped\n")


def test_what_does_not_apply_is_told_with_its_reason(faulty):
    for name, reason in (("", "there is nothing of the kind"), ("_by_its_marker", "said by the marker")):
        test = "assertion::test_does_not_apply" + name
        assert re.search(rf"^{test} \(default\) +not applicable *$", faulty.printed, re.M)
        assert f"\ninapplicable: {GUEST}/default: {test}: {reason}\n" in faulty.printed


def test_an_assertion_is_shown_with_what_was_printed(faulty):
    said = faulty.said_of("assertion::test_fails")
    assert "assert [1, 2] == [1, 3]" in said and "printed before" in said
    assert "in the fixture" in faulty.said_of("assertion::test_fails_afterwards")


def test_a_file_that_cannot_be_read_fails_alone(faulty):
    assert "it cannot be read" in faulty.said_of("unreadable")
    assert "nothing can be had of this file" in faulty.said_of("unreadable")


def test_a_panic_shows_the_console(faulty):
    """What the kernel said of it, and the way there."""
    said = faulty.said_of("crash::test_panics")
    assert "the guest failed: it has ended" in said
    assert "Kernel panic - not syncing: sysrq triggered crash" in said
    assert "write_sysrq_trigger" in said


def test_a_test_that_hangs_shows_where(faulty):
    said = faulty.said_of("hang::test_sleeps")
    assert "the guest failed: it hangs" in said
    assert re.search(r'test_hang.py", line \d+ in test_sleeps$', said, re.M)


def test_a_guest_that_hangs_shows_its_cpus(faulty):
    """By an NMI: no thread of the guest's would get to say anything."""
    said = faulty.said_of("hang::test_starves_the_guest")
    assert "the guest failed: it hangs" in said
    assert "Kernel panic - not syncing: NMI: Not continuing" in said
    busy = set(re.findall(r"^\[ *[\d.]+\] CPU: (\d+) PID: \d+ Comm: python3", said, re.M))
    assert busy == {str(cpu) for cpu in range(recipes.MACHINES["default"].cpus)}


def test_a_pytest_that_dies_is_told(faulty):
    assert "the guest failed: pytest has ended" in faulty.said_of("killed::test_kills_pytest")


def test_what_is_left_gets_another_boot(faulty):
    """Tests of one boot share it until one of them ends it."""
    first, last = re.findall(r"^figure: .*: boot: (\S+)$", faulty.printed, re.M)
    assert first != last


def test_a_guest_that_does_not_boot_fails_with_its_tests(tmp_path):
    outcome = bench(tmp_path, "--test=assertion", "--append=root=/dev/nowhere")
    assert outcome.status == 1
    assert set(outcome.failures) == {"boot", "assertion"}
    assert "Unable to mount root fs" in outcome.said_of("boot")
    assert "not run" in outcome.failures["assertion"]
    assert outcome.printed.endswith("\n0 passed, 2 failed, 0 skipped\n")
