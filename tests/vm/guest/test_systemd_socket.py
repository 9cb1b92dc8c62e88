# SPDX-License-Identifier: LGPL-2.1-or-later
"""The socket unit: who asks while no daemon is there is answered by the next."""

import contextlib
import os
import signal
import threading

from support import balancectl, daemon, varlink

from vm.guest import stacks, systemd

MACHINES = ("bookworm/isolated", "trixie/isolated")

UNITS = (systemd.SERVICE, systemd.SOCKET)


def states():
    return systemd.systemctl("is-active", *UNITS, check=False).split()


def asking(stack, count):
    """COUNT clients that have asked and wait."""
    found = [stack.enter_context(stacks.connect()) for _ in range(count)]
    for one in found:
        one.send("io.balancerd.GetStatus")
    return found


def answers(clients):
    """Who answered them."""
    return {one.receive().parameters["pid"] for one in clients}


def test_the_first_client_starts_it():
    """The socket unit alone listens; several ask at once, and one daemon answers all."""
    systemd.systemctl("start", systemd.SOCKET)
    assert states() == ["inactive", "active"]
    with contextlib.ExitStack() as stack:
        clients = asking(stack, 5)
        done = balancectl.run(None, "status")
        assert done.returncode == 0, done.stderr
        pid = systemd.wait_for_start()
        assert answers(clients) == {pid}
    assert f"PID {pid}" in done.stdout
    # Who stops it stops what would start it again.
    systemd.systemctl("stop", "balancerd")
    assert states() == ["inactive", "inactive"]
    done = balancectl.run(None, "status")
    assert "balancerd does not run" in done.stderr
    assert "systemctl start balancerd" in done.stderr
    assert states() == ["inactive", "inactive"]


def test_who_waits_over_a_crash_is_answered():
    """Those that the dead daemon had not taken, and those that come before the next is there."""
    with systemd.drop_in("[Service]\nRestartSec=2s\n"), contextlib.ExitStack() as stack:
        systemd.systemctl("start", "balancerd")
        pid = systemd.main_pid()
        os.kill(pid, signal.SIGSTOP)
        clients = asking(stack, 3)
        os.kill(pid, signal.SIGKILL)
        systemd.wait_for(lambda: systemd.shown("SubState") == "auto-restart", "a restart to come")
        clients += asking(stack, 3)
        assert answers(clients) == {systemd.wait_for_start(after=pid)}
    assert systemd.shown("NFileDescriptorStore") == "2"
    assert states() == ["active", "active"]


def test_a_configuration_that_is_refused():
    """It is not started again for nothing: not by systemd, and not for ever by a client that waits."""
    limit = "[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=1h\n"
    with systemd.drop_in(limit), systemd.configured({"observe": "none"}):
        systemd.systemctl("start", "balancerd", check=False)
        assert systemd.properties("ActiveState", "NRestarts", "ExecMainStatus") == {
            "ActiveState": "failed",
            "NRestarts": "0",
            "ExecMainStatus": str(daemon.REFUSED),
        }
        assert states() == ["failed", "active"]
        with contextlib.ExitStack() as stack:
            asking(stack, 1)
            systemd.wait_for(lambda: states() == ["failed", "failed"], "an end of starts")


class Caller(threading.Thread):
    """Asks again and again, over a new connection each time."""

    def __init__(self):
        super().__init__()
        self.answered, self.refused, self.dropped = [], 0, 0
        self.ends = threading.Event()

    def run(self):
        while not self.ends.is_set():
            try:
                self.answered.append(stacks.status()["pid"])
            except (FileNotFoundError, ConnectionRefusedError):
                self.refused += 1
            except varlink.Closed:
                self.dropped += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exc):
        self.ends.set()
        self.join()


def test_restarted_amid_calls(record_property):
    """One daemon answers until the next does; the store keeps to its two descriptors."""
    systemd.systemctl("start", "balancerd")
    pids = [systemd.main_pid()]
    with Caller() as caller:
        for _ in range(3):
            systemd.wait_for(lambda: pids[-1] in caller.answered, "an answer")
            systemd.systemctl("restart", "balancerd")
            pids.append(systemd.main_pid())
        systemd.wait_for(lambda: pids[-1] in caller.answered, "an answer")
    in_order = [pid for n, pid in enumerate(caller.answered) if pid not in caller.answered[:n]]
    assert in_order == pids
    assert systemd.shown("NFileDescriptorStore") == "2"
    record_property("calls answered amid 3 restarts [calls]", len(caller.answered))
    record_property("calls refused amid 3 restarts [calls]", caller.refused)
    record_property("connections dropped amid 3 restarts [calls]", caller.dropped)


def test_the_socket_unit_stopped_and_restarted():
    """The daemon goes on, and answers; a restart of the service makes it whole again."""
    systemd.systemctl("start", "balancerd")
    pid = systemd.main_pid()
    systemd.systemctl("stop", systemd.SOCKET)
    assert states() == ["active", "inactive"]
    assert stacks.status()["pid"] == pid
    # systemd refuses: the service is active.
    systemd.systemctl("restart", systemd.SOCKET, check=False)
    assert states()[0] == "active"
    assert stacks.status()["pid"] == pid
    systemd.systemctl("reload", "balancerd")
    systemd.systemctl("restart", "balancerd")
    assert states() == ["active", "active"]
    assert stacks.status()["pid"] == systemd.main_pid() != pid
