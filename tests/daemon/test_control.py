"""The control socket answers its owner, and survives whoever else talks to it."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enforcer.control import (
    LIMIT_BYTES,
    ControlSocket,
    HeldError,
    HungDaemonError,
    NoDaemonError,
    ask,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[ControlSocket, list[tuple[dict[str, Any], str]]]]:
    control = ControlSocket(tmp_path)
    seen: list[tuple[dict[str, Any], str]] = []
    stop = threading.Event()

    def handle(request: dict[str, Any], who: str) -> dict[str, Any]:
        seen.append((request, who))
        return {"error": None, "verb": request["verb"]}

    def serve() -> None:
        while not stop.is_set():
            if select.select([control], [], [], 0.05)[0]:
                control.serve_one(handle)

    thread = threading.Thread(target=serve)
    thread.start()
    yield control, seen
    stop.set()
    thread.join()
    control.close()


def test_a_request_is_answered_and_the_peer_is_known(
    server: tuple[ControlSocket, list[tuple[dict[str, Any], str]]], tmp_path: Path
) -> None:
    assert ask(tmp_path, "status", depth=1) == {"error": None, "verb": "status"}
    request, who = server[1][0]
    assert request == {"verb": "status", "depth": 1}
    assert who.startswith(f"root (uid 0, pid {os.getpid()}, program ") or os.getuid()


def test_only_owner_and_group_may_ask(
    server: tuple[ControlSocket, list[tuple[dict[str, Any], str]]],
) -> None:
    assert server[0].path.stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize(
    "sent", [b"\n", b"[]\n", b"{}\n", b'{"verb": 3}\n', b"[" * 60_000 + b"\n", b"\xff\xfe\n"]
)
def test_nonsense_is_answered_with_an_error(
    server: tuple[ControlSocket, list[tuple[dict[str, Any], str]]], sent: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(server[0].path))
        client.sendall(sent)
        assert b'"error"' in client.recv(4096)
    assert server[1] == []


def test_a_silent_or_endless_client_holds_nobody_up(
    server: tuple[ControlSocket, list[tuple[dict[str, Any], str]]], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as endless:
        silent.connect(str(server[0].path))
        endless.connect(str(server[0].path))
        try:
            for _ in range(4):
                endless.sendall(b"x" * LIMIT_BYTES)
        except OSError:
            pass
        assert ask(tmp_path, "status")["error"] is None


def test_two_daemons_cannot_share_a_socket(
    server: tuple[ControlSocket, list[tuple[dict[str, Any], str]]], tmp_path: Path
) -> None:
    with pytest.raises(FileExistsError, match="running daemon"):
        ControlSocket(tmp_path)


def test_a_socket_left_by_a_killed_daemon_is_taken_over(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "control.sock"))
    stale.close()
    ControlSocket(tmp_path).close()


def test_no_daemon_is_said_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(NoDaemonError, match=r"control\.sock: no daemon answers"):
        ask(tmp_path, "status")


def test_a_daemon_that_hangs_keeps_its_place(tmp_path: Path) -> None:
    """It serves nobody; a second one is refused all the same, and leaves its socket alone."""
    hung = ControlSocket(tmp_path)
    with pytest.raises(HeldError):
        ControlSocket(tmp_path)
    assert hung.path.exists()
    hung.close()
    assert not hung.path.exists()
    ControlSocket(tmp_path).close()


def test_what_hangs_and_what_is_forbidden_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enforcer.control.ANSWER_S", 0.05)
    hung = ControlSocket(tmp_path)
    with pytest.raises(HungDaemonError, match=r"does not answer within 0\.05 s; it may hang"):
        ask(tmp_path, "status")
    hung.close()
