# SPDX-License-Identifier: LGPL-2.1-or-later
"""Building images of guests, and an emulator, from Debian's packages: each fills a folder.

Asks for root, mmdebstrap, e2fsprogs, cpio and busybox-static. All of this file is part of every recipe:
a change of it makes all images anew.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import recipes

INSIDE = Path(__file__).resolve().parent / "inside"
MIB = 1 << 20


class Unable(Exception):
    """An image cannot be made; the text says why."""


def lacks():
    """What building needs and this machine does not have."""
    programs = ("mmdebstrap", "mke2fs", "cpio", "busybox", "xz", "dpkg-deb")
    found = [name for name in programs if not shutil.which(name)]
    return found + (["root"] if os.geteuid() != 0 else [])


def run(log, command, **options):
    """Runs what belongs to a recipe; its words go to LOG, and into the exception when it fails."""
    with open(log, "ab") as file:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False, **options)
    if done.returncode != 0:
        tail = log.read_text(errors="replace").splitlines()[-30:]
        raise Unable("\n".join([f"{command[0]} failed:", *tail]))


def mirror():
    """Where this machine's apt has Debian's main archive from."""
    with contextlib.suppress(OSError):
        text = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL) $(COMPONENT) $(CODENAME)"],
            capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
        for line in text.splitlines():
            address, label, component, name = (line.split(" ") + [""] * 3)[:4]
            if (label, component) == ("Debian", "main") and "-" not in name:
                return address
    return "http://deb.debian.org/debian"


def debootstrap(log, suite, packages, target, *options):
    run(
        log,
        [
            "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
            f"--include={','.join(packages)}",
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=force-unsafe-io",
            *options, suite, str(target), mirror(),
        ],
    )  # fmt: skip


# The emulator.


def emulator(folder, log):
    debootstrap(log, recipes.EMULATOR_SUITE, recipes.EMULATOR_PACKAGES, folder / "root")


# A guest's image.


def fetch_kernel(log, guest, work):
    """Options for mmdebstrap that have the kernel's package downloaded to WORK by the guest's own apt."""
    script = (
        f'cd "{work}" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && '
        f"apt-get download $(apt-cache depends {guest.kernel} | sed -n 's/^ *Depends: //p' | head -n 1)"
    )
    return [f"--customize-hook={script}"]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def set_up(root):
    """What makes a Debian a guest."""
    write(root / "etc/hostname", "guest\n")
    write(root / "etc/fstab", "")
    write(root / "etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    units = root / "etc/systemd/system"
    for name in recipes.MASKED_UNITS:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    shutil.copy(INSIDE / "begin.service", units)
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "begin.service").symlink_to("../begin.service")
    (units / "default.target").unlink(missing_ok=True)
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    program = root / "usr/local/sbin/begin"
    shutil.copy(INSIDE / "begin", program)
    program.chmod(0o755)


def unpack_kernel(log, root, package, folder):
    """Modules into ROOT, the kernel into FOLDER; returns the folder of its modules."""
    tree = folder / "package"
    run(log, ["dpkg-deb", "-x", str(package), str(tree)])
    (kernel,) = tree.glob("boot/vmlinuz-*")
    kernel.rename(folder / "vmlinuz")
    (modules,) = [path for path in tree.glob("**/lib/modules/*") if path.is_dir()]
    target = root / "usr/lib/modules" / modules.name
    shutil.copytree(modules, target, symlinks=True)
    run(log, ["chroot", str(root), "/sbin/depmod", modules.name])
    shutil.rmtree(tree)
    return target


INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sysfs /sys; $B mount -t devtmpfs dev /dev
for module in {modules}; do $B insmod "/modules/$module.ko" || echo "no module $module"; done
tries=0
while [ ! -b /dev/nvme0n1 ] && [ "$tries" -lt 200 ]; do $B sleep 0.1; tries=$((tries + 1)); done
$B mount -t ext4 -o rw /dev/nvme0n1 /new
for folder in dev proc sys; do $B mount --move "/$folder" "/new/$folder"; done
exec $B switch_root /new /sbin/init
"""


def make_initrd(log, modules, names, folder):
    """A file system in memory that loads NAMES, if the kernel has them as modules, and goes on to the root."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        tree = Path(place)
        for name in ("bin", "dev", "proc", "sys", "new", "modules"):
            (tree / name).mkdir()
        shutil.copy(shutil.which("busybox"), tree / "bin/busybox")
        found = []
        for name in names:
            for path in (modules / "kernel").rglob(f"{name}.ko*"):
                target = tree / "modules" / path.name
                shutil.copy(path, target)
                if path.suffix == ".xz":
                    run(log, ["xz", "-d", str(target)])
                found.append(name)
        write(tree / "init", INIT.format(modules=" ".join(found)))
        (tree / "init").chmod(0o755)
        archive = folder / "initrd"
        run(log, ["sh", "-c", f'cd "{tree}" && find . | cpio -o -H newc --quiet >"{archive}"'])


def image(guest, folder, log):
    root = folder / "root"
    debootstrap(log, guest.suite, guest.packages, root, *fetch_kernel(log, guest, folder))
    (package,) = folder.glob("linux-image-*.deb")
    modules = unpack_kernel(log, root, package, folder)
    package.unlink()
    if guest.initrd:
        make_initrd(log, modules, guest.initrd, folder)
    set_up(root)
    for path in (*root.glob("var/lib/apt/lists/*"), *root.glob("var/cache/apt/*.bin")):
        if path.is_file():
            path.unlink()
    size = int(subprocess.check_output(["du", "-sm", "--apparent-size", str(root)]).split()[0])
    image = folder / "root.ext4"
    with open(image, "wb") as file:
        file.truncate((size * 13 // 10 + 300) * MIB)
    run(
        log,
        [
            "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0",
            "-E", "lazy_itable_init=1,nodiscard", "-d", str(root), str(image),
        ],
    )  # fmt: skip
    shutil.rmtree(root)
