# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every line of the unit is in force, and the daemon does its whole job so; what it lacks it names once."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support import hogs, journald, procfs, tree

from vm.guest import stacks, systemd

MACHINES = ("bookworm/isolated", "trixie/isolated")

CPUSET, WIDER = {2, 3}, {2, 3, 4}
CAP_NET_ADMIN, CAP_SYS_NICE = 1 << 12, 1 << 23
NOBODY = "65534"
EXPOSURE_MAX = 1.7
ALL_FEATURES = {
    "balance": {"tick": "10ms", "rotate": "500ms", "acrossNodes": "always", "realtime": True},
    "observe": "all",
    "taskstats": True,
}

# How `systemctl show` calls and says what the unit says otherwise.
CALLED = {"RestartSec": "RestartUSec", "WatchdogSec": "WatchdogUSec", "TimeoutStopSec": "TimeoutStopUSec"}
SHOWN = {
    "AmbientCapabilities": "cap_net_admin cap_sys_nice",
    "CapabilityBoundingSet": "cap_net_admin cap_sys_nice",
    "BindReadOnlyPaths": "-/sys/fs/cgroup:/dev/cgroup:rbind",
    "LimitMEMLOCK": str(32 << 20),
    "IPAddressDeny": "0.0.0.0/0 ::/0",
    "SystemCallErrorNumber": "1",
}


def lines_of_unit():
    """[(key, value)] of the service's section."""
    text = Path(systemd.shown("FragmentPath")).read_text(encoding="utf-8")
    section = re.search(r"^\[Service\]\n(.*?)^\[", text, re.M | re.S)[1]
    return [tuple(line.split("=", 1)) for line in section.splitlines() if line and line[0] not in "#"]


def in_order(text):
    return " ".join(sorted(text.split()))


def test_systemd_knows_every_line():
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", systemd.SERVICE, systemd.SOCKET],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_line_is_what_systemd_goes_by():
    lines = [(key, value) for key, value in lines_of_unit() if key != "SystemCallFilter"]
    systemd.systemctl("start", "balancerd")
    shown = systemd.properties(*(CALLED.get(key, key) for key, _value in lines))
    assert len(lines) > 40
    for key, value in lines:
        found = shown[CALLED.get(key, key)]
        if key.startswith("Exec"):
            assert f"argv[]={value} ;" in found
        else:
            assert in_order(found) == in_order(SHOWN.get(key, value)), key
    permitted = systemd.shown("SystemCallFilter").split()
    assert {"sched_setaffinity", "capset"} <= set(permitted)
    assert not {"mount", "chown", "ptrace", "bpf", "keyctl", "setuid"} & set(permitted)


