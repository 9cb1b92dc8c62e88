# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line: what it says, what it refuses, and that manual and help agree."""

import re
import stat
import subprocess

import pytest
from support import daemon, tree

def run(*arguments, umask=-1):
    return subprocess.run(
        [tree.BALANCERD, *arguments],
        umask=umask,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def manual():
    return (tree.SOURCE / "man/balancerd.8").read_text()


def long_options(text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text))


def manual_options():
    """Options that the manual describes, each with a heading of its own."""
    return set(re.findall(r"^\.It Fl (?:h , )?-([a-z-]+)", manual(), re.M))


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option):
    done = run(option)
    assert done.returncode == 0
    assert done.stderr == ""
    assert long_options(done.stdout) == manual_options()


def configured_with(option):
    """Whether the build was: `make distcheck` installs below a folder of its own."""
    told = subprocess.run([tree.BUILD / "config.status", "--config"], capture_output=True, text=True, check=True)
    return option in told.stdout


def test_manual_has_the_default_folders():
    """What is built without an option is what the manual says, and its parent is there."""
    said = run("--help").stdout
    (configuration,) = re.findall(r"--config-dir DIR .*\[(.+)\]", said)
    if not configured_with("--sysconfdir"):
        assert configuration == "/etc/balancerd"
    assert ".Pa /etc/balancerd ,\nwhich need not be there" in manual()
    (default,) = re.findall(r"--runtime-dir DIR .*\[(.+)\]", said)
    assert default == "/run/balancerd"
    assert f".Pa {default} ." in manual()
    assert f".It Pa {default}/private/ledger" in manual()


def test_synopsis_has_every_combination():
    """What is accepted is what it lists; test_bad_arguments has the rest."""
    synopsis = manual().split(".Sh SYNOPSIS")[1].split(".Sh ")[0]
    forms = [set(re.findall(r"Fl -([a-z-]+)", form)) for form in synopsis.split(".Nm\n")[1:]]
    assert forms == [
        {"config-dir", "runtime-dir", "set", "observe"},
        {"check", "config-dir", "runtime-dir", "set"},
        {"restore", "runtime-dir"},
        {"version"},
        {"help"},
    ]


def test_restore_with_nothing_to_do(tmp_path):
    done = run("--runtime-dir", str(tmp_path / "run"), "--restore")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "balancerd: nothing was left narrow\n"


def test_version():
    done = run("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"balancerd \d+\.\d+\.\d+\n", done.stdout)
    assert done.stderr == ""


def test_version_is_in_news():
    version = run("--version").stdout.strip()
    assert (tree.SOURCE / "NEWS").read_text().startswith(f"{version},")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--frobnicate"], "frobnicate"),
        (["4711"], '"4711"'),
        (["--check", "--restore"], "--check does not go with --restore"),
        (["--restore", "--check"], "--check does not go with --restore"),
        (["--restore", "--observe"], "--observe does not go with --restore"),
        (["--restore", "--set", "observe=all"], "--set does not go with --restore"),
        (["--config-dir", "/proc", "--restore"], "--config-dir does not go with --restore"),
        (["--check", "--observe"], "--observe does not go with --check"),
        (["--set"], "requires an argument"),
        (["--runtime-dir"], "requires an argument"),
        (["--config-dir"], "requires an argument"),
        (["--set", "balance.tick"], "expected KEY=VALUE"),
        (["--set", "balance.tock=20ms"], "balance.tock=20ms: expected a key of balancerd.json(5)"),
        (["--set", "=20ms"], "a key of balancerd.json(5)"),
        (["--set", "balance.tick=fast"], "a time with its unit, such as 20ms, from 1ms to 1s"),
        (["--set", "balance.tick="], "a time with its unit, such as 20ms, from 1ms to 1s"),
        (["--set", "balance.tick=20"], "a time with its unit, such as 20ms, from 1ms to 1s"),
        (["--set", "balance.tick=0"], "a time with its unit, such as 20ms, from 1ms to 1s"),
        (["--set", "balance.tick=2s"], "a time with its unit, such as 20ms, from 1ms to 1s"),
        (["--set", "balance.quietTick=infinity"], "a time with its unit, such as 1s, from 100ms to 1min"),
        (["--set", "balance.rotate=99ms"], "off, or a time with its unit, such as 1s, from 100ms to 1h"),
        (["--set", "balance.acrossNodes=maybe"], "never, stuck or always"),
        (["--set", "balance.unbalanced=2"], "true or false"),
        (["--set", "balance.stuckThreads="], "true or false"),
        (["--set", "balance.realtime=TRUE "], "true or false"),
        (["--set", "taskstats=perhaps"], "true or false"),
    ],
)
def test_bad_arguments(arguments, said):
    done = run(*arguments)
    assert done.returncode == daemon.REFUSED
    assert done.stdout == ""
    complaint, hint = done.stderr.splitlines()
    assert said in complaint
    assert hint == 'Try "balancerd --help".'


def test_nothing_is_written_when_nothing_runs(tmp_path):
    folder = tmp_path / "run"
    for arguments in (["--help"], ["--version"], ["--set", "x=y"], ["--check"],
                      ["--restore", "--observe"]):  # fmt: skip
        run("--runtime-dir", str(folder), "--config-dir", str(folder), *arguments)
    assert not folder.exists()


@pytest.mark.parametrize("umask", [0, 0o077])
def test_private_state_is_private(tmp_path, umask):
    """The runtime directory is for everyone, since the socket is in it; the ledger is not."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    done = run("--runtime-dir", str(folder), "--restore", umask=umask)
    assert done.returncode == 0
    assert stat.S_IMODE((folder / "private").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "private/ledger").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["private"]
