"""systemd hears what it asked for, and nothing breaks where there is none."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.notify import notify, patience, watchdog_interval_s


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd listens at."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(path))
        made.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield made


def test_assignments_reach_the_service_manager(manager: socket.socket) -> None:
    notify("READY=1", "STATUS=no window armed")
    assert manager.recv(4096) == b"READY=1\nSTATUS=no window armed"


def test_a_manager_that_is_gone_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("30000000", "", 15.0),
        pytest.param("30000000", str(os.getpid()), 15.0, id="ours"),
        ("30000000", "1", None),
        ("0", "", None),
        ("soon", "", None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert watchdog_interval_s() == seconds


def test_while_a_load_goes_on_the_watchdog_waits_longer_and_then_as_long_as_before(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enforcer.notify._ready", threading.Event())
    with patience():
        notify("nobody asked for a watchdog")
    assert manager.recv(4096) == b"nobody asked for a watchdog"
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with patience():
        notify("READY=1")
    assert manager.recv(4096) == b"READY=1", "before it nothing is said"
    with patience():
        assert manager.recv(4096) == b"WATCHDOG_USEC=120000000"
    assert manager.recv(4096) == b"WATCHDOG=1\nWATCHDOG_USEC=30000000"