def test_the_process_is_confined():
    """What the kernel says of it, not systemd."""
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    status = systemd.status_of(pid)
    assert (status["NoNewPrivs"], status["Seccomp"], status["Umask"]) == ("1", "2", "0077")
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    assert re.search(r"^Max open files +8192 +8192 ", limits, re.M)
    assert re.search(rf"^Max locked memory +{32 << 20} +{32 << 20} ", limits, re.M)
    assert Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii") == "-500\n"
    seen = Path(f"/proc/{pid}/root")
    for path in (".", "etc", "proc/sys", "home", "usr", "dev"):
        assert os.statvfs(seen / path).f_flag & os.ST_RDONLY, path
    assert not os.statvfs(seen / "run/balancerd").f_flag & os.ST_RDONLY
    assert os.listdir(seen / "home") == os.listdir(seen / "tmp") == []
    assert not (seen / "dev/mem").exists()
    for kind in ("mnt", "ipc", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    for kind in ("net", "user", "pid"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}"), kind


def missing(since):
    """The sources that the daemon has named."""
    return sorted(one["BALANCERD_SOURCE"] for one in systemd.entries(since, journald.by_id("MISSING")))


def counts(pid, since):
    """What the daemon counts, asked for by SIGUSR1."""
    os.kill(pid, signal.SIGUSR1)

    def line():
        return [one["MESSAGE"] for one in systemd.entries(since) if one["MESSAGE"].startswith("counts: ")]

    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", systemd.wait_for(line, "counts")[0])}


def test_every_feature_works_so(record_property):
    """Nothing is missing, threads of every kind are moved, and the score is that of the unit."""
    since = systemd.cursor()
    with systemd.configured(ALL_FEATURES):
        systemd.systemctl("start", "balancerd")
        pid = systemd.main_pid()
        # taskstats need it for good.
        assert int(systemd.status_of(pid)["CapEff"], 16) == CAP_NET_ADMIN | CAP_SYS_NICE
        with hogs.stacked(stacks.isolated()) as run:
            run.wait_until_spread()
        with hogs.stacked(stacks.isolated(), threads=2, prefix=["chrt", "--rr", "1"]) as run:
            run.wait_until_spread()
        assert (stacks.status()["missingSources"], missing(since)) == ([], [])
        assert counts(pid, since)["events"] > 0
        assert os.SCHED_FIFO in map(os.sched_getscheduler, procfs.threads_of(pid))
    security = systemd.run("systemd-analyze", "--no-pager", "security", "balancerd", check=False)
    score = float(re.search(r"Overall exposure level for balancerd.service: ([\d.]+)", security)[1])
    assert score <= EXPOSURE_MAX
    record_property("exposure with every feature on [of 10]", score)


def test_hidden_processes_are_no_matter():
    """Whatever the machine's /proc hides: systemd mounts one for the service."""
    since = systemd.cursor()
    systemd.run("mount", "-o", "remount,hidepid=2", "/proc")
    try:
        systemd.systemctl("start", "balancerd")
        assert int(systemd.told(since, "READY")["BALANCERD_THREADS"]) > 50
        assert missing(since) == []
    finally:
        systemd.run("mount", "-o", "remount,hidepid=off", "/proc")


def test_hidden_processes_are_named_once():
    """With hidepid=2 (which ProtectProc= makes of the /proc of its own) it sees its own threads alone, and goes on."""
    since = systemd.cursor()
    with systemd.drop_in("[Service]\nProtectProc=invisible\n"):
        systemd.systemctl("start", "balancerd")
        assert stacks.status()["missingSources"] == ["processes"]
        ready = systemd.told(since, "READY")
        assert int(ready["BALANCERD_THREADS"]) < 10
        assert systemd.told(since, "MISSING")["BALANCERD_SOURCE"] == "processes"
        systemd.systemctl("reload", "balancerd")
        assert missing(since) == ["processes"]


@contextlib.contextmanager
def closed_sysfs():
    """As distributions do that hide the hardware from users."""
    os.chmod("/sys", 0o700)
    try:
        yield
    finally:
        os.chmod("/sys", 0o755)


@contextlib.contextmanager
def stacked_in_cpuset():
    """Hogs that may run on all of a cpuset, whatever that will have; and the cpuset."""
    with stacks.partition(tuple(CPUSET), "member") as arranged, hogs.stacked(arranged) as run:
        for tid in run.told.tids():
            os.sched_setaffinity(tid, range(os.cpu_count()))
        yield run, arranged


def assert_widened(run, arranged):
    """The cpuset gets a CPU more, and so do its threads."""
    tids = run.told.tids()
    assert stacks.masks(tids) == [CPUSET] * len(tids)
    stacks.set_cpus(arranged, WIDER)
    assert stacks.masks(tids) == [WIDER] * len(tids)


def test_a_closed_sysfs_is_named_once():
    """It does with what /proc tells, and with cpusets, which the unit has in another place."""
    since = systemd.cursor()
    with closed_sysfs():
        systemd.systemctl("start", "balancerd")
        with hogs.stacked(stacks.isolated()) as run:
            run.wait_until_spread()
        assert missing(since) == ["hwloc"]
        assert systemd.told(since, "READY")["BALANCERD_UNBALANCED_CPUS"] == "2-3"


def test_with_a_closed_sysfs_masks_grow_with_their_cpusets(cpusets):
    with closed_sysfs():
        systemd.systemctl("start", "balancerd")
        with stacked_in_cpuset() as (run, arranged):
            run.wait_until_spread()
            assert stacks.made_moves(run.told.tids())
            assert_widened(run, arranged)


def test_masks_in_cpusets_that_cannot_be_seen_are_left_alone(cpusets):
    """They may be all that their cpuset has, and are to grow with it."""
    since = systemd.cursor()
    with closed_sysfs(), systemd.drop_in("[Service]\nBindReadOnlyPaths=\n"):
        systemd.systemctl("start", "balancerd")
        assert missing(since) == ["cgroup", "hwloc"]
        with stacked_in_cpuset() as (run, arranged):
            stacks.wait_for(lambda: stacks.refused_moves(run.told.tids()), "a move that is refused")
            assert_widened(run, arranged)
            assert stacks.made_moves(run.told.tids()) == []


def test_executables_of_others_are_no_matter(tmp_path):
    """Whose program nobody may read is balanced as any other."""
    program = tmp_path / "hog"
    shutil.copy(tree.HOG, program)
    program.chmod(0o111)
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o111)
    since = systemd.cursor()
    systemd.systemctl("start", "balancerd")
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    with hogs.stacked(stacks.isolated(), program=program, prefix=user) as run:
        run.wait_until_spread()
    assert missing(since) == []
