# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images of the guests, and the emulator: built from Debian's packages, kept until their recipe changes.

Building asks for root, mmdebstrap, e2fsprogs, cpio and busybox-static. A folder below the cache is
named after a hash of all that went into it; it is whole if it is there.
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
from dataclasses import dataclass
from pathlib import Path

import recipes

HERE = Path(__file__).resolve().parent
INSIDE = HERE / "inside"

# Emulated guests of Debian 12's QEMU 7.2 oops; a distribution's own from 8.0 on is taken as it is.
EMULATOR_SUITE = "trixie"
EMULATOR_PACKAGES = ("qemu-system-x86",)

MIB = 1 << 20


class Unable(Exception):
    """An image cannot be made; the text says why."""


@dataclass(frozen=True)
class Image:
    root: Path  # a file system, ext4
    kernel: Path
    initrd: Path  # None: not needed


def cache_folder():
    folder = Path(os.environ.get("BALANCERD_VM_CACHE") or HERE / ".cache")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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


def lacks():
    """What building needs and this machine does not have."""
    programs = ("mmdebstrap", "mke2fs", "cpio", "busybox", "xz", "dpkg-deb")
    found = [name for name in programs if not shutil.which(name)]
    return found + (["root"] if os.geteuid() != 0 else [])


@contextlib.contextmanager
def one_builder(cache):
    """One at a time: the second one finds what the first has built."""
    with open(cache / "lock", "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made(cache, name, recipe, build):
    """The folder that BUILD(folder, log) has filled by RECIPE, of which older ones are dropped."""
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / f"{name}-{digest}"
    with one_builder(cache):
        if not folder.is_dir():
            if lacking := lacks():
                raise Unable(f"{folder.name} cannot be built without {', '.join(lacking)}")
            print(f"building {folder.name}", flush=True)
            work = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
            try:
                build(work, cache / f"{name}.log")
                for old in cache.glob(f"{name}-{'[0-9a-f]' * 16}"):
                    shutil.rmtree(old)
                work.rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return folder


# The emulator.


def own_emulator():
    """The emulator of this machine, if it is new enough."""
    program = shutil.which("qemu-system-x86_64")
    if not program:
        return None
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.split()
    version = words[words.index("version") + 1] if "version" in words else "0"
    return [program] if int(version.split(".")[0]) >= 8 else None


def build_emulator(folder, log):
    debootstrap(log, EMULATOR_SUITE, EMULATOR_PACKAGES, folder / "root")


def emulator(cache):
    """The command that QEMU's options are added to. One of another Debian runs by its own loader."""
    own = own_emulator()
    if own:
        return own, {}
    recipe = [EMULATOR_SUITE, EMULATOR_PACKAGES]
    root = made(cache, "emulator", recipe, build_emulator) / "root"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    command = [
        root / "lib64/ld-linux-x86-64.so.2", "--library-path", libraries,
        root / "usr/bin/qemu-system-x86_64", "-L", root / "usr/share/qemu", "-L", root / "usr/share/seabios",
    ]  # fmt: skip
    return [str(word) for word in command], {"QEMU_MODULE_DIR": str(libraries / "qemu")}


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
$B mount -t ext4 -o rw /dev/nvme0n1 /root
for folder in dev proc sys; do $B mount --move "/$folder" "/root/$folder"; done
exec $B switch_root /root /sbin/init
"""


def build_initrd(log, modules, names, folder):
    """A file system in memory that loads NAMES, if the kernel has them as modules, and goes on to the root."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        tree = Path(place)
        for name in ("bin", "dev", "proc", "sys", "root", "modules"):
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


def build_image(guest, folder, log):
    root = folder / "root"
    debootstrap(log, guest.suite, guest.packages, root, *fetch_kernel(log, guest, folder))
    (package,) = folder.glob("linux-image-*.deb")
    modules = unpack_kernel(log, root, package, folder)
    package.unlink()
    if guest.initrd:
        build_initrd(log, modules, guest.initrd, folder)
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


def image(cache, name):
    guest = recipes.GUESTS[name]
    inside = {path.name: path.read_text(encoding="ascii") for path in sorted(INSIDE.iterdir()) if path.is_file()}
    recipe = [dataclasses.asdict(guest), recipes.MASKED_UNITS, inside, Path(__file__).read_text(encoding="utf-8")]
    folder = made(cache, f"guest-{name}", recipe, lambda work, log: build_image(guest, work, log))
    initrd = folder / "initrd"
    return Image(folder / "root.ext4", folder / "vmlinuz", initrd if initrd.exists() else None)
