"""The record of the real daemon: what is on it, and what a full or read-only disk does to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from enforcer.control import ask
from enforcer.observe.audit_files import records
from enforcer.observe.audit_verify import verify_directory
from tests.cli.cli_worlds import MAIN
from tests.kernel.daemon_process import Gateway, eventually, knock, stop
from tests.kernel.slowness import patient

pytestmark = pytest.mark.kernel

BY_US = f"(uid {os.getuid()}, pid "


def told(directory: Path) -> list[dict[str, Any]]:
    return [dict(r.values) for r in records(directory)]


def whats(directory: Path) -> list[str]:
    return [v["what"] for v in told(directory)]


def test_the_life_of_a_window_is_on_record_with_who_and_how_much(gateway: Gateway) -> None:
    process = gateway.start()
    knock(gateway.namespace)
    knock(gateway.namespace)
    assert gateway.run("confirm", "ddos").returncode == 1
    gateway.config.write_text(MAIN.replace("lease: 10m", "lease: soon"))
    process.send_signal(signal.SIGHUP)
    eventually(lambda: whats(gateway.state_dir).count("refused") == 2)
    gateway.config.write_text(MAIN)
    gateway.inside("nft", "flush", "chain", "inet", "enforcer", "guard.ddos")
    eventually(lambda: "repaired" in whats(gateway.state_dir))
    assert gateway.run("close", "ddos").returncode == 0
    assert gateway.run("disarm").returncode == 0
    assert stop(process) == 0
    record = told(gateway.state_dir)
    assert [v["what"] for v in record] == [
        *("declared", "armed", "refused", "refused", "repaired", "closed", "ended", "disarmed"),
    ]
    declared, armed, not_confirmed, not_loaded, repaired, closed, ended, disarmed = record
    assert all(len(v["policy"]) == len(v["registry"]) == 16 for v in record)
    assert (declared["who"], declared["cause"], armed["who"]) == ("enforcer", "start", "enforcer")
    assert not_confirmed["why"].startswith('"ddos" is not provisional')
    assert (not_confirmed["verb"], not_confirmed["window"]) == ("confirm", "ddos")
    assert (not_loaded["cause"], not_loaded["places"]) == ("SIGHUP", ["enforcer.yaml:2"])
    assert repaired["by"].startswith("nft (")
    assert all(BY_US in v["who"] for v in (not_confirmed, closed, disarmed))
    assert (ended["why"], ended["ended_by"], ended["seen"]) == ("closed", closed["who"], True)
    held = [r["packets"] for r in ended["totals"] if r["verdict"] == "held_back"]
    assert held == [2]
    assert gateway.run("audit", "verify").returncode == 0
    assert "192.0.2.99" not in (gateway.state_dir / "audit.jsonl").read_text()


def test_a_configuration_refused_at_the_start_is_on_record(gateway: Gateway) -> None:
    gateway.config.write_text(MAIN.replace("lease: 10m", "lease: soon"))
    assert gateway.run("run").returncode == 78
    (refused,) = told(gateway.state_dir)
    assert (refused["what"], refused["cause"], refused["errors"]) == ("refused", "start", 1)


class Disk:
    """The gateway's daemon on a small disk of its own, in the daemon's own mount namespace."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        mount = f'mount -t tmpfs -o size=64k tmpfs "{gateway.state_dir}" && exec "$@"'
        self.process = gateway.start("sh", "-c", mount, "sh")
        self.directory = Path(f"/proc/{self.process.pid}/root{gateway.state_dir}")
        self.stuffing = self.directory / "stuffing"

    def fill(self) -> None:
        with contextlib.suppress(OSError), self.stuffing.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        # Until the page that the record has already is full as well.
        while self.problem() is None:
            ask(self.gateway.run_dir, "disarm")

    def remount(self, how: str) -> None:
        inside = ["nsenter", "-m", "-t", str(self.process.pid)]
        command = [*inside, "mount", "-o", f"remount,{how}", str(self.gateway.state_dir)]
        subprocess.run(command, check=True, timeout=patient(20))

    def problem(self) -> str | None:
        problem: str | None = self.gateway.status()["audit"]["problem"]
        return problem


@pytest.fixture
def disk(gateway: Gateway) -> Disk:
    gateway.write(windows=gateway.window(3600, 7200))
    return Disk(gateway)


@pytest.mark.parametrize(("how", "fact"), [("full", "No space"), ("ro", "Read-only")])
def test_a_disk_that_takes_nothing_stops_no_window_and_is_said_and_counted(
    disk: Disk, how: str, fact: str
) -> None:
    gateway = disk.gateway
    eventually(lambda: "declared" in whats(disk.directory))
    disk.fill() if how == "full" else disk.remount("ro")
    gateway.write_windows(gateway.window(-60, 3600))
    disk.process.send_signal(signal.SIGHUP)
    eventually(gateway.armed, "the window opens all the same")
    assert fact in (eventually(disk.problem) or "")
    assert "the record cannot be written" in gateway.run("status").stdout
    told_of = gateway.metrics()
    assert told_of["enforcer_audit_waiting_records"] >= 2
    assert told_of["enforcer_audit_write_failures_total"] >= 1
    assert "error audit_not_written" in gateway.said()
    done = gateway.run("close", "ddos")
    assert done.returncode == 0
    assert "it is done, but a restart would open it again" in done.stderr
    assert not gateway.armed()
    disk.stuffing.unlink() if how == "full" else disk.remount("rw")
    eventually(lambda: disk.problem() is None, "it is written again")
    told_late = [what for what in whats(disk.directory) if what != "disarmed"]
    assert told_late[1:] == ["declared", "armed", "closed", "ended", "late"]
    assert verify_directory(disk.directory).ok
    assert gateway.metrics()["enforcer_audit_waiting_records"] == 0
    assert "warning audit_written_again" in gateway.said()
