# SPDX-License-Identifier: LGPL-2.1-or-later
"""README and manual against the tree and the program: commands exist, examples are accepted."""

import re
import shlex
import subprocess

import pytest
from support import daemon, tree

README = (tree.SOURCE / "README.md").read_text()
MANUAL = (tree.SOURCE / "man/balancerd.8").read_text()


def example_commands():
    """Commands of the examples that start the daemon."""
    found = re.findall(r"^    (?:# )?(balancerd(?: --.*)?)$", README, re.M)
    found += re.findall(r"^\.Dl # (balancerd.*)$", MANUAL, re.M)
    return sorted(set(found))


def test_there_are_examples():
    assert len(example_commands()) >= 4


@pytest.mark.parametrize("command", example_commands())
def test_example_is_accepted(command, runtime_dir):
    """--version ends the program once all that stands before it was read without complaint."""
    done = subprocess.run(
        [tree.BALANCERD, *shlex.split(command)[1:], "--runtime-dir", runtime_dir, "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def example_moves():
    lines = re.findall(r"^ *(sched_migrate_task: .*?)$", README, re.M)
    joined = MANUAL.replace("\\e\n    ", "")
    return lines + re.findall(r"^(sched_migrate_task: .*?)$", joined, re.M)


def test_example_moves_read_as_the_tests_read_real_ones():
    moves = [daemon.parse_move(line) for line in example_moves()]
    assert len(moves) >= 3
    assert all(move and move.made for move in moves)


def test_example_moves_have_every_field_of_a_simple_one():
    source = (tree.SOURCE / "src/engine/decisions.c").read_text()
    fields = set(re.findall(r"([a-z_]+)=%", source)) - {"chain", "result", "error"}
    for line in example_moves():
        assert set(re.findall(r"([a-z_]+)=", line)) >= fields


def test_manual_lists_no_result_that_is_never_told():
    """What balancer.c keeps silent about is no value that could be met."""
    listed = MANUAL.split(".It Cm result")[1].split(".El")[0]
    assert not re.search(r"^\.Cm (asleep|gone|moved)\b", listed, re.M)


def test_manual_explains_every_field_of_a_move():
    source = (tree.SOURCE / "src/engine/decisions.c").read_text()
    fields = set(re.findall(r"([a-z_]+)=%", source))
    assert fields >= daemon.MOVE_KEYS
    explained = MANUAL.split(".Sh LINES OF THE LOG")[1].split(".Sh ")[0]
    assert [field for field in fields if not re.search(rf"\b{field}\b", explained)] == []


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"\b(?:src|tests|man)/[\w./-]*\w", README + MANUAL)))
)
def test_named_path_exists(path):
    assert (tree.SOURCE / path).exists()


def test_named_targets_exist():
    makefile = (tree.BUILD / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize(
    ("document", "begin"), [(README, "# once, after the installation"), (MANUAL, ".Sh RUNNING AS A SERVICE")]
)
def test_document_says_what_is_to_be_done_once(document, begin):
    """For each kind of file that make install puts in a place of systemd's."""
    once = document.split(begin)[1].split("enable --now")[0]
    for command in ("systemd-sysusers", "systemd-tmpfiles --create", "systemctl daemon-reload",
                    "journalctl --update-catalog"):  # fmt: skip
        assert command in once


def test_readme_mentions_no_program_that_is_not_installed():
    assert "balancerd-sim" not in README


def test_manual_lists_every_other_page_and_the_socket():
    pages = {tuple(path.name.rsplit(".", 1)) for path in (tree.SOURCE / "man").glob("*.[1-8]")}
    see_also = set(re.findall(r"^\.Xr (\S+) (\d)", MANUAL.split(".Sh SEE ALSO")[1], re.M))
    assert pages - {("balancerd", "8")} <= see_also
    assert ".It Pa /run/balancerd/io.balancerd" in MANUAL.split(".Sh FILES")[1]


def test_news_names_what_there_is():
    news = (tree.SOURCE / "NEWS").read_text()
    for path in (tree.SOURCE / "man").glob("*.[1-8]"):
        assert "{}({})".format(*path.name.rsplit(".", 1)) in news
