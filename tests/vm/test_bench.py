# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bench of guests itself: what it makes of guests that panic, hang, or do not boot, and of tests in
every way of going wrong (tests/vm/faulty)."""

import contextlib
import errno
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import images
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


def test_every_file_is_in_the_short_set():
    """On some machine of some guest."""
    for path in (HERE / "guest").glob("test_*.py"):
        assert run.pairs(path, list(recipes.GUESTS), False), path.name


@pytest.mark.parametrize("machines", ['("smal",)', '("trixi/flat",)', '("default")'])
def test_a_file_that_names_none_is_refused(tmp_path, machines):
    """It would run nowhere otherwise."""
    path = tmp_path / "test_x.py"
    path.write_text(f"MACHINES = {machines}\n", encoding="ascii")
    with pytest.raises(run.Refused, match="test_x.py: MACHINES: there is no "):
        run.pairs(path, ["trixie"], True)


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
    assert run.plan(folder, ["trixie"], ["flat"]) == [("trixie", "flat", [f"{place}/test_b.py"])]
    assert run.plan(folder, ["trixie"], tests=["a"]) == [("trixie", "default", [f"{place}/test_a.py"])]
    assert run.plan(folder, ["trixie"], ["flat"], ["b::test_c", "[b]::test_d"]) == [
        ("trixie", "flat", [f"{place}/test_b.py::test_c", f"{place}/test_b.py::test_d"])
    ]


def test_a_choice_of_nothing_is_refused(folder):
    with pytest.raises(run.Refused, match="there is no test_x.py in "):
        run.plan(folder, ["trixie"], tests=["a", "x"])
    with pytest.raises(run.Refused, match="for other guests or machines"):
        run.plan(folder, ["trixie"], ["flat"], ["a"])


def test_a_machine_may_be_for_one_guest(tmp_path):
    """In the short set; in the long one it is for each, once, however many name it."""
    text = 'MACHINES = ("trixie/large", "bookworm/flat", "flat")\n'
    (tmp_path / "test_a.py").write_text(text, encoding="ascii")
    files = [f"tests/vm/{tmp_path.name}/test_a.py"]
    assert run.plan(tmp_path, ["trixie", "bookworm"]) == [
        ("trixie", "flat", files),
        ("trixie", "large", files),
        ("bookworm", "flat", files),
    ]
    assert run.plan(tmp_path, ["trixie", "bookworm"], everywhere=True) == [
        (guest, machine, files) for guest in ("trixie", "bookworm") for machine in ("flat", "large")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--guest=nobody"], "invalid choice: 'nobody' (choose from 'bookworm', 'trixie', 'trixie-rt')"),
        (["--machine=tiny"], "invalid choice: 'tiny' (choose from 'default', "),
        (["--test=nothing"], "run.py: there is no test_nothing.py in "),
        (["--folder=/nowhere"], "run.py: there is no test_*.py in /nowhere"),
        (["--guest=bookworm", "--machine=large"], "run.py: these tests are for other guests or machines"),
        (["--jobs=0"], "argument --jobs: one or more"),
        (["--shell", "--test=systemd"], "argument --shell: takes one guest and one machine, and no test"),
        (["--shell", "--guest=trixie", "--guest=bookworm"], "argument --shell: takes one guest"),
    ],
)
def test_what_cannot_be_run_is_told_at_once(arguments, said):
    done = subprocess.run(
        [sys.executable, "-B", HERE / "run.py", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode not in (0, None)
    assert said in done.stderr and done.stdout == ""


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


def test_a_console_is_shown_from_before_a_panic_on():
    """All of it, however long; without one, its end."""
    lines = [f"line {n}" for n in range(3 * run.emulator.CONSOLE_LINES)]
    assert run.emulator.last_words(lines) == lines[-run.emulator.CONSOLE_LINES :]
    assert run.emulator.last_words(lines[:5]) == lines[:5]
    lines[50] = f"[ 1.0] {run.emulator.PANIC}: for a test"
    assert run.emulator.last_words(lines) == lines[50 - run.emulator.LINES_BEFORE_A_PANIC :]


class FakeRun:
    """A run of a guest that tells what is in SCRIPT, one list a boot; an exception there is raised."""

    script = ()

    def __init__(self, *_arguments):
        self.events = iter(next(self.script))

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        pass

    def next_event(self, _limit_sec):
        event = next(self.events)
        if isinstance(event, Exception):
            raise event
        return event

    def console(self):
        return ""

    def seconds(self):
        return 0

    def stop(self):
        pass


@pytest.fixture
def session(monkeypatch, tmp_path):
    """A function that gives a session of some tests, whose guest does as a script says."""
    monkeypatch.setattr(run.images, "image", lambda *_: None)
    monkeypatch.setattr(run.emulator, "Run", FakeRun)
    bench = SimpleNamespace(
        cache=None, emulator=None, append="", new_folder=lambda: tmp_path, write_payload=lambda *_: None
    )

    def make(tests, boots):
        monkeypatch.setattr(FakeRun, "script", iter(boots))
        return run.Session(bench, "bookworm", "default", tests, lambda _result: None)

    return make


def outcome(of):
    of.run()
    return [(one.test, one.result) for one in of.outcome()]


def begin(test):
    return {"event": "begin", "test": test, "limit": 1}


def end(test):
    return {"event": "end", "test": test, "result": "passed"}


DONE = {"event": "done"}
BROKEN = run.emulator.Broken("the emulator has died (SIGABRT)")
LOST = run.emulator.Ended("it hangs")


def test_what_the_emulator_breaks_off_is_run_again(session, capsys):
    """Twice; then it has failed."""
    assert outcome(session(["x::y"], [[BROKEN]] * 3)) == [("boot", "failed"), ("x::y", "failed")]
    assert capsys.readouterr().out.count("the emulator has died (SIGABRT): what is left is run again") == 2


def test_a_boot_that_fails_after_one_that_was_broken_off_is_no_tests_fault(session):
    found = outcome(session(["x::y"], [[begin("x::y"), BROKEN], [LOST]]))
    assert found == [("boot", "failed"), ("x::y", "failed")]


def test_guests_are_not_lost_without_an_end(session):
    """Each test takes one along: after some the rest is not run."""
    tests = [f"x::{n}" for n in range(run.LOST_BOOTS_MAX + 2)]
    boots = [[begin(test), LOST] for test in tests[: run.LOST_BOOTS_MAX]]
    failed = session(tests, boots)
    assert outcome(failed) == [(test, "failed") for test in tests]
    assert [one.text.startswith("not run") for one in failed.outcome()].count(True) == 2


def test_a_session_without_tests_fails(session):
    """None that is collected is in the short set, say."""
    collected = {"event": "collected", "tests": []}
    assert outcome(session(["x"], [[collected, DONE]])) == [("boot", "failed")]


def test_a_boot_that_lacks_something_here_fails(session, monkeypatch):
    """And that session alone."""

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    failed = session(["x"], [])
    monkeypatch.setattr(failed.bench, "write_payload", full)
    assert outcome(failed) == [("boot", "failed"), ("x", "failed")]
    assert "No space left on device" in failed.outcome()[0].text


def test_an_interrupt_is_not_missed(session, monkeypatch):
    """Also one that comes while there is no guest; and what was known by then is reported."""
    stopped = session(["x::a", "x::b"], [[begin("x::a"), end("x::a"), LOST], [DONE]])
    boots = []

    def between_boots(*_arguments):
        boots.append(1)
        if len(boots) == 2:
            stopped.stop()

    monkeypatch.setattr(stopped.bench, "write_payload", between_boots)
    assert outcome(stopped) == [("x::a", "passed"), ("boot", "failed"), ("x::b", "failed")]
    assert stopped.outcome()[-1].text == "not run: the bench was ended"


def test_what_an_interrupt_ends_is_reported(session, monkeypatch, tmp_path, capsys):
    """With all that was known by then; what was not run has failed."""

    def interrupted(sessions, _n_jobs):
        sessions[0].keep("x::a", "passed")
        sessions[0].left = ["x::b"]
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_all", interrupted)
    bench, options = session([], []).bench, SimpleNamespace(jobs=1, junit=tmp_path / "guests.xml")
    with pytest.raises(KeyboardInterrupt):
        run.run_tests(bench, [("bookworm", "default", ["x"])], ["bookworm"], options)
    assert capsys.readouterr().out.endswith("\n1 passed, 1 failed, 0 skipped\n")
    assert len(list(ElementTree.parse(options.junit).iter("testcase"))) == 2


# What is kept.


@pytest.fixture
def made(monkeypatch, tmp_path):
    """A function that asks for what a recipe makes; the list `fills` has who was made."""
    monkeypatch.setattr(images.build, "lacks", lambda: [])

    def make(recipe, fill=None):
        def write(folder, _log):
            make.fills.append(recipe)
            (folder / "root.ext4").write_text(recipe, encoding="ascii")

        return images.made(tmp_path, "guest-x", recipe, fill or write)

    make.fills = []
    return make


def test_an_image_is_made_once_a_recipe(made):
    first = made("one")
    assert made("one") == first != made("two")
    assert made.fills == ["one", "two"]
    assert (first / "root.ext4").read_text(encoding="ascii") == "one"


def test_two_runs_that_want_an_image_make_it_once(made, capsys):
    """The second one waits for the first, and says so."""
    begun, waits = threading.Event(), threading.Event()

    def fill(_folder, _log):
        begun.set()
        assert waits.wait(LIMIT_SEC)
        made.fills.append("first")

    class Told(io.StringIO):
        def write(self, text):
            if "waiting for what another run builds" in text:
                waits.set()
            return super().write(text)

    with ThreadPoolExecutor() as pool, contextlib.redirect_stdout(Told()):
        first = pool.submit(made, "one", fill)
        assert begun.wait(LIMIT_SEC)
        assert made("one") == first.result()
    assert made.fills == ["first"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), shutil.Error([("a", "b", "No space left on device")])]
)
def test_an_image_that_cannot_be_made_leaves_nothing(made, tmp_path, error):
    """Of half of it; the next one that asks makes it anew."""

    def fill(folder, _log):
        (folder / "root.ext4").write_text("half", encoding="ascii")
        raise error

    with pytest.raises(images.build.Unable, match="guest-x-.*No space left on device"):
        made("one", fill)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    made("one")
    assert made.fills == ["one"]


def test_what_nobody_asks_for_goes(made, tmp_path):
    """After a time, and what a builder left that was killed at once; what is in use stays."""
    unused, used = made("one"), made("two")
    os.utime(unused, (0, 0))
    others = [tmp_path / "guest-x-rt.killed", tmp_path / "guest-x.log"]
    others[0].mkdir()
    others[1].touch()
    half = tmp_path / "guest-x.killed"
    half.mkdir()
    made("three")
    assert used.is_dir() and others[0].is_dir()
    assert not unused.exists() and not half.exists()


def test_a_cache_that_cannot_be_used_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BALANCERD_VM_CACHE", str(tmp_path / "file/guests"))
    with pytest.raises(images.build.Unable, match="file/guests: Not a directory"):
        images.cache_folder()
    monkeypatch.setenv("BALANCERD_VM_CACHE", str(tmp_path))
    monkeypatch.setattr(images.os, "access", lambda *_: False)
    with pytest.raises(images.build.Unable, match="is another user's"):
        images.cache_folder()


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
        ["setpriv", "--pdeathsig", "TERM", sys.executable, "-B", HERE / "run.py", f"--guest={GUEST}",
         f"--folder={FAULTY}", f"--junit={junit}", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=LIMIT_SEC,
    )  # fmt: skip
    print(done.stdout)  # pytest shows this where the test failed
    assert junit.exists(), "nothing was run"
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
        "empty",
        "hang::test_sleeps",
        "hang::test_starves_the_guest",
        "killed::test_kills_pytest",
        "left_out",
        "unreadable",
    ]
    assert faulty.printed.endswith("\n2 passed, 9 failed, 1 skipped\n")


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
    """As does one that leaves itself out, or has no test: it would vanish otherwise."""
    reasons = {
        "unreadable": "nothing can be had of this file",
        "left_out": "could not import 'no_such_module'",
        "empty": "there is no test in it",
    }
    for name, reason in reasons.items():
        said = faulty.said_of(name)
        assert "none of its tests can be had" in said and reason in said


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
