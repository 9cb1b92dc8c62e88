# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events in the journal: code, catalog and manual know the same ones, with the same fields."""

import re
import shutil
import subprocess
import uuid

import pytest
from support import tree

CATALOG = tree.SOURCE / "systemd/balancerd.catalog"
SECTION = (
    (tree.SOURCE / "man/balancerd.8").read_text().split(".Sh EVENTS IN THE JOURNAL")[1].split(".Sh ")[0]
)
SOURCES = "\n".join(
    path.read_text()
    for floor in ("base", "balancerd")
    for path in sorted((tree.SOURCE / "src" / floor).glob("*.[ch]"))
)


def entries():
    """{message id: (header, text)} of the catalog."""
    found = {}
    for part in CATALOG.read_text().split("\n-- ")[1:]:
        identifier, rest = part.split("\n", 1)
        assert identifier not in found
        found[identifier] = tuple(rest.split("\n\n", 1))
    return found


def ids_of_the_code():
    return re.findall(r'"([0-9a-f]{32})"', SOURCES)


def fields_of_the_code():
    return set(re.findall(r'"(BALANCERD_[A-Z_]+)"', SOURCES))


def test_each_kind_has_an_id_of_its_own():
    ids = ids_of_the_code()
    assert len(ids) >= 10
    assert len(set(ids)) == len(ids)
    assert [one for one in ids if uuid.UUID(one).version != 4] == []


def test_catalog_has_every_kind_and_no_other():
    assert set(entries()) == set(ids_of_the_code())


def test_manual_has_every_kind_and_no_other():
    assert set(re.findall(r"^\.It Cm ([0-9a-f]{32})$", SECTION, re.M)) == set(ids_of_the_code())


def test_manual_has_every_field_and_no_other():
    listed = re.findall(r"BALANCERD_[A-Z_]+", "".join(re.findall(r"^\.It Dv .*$", SECTION, re.M)))
    assert len(set(listed)) == len(listed)
    assert set(listed) == fields_of_the_code()


@pytest.mark.parametrize("identifier", sorted(entries()))
def test_entry_can_be_filled_in(identifier):
    header, text = entries()[identifier]
    assert re.search(r"^Subject: \S", header)
    assert re.search(r"^Documentation: man:balancerd\(8\)$", header, re.M)
    used = set(re.findall(r"@(\w+)@", header + text))
    assert used <= fields_of_the_code()
    # journalctl(1) puts it in byte for byte, terminal codes too.
    assert "BALANCERD_COMM" not in used


def test_journalctl_takes_the_catalog(tmp_path):
    if not shutil.which("journalctl"):
        pytest.skip("journalctl is not installed")
    for folder in ("usr/lib", "var/lib"):
        (tmp_path / folder / "systemd/catalog").mkdir(parents=True)
    shutil.copy(CATALOG, tmp_path / "usr/lib/systemd/catalog")
    root = ["journalctl", f"--root={tmp_path}"]
    done = subprocess.run([*root, "--update-catalog"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    listed = subprocess.check_output([*root, "--list-catalog"], text=True)
    assert set(re.findall(r"^([0-9a-f]{32}) balancerd: ", listed, re.M)) == set(entries())
