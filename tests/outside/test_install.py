# SPDX-License-Identifier: LGPL-2.1-or-later
"""What make installs and removes, what a build leaves among the sources, and what it needs."""

import os
import re
import shutil
import subprocess

import pytest
from support import tree

README = (tree.SOURCE / "README.md").read_text()


def make(target, root):
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return subprocess.run(
        ["make", "-C", tree.BUILD, "-s", target, f"DESTDIR={root}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, check=False, timeout=300,
    )  # fmt: skip


def files(root):
    return {path.name for path in root.rglob("*") if not path.is_dir()}


def own_folders(root):
    """Below ROOT; a prefix may have the name in it."""
    return [path for path in root.rglob("*") if path.is_dir() and path.name in ("balancerd", "balancerd.json.d")]


def test_uninstall_undoes_install(tmp_path):
    done = make("install", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"balancerd", "balancectl", "LICENSE", "README.md", "NEWS", "balancerd.8"} <= files(tmp_path)
    done = make("uninstall", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert files(tmp_path) == set()
    assert own_folders(tmp_path) == []


def test_uninstall_where_nothing_is_installed(tmp_path):
    done = make("uninstall", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert files(tmp_path) == set()
    assert own_folders(tmp_path) == []


def built():
    """Programs and files that make makes, below the build's folder."""
    found = []
    for path in tree.SOURCE.rglob("Makemodule.am"):
        text = path.read_text().replace("\\\n", " ")
        for names in re.findall(r"^(?:check|noinst|bin|sbin)_PROGRAMS \+= (.*)$|^CLEANFILES \+= ([^$\n]*)$", text, re.M):
            found += [name for name in "".join(names).split() if "$" not in name]
    return sorted(set(found))


def test_what_is_built_is_ignored(tmp_path):
    rules = tree.SOURCE / ".gitignore"
    if not rules.exists():
        pytest.skip("a release has no .gitignore")
    # A repository of its own: a copy of the sources is in none.
    git = ["git", "-C", tmp_path]
    subprocess.run([*git, "init", "-q"], check=True)
    shutil.copy(rules, tmp_path)
    names = built()
    assert {"balancerd", "etc/balancerd.json", "tests/outside/hog"} <= set(names)
    not_ignored = [
        name for name in names
        if subprocess.run([*git, "check-ignore", "-q", "--no-index", name], check=False).returncode
    ]  # fmt: skip
    assert not_ignored == []


def packages(name):
    script = f'. "{tree.SOURCE}/tests/packages.sh"; printf "%s\\n" "${{{name}[@]}}"'
    return set(subprocess.check_output(["bash", "-c", script], text=True).split())


def test_readme_names_what_the_build_needs():
    section = README.split("## Building")[1].split("\n## ")[0]
    # xz-utils is for make dist alone.
    assert sorted(one for one in packages("build_packages") - {"xz-utils"} if one not in section) == []
    asked = (tree.SOURCE / "configure.ac").read_text()
    for module, package in (("pytest", "python3-pytest"), ("jsonschema", "python3-jsonschema")):
        assert module in asked
        assert package in section
        assert package in packages("test_packages")
    assert {"libcmocka-dev", "mandoc"} <= set(re.findall(r"[\w-]+", section))
