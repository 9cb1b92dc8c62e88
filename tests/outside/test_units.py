# SPDX-License-Identifier: LGPL-2.1-or-later
"""The units as built: systemd reads them without complaint, and they fit the program."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import daemon, tree, units

SERVICE = units.read("balancerd.service")
SOCKET = units.read("balancerd.socket")
NOTIFY = (tree.SOURCE / "src/balancerd/notify.c").read_text()

# What the issue of hardening is measured by, of 10; systemd's own oomd has 2.0.
EXPOSURE_MAX = 1.7


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


@pytest.fixture
def installed(tmp_path):
    """The units in a folder of their own, with the program as built."""
    for name in ("balancerd.service", "balancerd.socket"):
        text = (tree.BUILD / "systemd" / name).read_text()
        text = re.sub(r"(?<==)\S*/balancerd(?=$| --)", str(tree.BALANCERD), text, flags=re.M)
        text = re.sub(r"(?<==)\S*/balancectl(?= )", str(tree.BUILD / "balancectl"), text)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_systemd_verifies_them(installed):
    need("systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "./balancerd.service", "./balancerd.socket"],
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_verifying_can_fail(installed):
    need("systemd-analyze")
    with (installed / "balancerd.service").open("a") as file:
        file.write("[Service]\nProtectSistem=strict\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "./balancerd.service"],
        cwd=installed, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "ProtectSistem" in done.stderr


def test_exposure(installed):
    need("systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "./balancerd.service"],
        cwd=installed, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "offline" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at files")
    (level,) = re.findall(r"Overall exposure level for balancerd.service: ([\d.]+)", done.stdout)
    assert float(level) <= EXPOSURE_MAX


def test_program_is_the_installed_one():
    makefile = (tree.BUILD / "Makefile").read_text()
    prefix = re.search(r"^prefix = (.*)$", makefile, re.M)[1]
    program = SERVICE["Service"]["ExecStart"][0]
    assert program == f"{prefix}/sbin/balancerd"
    assert SERVICE["Service"]["ExecStopPost"] == [f"{program} --restore"]


def test_names_are_those_of_the_program():
    (path,) = SOCKET["Socket"]["ListenStream"]
    helped = subprocess.check_output([tree.BALANCERD, "--help"], text=True)
    assert Path(path).parent == Path(re.search(r"--runtime-dir DIR .*\[(.+)\]", helped)[1])
    socket_name = re.search(r'SOCKET_NAME "(.+)"', (tree.SOURCE / "src/api/socket.h").read_text())[1]
    assert Path(path).name == socket_name
    (name,) = SOCKET["Socket"]["FileDescriptorName"]
    assert f'#define LISTENER_NAME "{name}"' in NOTIFY
    assert SERVICE["Service"]["RuntimeDirectory"] == [Path(path).parent.name]


def test_socket_is_for_everyone_and_ends_with_the_service():
    assert SOCKET["Socket"]["SocketMode"] == ["0666"]
    assert SOCKET["Unit"]["PartOf"] == ["balancerd.service"]
    # Neither the socket nor a ledger with something in it goes when the service does.
    assert SERVICE["Service"]["RuntimeDirectoryPreserve"] == ["yes"]
    assert SERVICE["Install"]["Also"] == ["balancerd.socket"]


def test_user_and_folders_are_made():
    user = SERVICE["Service"]["User"][0]
    group = SERVICE["Service"]["Group"][0]
    lines = (tree.SOURCE / "systemd/sysusers.d/balancerd.conf").read_text().splitlines()
    assert [line.split()[:2] for line in lines if line[:1] not in "#"] == [["u", user]]
    folders = (tree.BUILD / "systemd/tmpfiles.d/balancerd.conf").read_text().splitlines()
    made = [line.split() for line in folders if line[:1] not in "#"]
    run = str(Path(SOCKET["Socket"]["ListenStream"][0]).parent)
    private = re.search(r'RUNDIR_PRIVATE "(.+)"', (tree.SOURCE / "src/balancerd/rundir.h").read_text())[1]
    assert made == [
        ["d", run, "0755", user, group, "-"],
        ["d", f"{run}/{private}", "0700", user, group, "-"],
    ]


def test_systemd_reads_user_and_folders(tmp_path):
    need("systemd-sysusers")
    need("systemd-tmpfiles")
    if os.geteuid() != 0:
        pytest.skip("only root can make users and give folders to them")
    for folder in ("etc", "run"):
        (tmp_path / folder).mkdir()
    for command in (
        ["systemd-sysusers", f"--root={tmp_path}", tree.SOURCE / "systemd/sysusers.d/balancerd.conf"],
        ["systemd-tmpfiles", f"--root={tmp_path}", "--create",
         tree.BUILD / "systemd/tmpfiles.d/balancerd.conf"],
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert re.search(r"^balancerd:x:\d+:\d+:.*:/usr/sbin/nologin$",
                     (tmp_path / "etc/passwd").read_text(), re.M)  # fmt: skip
    uid = int(re.search(r"^balancerd:x:(\d+):", (tmp_path / "etc/passwd").read_text(), re.M)[1])
    private = tmp_path / "run/balancerd/private"
    assert (private.stat().st_uid, private.stat().st_mode & 0o7777) == (uid, 0o700)
    assert (private.parent.stat().st_uid, private.parent.stat().st_mode & 0o7777) == (uid, 0o755)


def test_there_is_room_for_what_is_stored_and_kept():
    stored = len(re.findall(r'^#define \w+_NAME +"', NOTIFY, re.M))
    assert int(SERVICE["Service"]["FileDescriptorStoreMax"][0]) >= stored
    handles = re.search(r"HANDLES_MAX (\d+)U", (tree.SOURCE / "src/engine/balancer.c").read_text())[1]
    assert int(SERVICE["Service"]["LimitNOFILE"][0]) >= int(handles) + 1024


def test_reload_waits_for_what_comes_of_it():
    """test_sandbox.py runs it."""
    prefix = re.search(r"^prefix = (.*)$", (tree.BUILD / "Makefile").read_text(), re.M)[1]
    assert SERVICE["Service"]["ExecReload"] == [f"{prefix}/bin/balancectl reload"]


def seconds(key):
    return int(re.fullmatch(r"(\d+)s", SERVICE["Service"][key][0])[1])


def test_times_fit_the_program():
    """What it waits for at its end is not cut off, and no quiet time is taken for a standstill."""
    narrowings = (tree.SOURCE / "src/engine/narrowings.h").read_text()
    wait = int(re.search(r"NARROWING_BIRTH_LIMIT_NSEC \((\d+) \* NSEC_PER_SEC\)", narrowings)[1])
    assert seconds("TimeoutStopSec") >= 2 * wait
    assert seconds("WatchdogSec") > wait
    assert 0 < seconds("RestartSec") < seconds("WatchdogSec")


def test_it_is_started_again_however_often_it_dies():
    """Restarts alone never come to the limit; where it would be refused again there are none."""
    interval = int(re.fullmatch(r"(\d+)s", SERVICE["Unit"]["StartLimitIntervalSec"][0])[1])
    assert int(SERVICE["Unit"]["StartLimitBurst"][0]) > interval / seconds("RestartSec") + 1
    main = (tree.SOURCE / "src/balancerd/main.c").read_text()
    refused = re.search(r"^#define EXIT_REFUSED (\d+)$", main, re.M)[1]
    assert SERVICE["Service"]["RestartPreventExitStatus"] == [refused] == [str(daemon.REFUSED)]


# What neither a test of its own nor a run of the program holds to its place, but for paths.
SERVICE_HAS = {
    "Type": "notify",
    "NotifyAccess": "main",
    "Restart": "on-failure",
    "FileDescriptorStoreMax": "16",
    "RuntimeDirectoryPreserve": "yes",
    "LimitMEMLOCK": "32M",
    "OOMScoreAdjust": "-500",
    "User": "balancerd",
    "Group": "balancerd",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateMounts": "yes",
    "PrivateDevices": "yes",
    "DevicePolicy": "closed",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "BindReadOnlyPaths": "-/sys/fs/cgroup:/dev/cgroup",
    "PrivateIPC": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RemoveIPC": "yes",
    "KeyringMode": "private",
    "UMask": "0077",
    "RestrictAddressFamilies": "AF_UNIX AF_NETLINK",
    "IPAddressDeny": "any",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
}
SOCKET_HAS = {"FileDescriptorName": "varlink", "SocketMode": "0666", "DirectoryMode": "0755"}


@pytest.mark.parametrize(("key", "value"), SERVICE_HAS.items())
def test_service_has(key, value):
    assert SERVICE["Service"][key] == [value]


@pytest.mark.parametrize(("key", "value"), SOCKET_HAS.items())
def test_socket_has(key, value):
    assert SOCKET["Socket"][key] == [value]


def test_both_begin_at_boot_and_in_order():
    assert SERVICE["Install"]["WantedBy"] == ["multi-user.target"]
    assert SOCKET["Install"]["WantedBy"] == ["sockets.target"]
    assert SERVICE["Unit"]["Wants"] == SERVICE["Unit"]["After"] == ["balancerd.socket"]
    assert SERVICE["Unit"]["Documentation"] == SOCKET["Unit"]["Documentation"] == ["man:balancerd(8)"]


def test_system_calls_are_filtered():
    assert SERVICE["Service"]["SystemCallFilter"] == ["@system-service", "~@privileged @keyring", "capset"]


def test_no_line_is_held_by_nothing():
    """Whoever adds one says here what holds it."""
    elsewhere = {
        "ExecStart", "ExecReload", "ExecStopPost", "RestartSec", "RestartPreventExitStatus", "WatchdogSec",
        "TimeoutStopSec", "RuntimeDirectory", "LimitNOFILE", "AmbientCapabilities", "CapabilityBoundingSet", "SystemCallFilter",
    }  # fmt: skip
    assert set(SERVICE["Service"]) == set(SERVICE_HAS) | elsewhere
    assert set(SOCKET["Socket"]) == set(SOCKET_HAS) | {"ListenStream"}


def test_every_capability_has_its_reason():
    given = SERVICE["Service"]["AmbientCapabilities"][0].split()
    assert SERVICE["Service"]["CapabilityBoundingSet"] == [" ".join(given)]
    text = (tree.SOURCE / "systemd/balancerd.service.in").read_text()
    assert [name for name in given if not re.search(rf"^# {name}: ", text, re.M)] == []
