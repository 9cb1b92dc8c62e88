# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images of the guests, and the emulator: kept until their recipe changes.

A folder below the cache is named after a hash of all that went into it; it is whole if it is there.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import build
import recipes

HERE = Path(__file__).resolve().parent

# Images of other recipes stay for as long: of another branch, say.
UNUSED_SEC = 7 * 24 * 3600


@dataclass(frozen=True)
class Image:
    root: Path  # a file system, ext4
    kernel: Path
    initrd: Path  # None: not needed


def cache_folder():
    folder = Path(os.environ.get("BALANCERD_VM_CACHE") or HERE.parents[1] / ".cache/guests")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise build.Unable(f"{folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise build.Unable(f"{folder} is another user's, root's in most cases")
    return folder


@contextlib.contextmanager
def one_builder(cache):
    """One at a time: the second one finds what the first has built."""
    with open(cache / "lock", "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for what another run builds", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def drop_unused(cache, name):
    """What builders of NAME left when they were killed, and folders that nobody has asked for of late:
    these lose their names first, since half a folder must not have one."""
    for folder in cache.glob(f"{name}-{'[0-9a-f]' * 16}"):
        if folder.stat().st_mtime < time.time() - UNUSED_SEC:
            folder.rename(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
    for folder in cache.glob(f"{name}.*"):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def make(folder, name, fill):
    """Has FILL(folder, log) fill a folder that becomes FOLDER when it is whole; build.Unable."""
    log = folder.with_name(f"{name}.log")
    log.unlink(missing_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=folder.parent))
    try:
        fill(work, log)
        work.rename(folder)
    except OSError as error:
        raise build.Unable(f"{folder.name}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def made(cache, name, recipe, fill):
    """The folder that FILL(folder, log) fills by RECIPE; build.Unable."""
    recipe = [recipe, Path(build.__file__).read_text(encoding="utf-8")]
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / f"{name}-{digest}"
    with one_builder(cache):
        if not folder.is_dir():
            if lacking := build.lacks():
                raise build.Unable(f"{folder.name} cannot be built without {', '.join(lacking)}")
            print(f"building {folder.name}", flush=True)
            drop_unused(cache, name)
            make(folder, name, fill)
        os.utime(folder)
    return folder


def own_emulator():
    """The emulator of this machine, if it is new enough."""
    program = shutil.which("qemu-system-x86_64")
    if not program:
        return None
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.split()
    version = words[words.index("version") + 1] if "version" in words else "0"
    return [program] if int(version.split(".")[0]) >= 8 else None


def emulator(cache):
    """The command that QEMU's options are added to. One of another Debian runs by its own loader."""
    own = own_emulator()
    if own:
        return own, {}
    recipe = [recipes.EMULATOR_SUITE, recipes.EMULATOR_PACKAGES]
    root = made(cache, "emulator", recipe, build.emulator) / "root"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    command = [
        root / "lib64/ld-linux-x86-64.so.2", "--library-path", libraries,
        root / "usr/bin/qemu-system-x86_64", "-L", root / "usr/share/qemu", "-L", root / "usr/share/seabios",
    ]  # fmt: skip
    return [str(word) for word in command], {"QEMU_MODULE_DIR": str(libraries / "qemu")}


def image(cache, name):
    guest = recipes.GUESTS[name]
    inside = {path.name: path.read_text(encoding="ascii") for path in sorted(build.INSIDE.iterdir())}
    recipe = [dataclasses.asdict(guest), recipes.MASKED_UNITS, inside]
    folder = made(cache, f"guest-{name}", recipe, lambda work, log: build.image(guest, work, log))
    initrd = folder / "initrd"
    return Image(folder / "root.ext4", folder / "vmlinuz", initrd if initrd.exists() else None)
