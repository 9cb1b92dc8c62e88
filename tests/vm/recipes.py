# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the guests are: a Debian and a kernel each; and the machines that they are run on.

A change of anything here that goes into an image has that image built anew.
"""

from dataclasses import dataclass

# Emulated guests of Debian 12's QEMU 7.2 oops; a distribution's own from 8.0 on is taken as it is.
EMULATOR_SUITE = "trixie"
EMULATOR_PACKAGES = ("qemu-system-x86",)

# In every image: what the daemon needs, what its tests need, and systemd as process 1.
PACKAGES = (
    "bsdutils",
    "dbus",
    "iproute2",
    "kmod",
    "less",
    "libhwloc15",
    "libjansson4",
    "libnl-3-200",
    "libnl-genl-3-200",
    "libsystemd0",
    "procps",
    "python3",
    "python3-jsonschema",
    "python3-pytest",
    "socat",
    "strace",
    "systemd",
    "systemd-sysv",
    "udev",
    "util-linux",
)

# What of a Debian has no business in a machine that lives for a minute.
MASKED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "ldconfig.service",
    "modprobe@.service",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "proc-sys-fs-binfmt_misc.automount",
    "serial-getty@ttyS0.service",
    "serial-getty@ttyS1.service",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-flush.service",
    "systemd-logind.service",
    "systemd-networkd-wait-online.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-random-seed.service",
    "systemd-timesyncd.service",
    "systemd-update-done.service",
    "systemd-update-utmp.service",
)

# Modules that a kernel needs to find its root where they are not built in, in the order of loading.
ROOT_MODULES = (
    "crc16",
    "mbcache",
    "jbd2",
    "crc32c_generic",
    "ext4",
    "nvme-keyring",
    "nvme-auth",
    "nvme-core",
    "nvme",
)


@dataclass(frozen=True)
class Guest:
    """A kernel on a Debian. Guests of one suite share its packages, not its image."""

    suite: str
    kernel: str  # the package that depends on the newest one of its kind
    packages: tuple = PACKAGES
    initrd: tuple = ()  # modules


GUESTS = {
    "bookworm": Guest("bookworm", "linux-image-cloud-amd64"),
    "trixie": Guest("trixie", "linux-image-cloud-amd64", (*PACKAGES, "bpftrace")),
    "trixie-rt": Guest("trixie", "linux-image-rt-amd64", initrd=ROOT_MODULES),
}


@dataclass(frozen=True)
class Machine:
    """The CPUs of a guest, and what its kernel is told of them."""

    sockets: int = 2  # each a NUMA node
    cores: int = 2
    threads: int = 2
    memory_mib: int = 2048
    command_line: str = ""

    @property
    def cpus(self):
        return self.sockets * self.cores * self.threads


MACHINES = {
    "default": Machine(),
    "isolated": Machine(command_line="isolcpus=domain,2-3"),
    "nohz": Machine(command_line="isolcpus=managed_irq,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3"),
    "sixteen": Machine(cores=4),
    "flat": Machine(sockets=1, cores=4, threads=1),
    "large": Machine(sockets=2, cores=16, memory_mib=4096),
}
