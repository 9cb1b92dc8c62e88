# SPDX-License-Identifier: LGPL-2.1-or-later
"""The house keeps its own rules: floors, licences, map, and nothing of the place where it is built."""

import re

import pytest
from support import tree

# What a floor may include, itself apart: floors below it. policy and kernel do not know each other.
FLOORS = {
    "base": set(),
    "model": {"base"},
    "policy": {"model", "base"},
    "kernel": {"model", "base"},
    "engine": {"kernel", "policy", "model", "base"},
    "varlink": {"base"},
    "api": {"varlink", "engine", "kernel", "model", "base"},
    "libbalancer": {"varlink", "base"},
    "balancectl": {"libbalancer", "varlink", "base"},
    "sim": {"engine", "kernel", "policy", "model", "base"},
    "balancerd": {"api", "varlink", "engine", "kernel", "policy", "model", "base"},
}

SOURCES = sorted(tree.SOURCE.glob("src/**/*.[ch]")) + sorted(tree.SOURCE.glob("tests/**/*.[ch]"))
SCRIPTS = sorted(tree.SOURCE.glob("tests/**/*.py")) + sorted(tree.SOURCE.glob("tests/**/*.sh"))
FOLDERS = sorted(path.name for path in (tree.SOURCE / "src").iterdir() if path.is_dir())


def name(path):
    return str(path.relative_to(tree.SOURCE))


def included(path):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M)


def test_every_folder_is_a_floor():
    assert set(FOLDERS) <= set(FLOORS)


@pytest.mark.parametrize("floor", FOLDERS)
def test_floor_includes_itself_and_lower_ones_only(floor):
    wrong = []
    for path in sorted((tree.SOURCE / "src" / floor).rglob("*.[ch]")):
        for header in included(path):
            owner, slash, _rest = header.partition("/")
            if header == "config.h":
                continue
            # Headers are named from src/ on, so that an include shows which floor it is of.
            if not slash or owner not in FLOORS[floor] | {floor}:
                wrong.append(f"{name(path)} includes {header}")
    assert wrong == []


def test_every_include_exists():
    missing = []
    for path in SOURCES:
        for header in included(path):
            if header == "config.h":
                continue
            if not any((root / header).exists() for root in (tree.SOURCE / "src", tree.SOURCE / "tests", path.parent)):
                missing.append(f"{name(path)} includes {header}")
    assert missing == []


def test_every_header_is_guarded():
    unguarded = [
        name(path)
        for path in SOURCES
        if path.suffix == ".h" and "\n#pragma once\n" not in path.read_text()
    ]
    assert unguarded == []


def test_every_file_names_its_licence():
    unnamed = [
        name(path)
        for path in SOURCES + SCRIPTS
        if "SPDX-License-Identifier: LGPL-2.1-or-later" not in path.read_text()[:200]
    ]
    assert unnamed == []


def test_the_map_mentions_every_folder():
    text = (tree.SOURCE / "src/README.md").read_text()
    assert [folder for folder in FOLDERS if f"{folder}/" not in text] == []


def test_no_path_of_a_workplace():
    # Spelled so that this file does not match itself.
    foreign = re.compile(r"/wor[k]/|/tmp/w[t]-|/roo[t]/|/hom[e]/[a-z]")
    found = []
    for path in SOURCES + SCRIPTS + sorted(tree.SOURCE.glob("**/*.am")) + sorted(
        tree.SOURCE.glob("*.md")
    ):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if foreign.search(line):
                found.append(f"{name(path)}:{number}: {line.strip()}")
    assert found == []


def test_sources_end_in_one_newline():
    wrong = [name(path) for path in SOURCES if not re.search(r"[^\n]\n\Z", path.read_text())]
    assert wrong == []
