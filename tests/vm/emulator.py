# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of a guest in QEMU: what it tells over its second serial line, its console, its end."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time

# Of the kernel. lpj: no calibration on each CPU. no_timer_check: a late timer is no broken one. nmi,
# panic_print: what makes a hung guest show where each of its CPUs is.
COMMAND_LINE = (
    "root=/dev/nvme0n1 rootfstype=ext4 rw console=ttyS0 nokaslr mitigations=off random.trust_cpu=on "
    "audit=0 apparmor=0 selinux=0 cryptomgr.notests raid=noautodetect net.ifnames=0 tsc=reliable "
    "no_timer_check lpj=10400000 quiet systemd.show_status=0 panic=-1 unknown_nmi_panic panic_print=0x40"
)
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
BOOT_LIMIT_SEC = 240
NMI_LIMIT_SEC = 15
CONSOLE_LINES = 200
PANIC, LINES_BEFORE_A_PANIC = "Kernel panic - not syncing", 20


class Ended(Exception):
    """The guest tells nothing more: it is gone, or hangs. The text says which."""


class Broken(Exception):
    """The emulator has died by a signal, which no guest can have it do."""


def nodes(machine):
    """Options for a NUMA node a socket."""
    if machine.sockets == 1:
        return []
    memory, width = machine.memory_mib // machine.sockets, machine.cpus // machine.sockets
    found = []
    for node in range(machine.sockets):
        found += [
            "-object", f"memory-backend-ram,id=memory{node},size={memory}M",
            "-numa", f"node,nodeid={node},memdev=memory{node},cpus={node * width}-{node * width + width - 1}",
        ]  # fmt: skip
        found += [
            word for other in range(node)
            for word in ("-numa", f"dist,src={other},dst={node},val=20")
        ]  # fmt: skip
    return found


def disk(name, path, device, *options):
    drive = ",".join(["if=none", f"id={name}", f"file={path}", "format=raw", *options])
    return ["-drive", drive, "-device", f"{device},drive={name},serial={name}"]


def options(image, machine, payload, folder, extra=""):
    """All but where the serial lines go."""
    shape = f"{machine.cpus},sockets={machine.sockets},cores={machine.cores},threads={machine.threads}"
    return [
        "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,vendor=GenuineIntel",
        "-smp", shape, "-m", str(machine.memory_mib), *nodes(machine),
        "-kernel", str(image.kernel), *(["-initrd", str(image.initrd)] if image.initrd else []),
        "-append", " ".join([COMMAND_LINE, machine.command_line, extra]),
        *disk("root", image.root, "nvme", "snapshot=on", "cache=unsafe"),
        *disk("payload", payload, "virtio-blk-pci", "read-only=on"),
        "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
    ]  # fmt: skip


def last_words(lines):
    """The end of a console's LINES: from shortly before a panic on, which shows each CPU in turn."""
    start = len(lines) - CONSOLE_LINES
    panic = next((number for number, line in enumerate(lines) if PANIC in line), len(lines))
    return lines[max(0, min(start, panic - LINES_BEFORE_A_PANIC)) :]


class Run:
    """A guest that runs tests: `with Run(...) as run: run.next_event(seconds)`."""

    def __init__(self, emulator, image, machine, payload, folder, extra=""):
        command, environment = emulator
        self.folder = folder
        self.console_path = folder / "console"
        self.received = b""
        self.began = time.monotonic()
        with open(folder / "emulator.log", "wb") as log:
            self.process = subprocess.Popen(
                [
                    *DIES_WITH_US, *command, *options(image, machine, payload, folder, extra),
                    "-chardev", f"file,id=console,path={self.console_path}", "-serial", "chardev:console",
                    "-chardev", "stdio,id=results,signal=off", "-serial", "chardev:results",
                ],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env={**os.environ, **environment}, start_new_session=True,
            )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.stop()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()

    def seconds(self):
        return time.monotonic() - self.began

    def console(self):
        """The last lines of the console, all of a panic, and what the emulator has to say."""
        text = ""
        for path in (self.console_path, self.folder / "emulator.log"):
            with contextlib.suppress(FileNotFoundError):
                text += path.read_text(encoding="ascii", errors="replace").replace("\r", "")
        return "\n".join(last_words(text.splitlines()))

    def _wait_for_input(self, deadline):
        left = max(0, deadline - time.monotonic())
        if not select.select([self.process.stdout], [], [], left)[0]:
            self._interrupt()
            raise Ended("it hangs")
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            status = self.process.wait()
            if status < 0:
                raise Broken(f"the emulator has died ({signal.Signals(-status).name})")
            raise Ended(f"it has ended (QEMU's exit status {status})")
        self.received += data

    def next_event(self, limit_sec):
        """What the guest tells next, a dict; Ended."""
        deadline = time.monotonic() + limit_sec
        while True:
            while b"\n" not in self.received:
                self._wait_for_input(deadline)
            line, _newline, self.received = self.received.partition(b"\n")
            with contextlib.suppress(ValueError):  # no JSON, or no text at all
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    return event

    def _interrupt(self):
        """Has a guest that hangs panic by an NMI, which shows on its console where its CPUs are."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(NMI_LIMIT_SEC)
            monitor.connect(str(self.folder / "qmp"))
            for command in ("qmp_capabilities", "inject-nmi"):
                monitor.sendall(json.dumps({"execute": command}).encode() + b"\n")
                monitor.recv(1 << 16)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(NMI_LIMIT_SEC)


def shell(emulator, image, machine, payload, folder, extra=""):
    """A guest whose console is this terminal; Ctrl-A X ends it."""
    command, environment = emulator
    saved = subprocess.run(["stty", "-g"], capture_output=True, text=True, check=False).stdout.strip()
    try:
        return subprocess.run(
            [
                *DIES_WITH_US, *command, *options(image, machine, payload, folder, extra),
                "-chardev", "stdio,id=console,mux=on,signal=off", "-serial", "chardev:console",
                "-mon", "chardev=console", "-chardev", "null,id=results", "-serial", "chardev:results",
            ],
            env={**os.environ, **environment}, check=False,
        ).returncode  # fmt: skip
    finally:
        if saved:
            subprocess.run(["stty", saved], check=False)
