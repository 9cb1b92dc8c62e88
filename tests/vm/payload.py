# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a guest is brought along: balancerd as `make install` lays it out, the tests, their programs."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

TESTS = "balancerd-tests"
PROGRAMS = ("tests/outside/hog", "tests/outside/mover-steps", "tests/bench/sleepers")
# What the tests' helpers read of the sources.
SOURCES = (
    "man/io.balancerd.7",
    "src/api/io.balancerd.varlink",
    "src/api/org.varlink.service.varlink",
    "src/balancerd/news.c",
    "src/base/log.h",
)


def install(build, stage):
    """Installs the build below STAGE."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    subprocess.run(
        ["make", "-s", "-C", str(build), "install", f"DESTDIR={stage}"],
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment,
    )  # fmt: skip


def of_root(info):
    """Whoever built it: in the guest it is root's."""
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return None if "__pycache__" in info.name else info


def add_text(tar, name, text):
    data = text.encode()
    info = tarfile.TarInfo(f"{TESTS}/{name}")
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def add_installed(tar, stage):
    """Each file by itself, and each empty folder: those that the guest has stay what they are, links too."""
    for path in sorted(stage.rglob("*")):
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir()):
            # In Debian /lib is a link to /usr/lib.
            name = path.relative_to(stage).as_posix()
            tar.add(path, "usr/" + name if name.startswith("lib/") else name, filter=of_root)


def add_program(tar, name, stage):
    """A link to what is installed, where the tests' helpers look for what is built."""
    (path,) = stage.rglob(f"*bin/{name}")
    info = tarfile.TarInfo(f"{TESTS}/programs/{name}")
    info.type, info.linkname = tarfile.SYMTYPE, "/" + path.relative_to(stage).as_posix()
    tar.addfile(info)


def place(tests):
    """Where a folder of tests is in a guest."""
    return f"tests/vm/{tests.name}"


def write(path, source, build, stage, tests, files):
    """Makes the disk at PATH. TESTS: a folder of them; FILES: {name: text} below the folder of the tests."""
    with tarfile.open(path, "w") as tar:
        add_installed(tar, stage)
        for name in ("support", "vm/guest"):
            tar.add(Path(source) / "tests" / name, f"{TESTS}/tests/{name}", filter=of_root)
        if tests != Path(source) / "tests/vm/guest":
            tar.add(tests, f"{TESTS}/{place(tests)}", filter=of_root)
        tar.add(Path(source) / "tests/vm/guest/start", f"{TESTS}/start", filter=of_root)
        for name in SOURCES:
            tar.add(Path(source) / name, f"{TESTS}/{name}", filter=of_root)
        for name in PROGRAMS:
            tar.add(Path(build) / name, f"{TESTS}/programs/{name}", filter=of_root)
        for name in ("balancerd", "balancectl"):
            add_program(tar, name, stage)
        for name, text in files.items():
            add_text(tar, name, text)
