"""The real daemon on a disk that hangs: each fsync stands still, by strace, until it is let go.

Windows open and close all the same, what people end is ended, what would open is refused; and the
record has everything, in order, once the disk answers.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.observe.audit_verify import verify_directory
from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually, stop
from tests.kernel.slowness import whole
from tests.kernel.test_record import told, whats

pytestmark = pytest.mark.kernel

SYNC = "fsync,fdatasync"


class HangingDisk:
    """`hang` stops every fsync of a process from now on, `let_go` ends that."""

    def __init__(self, folder: Path) -> None:
        self._trace = folder / "fsync.trace"
        self._strace: subprocess.Popen[str] | None = None

    def hang(self, pid: int) -> None:
        command = ["strace", "-f", "-p", str(pid), "-e", f"trace={SYNC}", "-o", str(self._trace)]
        self._strace = subprocess.Popen(
            [*command, "-e", f"inject={SYNC}:delay_enter=3600s"], stderr=subprocess.PIPE, text=True
        )
        assert self._strace.stderr is not None
        assert f"Process {pid} attached" in self._strace.stderr.readline()

    @property
    def holds(self) -> bool:
        """One fsync has begun, and none has ended."""
        trace = self._trace.read_text()
        return "sync(" in trace and " = " not in trace and "resumed" not in trace

    def let_go(self, how: signal.Signals = signal.SIGINT) -> None:
        if self._strace is not None:
            self._strace.send_signal(how)
            self._strace.communicate(timeout=PATIENCE_S)
            self._strace = None


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[HangingDisk]:
    made = HangingDisk(tmp_path)
    try:
        yield made
    finally:
        made.let_go(signal.SIGKILL)


def opened_while_it_hangs(
    gateway: Gateway, disk: HangingDisk, window: str
) -> subprocess.Popen[str]:
    """A daemon whose window has opened, and the record of it hangs."""
    gateway.write_windows(window)
    process = gateway.start()
    eventually(lambda: whats(gateway.state_dir) == ["declared"])
    disk.hang(process.pid)
    eventually(gateway.armed, "it opens")
    eventually(lambda: disk.holds, "its record hangs")
    return process


def test_a_window_opens_and_closes_while_the_disk_hangs_and_all_of_it_is_on_record(
    gateway: Gateway, disk: HangingDisk
) -> None:
    process = opened_while_it_hangs(gateway, disk, gateway.window(6, 12))
    eventually(lambda: not gateway.hooks(), "it closes")
    assert disk.holds
    problem = gateway.status()["audit"]["problem"]
    assert problem.startswith("the disk has not answered for ")
    assert gateway.metrics()["enforcer_audit_waiting_records"] == 2
    disk.let_go()
    eventually(lambda: whats(gateway.state_dir) == ["declared", "armed", "ended"])
    ended = told(gateway.state_dir)[2]
    assert (ended["why"], ended["seen"]) == ("end", True)
    eventually(lambda: gateway.status()["audit"]["problem"] is None)
    assert gateway.metrics()["enforcer_audit_waiting_records"] == 0
    assert stop(process) == 0
    assert gateway.run("audit", "verify").returncode == 0
    assert "error audit_late problem=" in gateway.said()


def test_killed_while_the_disk_hangs_the_chain_goes_on(gateway: Gateway, disk: HangingDisk) -> None:
    process = opened_while_it_hangs(gateway, disk, gateway.window(5, 3600))
    process.kill()
    disk.let_go(signal.SIGKILL)
    process.wait(PATIENCE_S)
    process = gateway.start()
    assert gateway.run("close", "ddos").returncode == 0
    assert stop(process) == 0
    assert whats(gateway.state_dir) == ["declared", "armed", "closed", "ended"]
    assert verify_directory(gateway.state_dir).ok


def test_while_the_disk_hangs_what_ends_is_done_and_what_opens_is_refused_and_no_edge_waits(
    gateway: Gateway, disk: HangingDisk
) -> None:
    standby = gateway.window(-60, 7200, "  provisional: true\n").replace("id: ddos", "id: standby")
    standby = standby.replace("    reserve: {link: wan, share: 40%}\n", "")
    soon_s = time.monotonic() + whole(8) - 1.5
    gateway.write_windows(gateway.window(8, 3600) + standby)
    process = gateway.start()
    eventually(lambda: whats(gateway.state_dir) == ["declared", "declared"])
    disk.hang(process.pid)
    # Asked just before the window opens, and patient for longer than that.
    time.sleep(max(0.0, soon_s - time.monotonic()))
    confirmed = gateway.run("confirm", "standby")
    assert (confirmed.returncode, confirmed.stdout) == (1, "")
    assert confirmed.stderr == (
        f"enforcer: {gateway.state_dir}: the disk does not answer; what opens a window must be on "
        "the record: see to the disk, then again\n"
    )
    said = gateway.said()
    assert said.index(" armed=ddos ") < said.index("refused verb=confirm")
    assert gateway.armed(), "the confirmation waited, and the window did not"
    assert gateway.status()["armed"] == ["ddos"]
    closed = gateway.run("close", "ddos")
    assert closed.returncode == 0
    assert closed.stderr == (
        f"{gateway.state_dir}: the disk does not answer; it is done, but a restart would open it "
        "again\n"
    )
    assert not gateway.armed()
    assert disk.holds
    disk.let_go()
    eventually(lambda: whats(gateway.state_dir)[-1] == "ended")
    record = [(v["what"], v["window"]) for v in told(gateway.state_dir)[2:]]
    # Whether the window opened before or while the confirmation waited is the machine's business.
    record.remove(("refused", "standby"))
    assert record == [("armed", "ddos"), ("closed", "ddos"), ("ended", "ddos")]
    stop(process, signal.SIGKILL)
    gateway.start()
    assert gateway.status()["armed"] == [], "neither comes back"
    assert verify_directory(gateway.state_dir).ok
