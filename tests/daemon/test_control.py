"""The control socket answers its owner, and survives whoever else talks to it."""

from __future__ import annotations

import grp
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from enforcer.control import (
    DeniedError,
    HungDaemonError,
    NoDaemonError,
    ask,
    listens,
)
from enforcer.listening import CLIENT_S, LIMIT_BYTES, ControlSocket, HeldError


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


def test_a_client_that_drips_is_let_go_and_costs_nobody_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, and never the last one; the clock is the test's."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    control = ControlSocket(tmp_path)
    asked: list[Any] = []

    def handle(request: dict[str, Any], who: str) -> dict[str, Any]:
        asked.append(request)
        return {"error": None}

    with socket.socket(socket.AF_UNIX) as dripping:
        dripping.connect(str(control.path))
        for byte in b'{"verb"':
            dripping.send(bytes([byte]))
            control.serve_one(handle)
            now[0] += CLIENT_S / 10
        now[0] += CLIENT_S
        control.serve_one(handle)
        assert dripping.recv(1) == b"", "it was let go"
    assert asked == []
    control.close()


def test_of_too_many_the_one_who_waits_longest_gives_way(tmp_path: Path) -> None:
    control = ControlSocket(tmp_path)
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(40)]
        for client in silent:
            client.connect(str(control.path))
        control.serve_one(lambda request, who: {"error": None})
        with socket.socket(socket.AF_UNIX) as speaking:
            speaking.connect(str(control.path))
            speaking.sendall(b'{"verb": "status"}\n')
            control.serve_one(lambda request, who: {"error": None})
            assert speaking.recv(4096) == b'{"error": null}\n'
        assert silent[0].recv(1) == b""
        with pytest.raises(BlockingIOError):
            silent[-1].recv(1, socket.MSG_DONTWAIT)
    control.close()


def test_a_daemon_that_turns_everybody_away_is_not_taken_for_none(tmp_path: Path) -> None:
    """To act in its place would be to act against it."""
    with socket.socket(socket.AF_UNIX) as short:
        short.bind(str(tmp_path / "control.sock"))
        short.listen(8)
        stop = threading.Event()

        def turn_away() -> None:
            short.settimeout(0.05)
            while not stop.is_set():
                with suppress(TimeoutError):
                    short.accept()[0].close()

        thread = threading.Thread(target=turn_away)
        thread.start()
        with pytest.raises(DeniedError, match="hangs up without an answer"):
            ask(tmp_path, "disarm")
        stop.set()
        thread.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    ("gid", "remedy"),
    [
        (0, "run as root"),
        (grp.getgrnam("nogroup").gr_gid, "run as root or as a member of group nogroup"),
        (48_151, "run as root or as a member of group 48151"),
    ],
)
def test_who_must_not_ask_is_told_who_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gid: int, remedy: str
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("enforcer.control._connect", denied)
    os.chown(tmp_path, -1, gid)
    # One who must not look into the directory sees whose that is.
    with pytest.raises(DeniedError, match=f"control.sock: no permission; {remedy}$"):
        ask(tmp_path, "status")
    (tmp_path / "control.sock").touch()
    os.chown(tmp_path / "control.sock", -1, gid)
    os.chown(tmp_path, -1, 1)
    with pytest.raises(DeniedError, match=f"control.sock: no permission; {remedy}$"):
        ask(tmp_path, "status")


def said(control: ControlSocket, verb: str) -> socket.socket:
    """A client that has said its line."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(control.path))
    client.sendall(f'{{"verb": "{verb}"}}\n'.encode())
    return client


class Busy:
    """A loop whose every request takes a while, by the test's clock, and whose clients come in the
    middle of the first one.
    """

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch, takes_s: float) -> None:
        self.control, self.served = ControlSocket(directory), list[str]()
        self.meanwhile: list[str] = []
        self.clients: list[socket.socket] = []
        self._now_s, self._takes_s = 1000.0, takes_s
        patch.setattr(time, "monotonic", lambda: self._now_s)

    def turn(self) -> bool:
        """One turn of the loop; False when nothing wakes it."""
        woken = bool(select.select([self.control], [], [], 0)[0])
        self.control.serve_one(self._handle)
        return woken

    def _handle(self, request: dict[str, Any], who: str) -> dict[str, Any]:
        self.served.append(request["verb"])
        self._now_s += self._takes_s
        self.clients += [said(self.control, verb) for verb in self.meanwhile]
        self.meanwhile = []
        return {"error": None}

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.control.close()


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    made = Busy(tmp_path, monkeypatch, CLIENT_S + 1)
    yield made
    made.close()


def test_who_has_spoken_is_heard_however_long_it_took(busy: Busy) -> None:
    busy.clients.append(said(busy.control, "reload"))
    busy.meanwhile = ["declared", "close", "status"]
    turns = 0
    while busy.turn():
        turns += 1
    assert busy.served == ["reload", "declared", "close", "status"]
    assert turns == 4, "one at a time, and woken for each"
    assert [client.recv(100) for client in busy.clients] == [b'{"error": null}\n'] * 4


def test_what_ends_everything_comes_first(busy: Busy) -> None:
    busy.clients.append(said(busy.control, "reload"))
    busy.meanwhile = ["reload", "declared", "disarm"]
    while busy.turn():
        pass
    assert busy.served == ["reload", "disarm", "reload", "declared"]


def test_of_too_many_who_have_spoken_none_is_let_go(busy: Busy) -> None:
    busy.clients = [said(busy.control, "status") for _ in range(40)]
    for _ in range(40):
        assert busy.turn()
    assert not busy.turn()
    assert [client.recv(100) for client in busy.clients] == [b'{"error": null}\n'] * 40


@pytest.mark.parametrize("verb", ["confirm", "declared"])
def test_what_opens_something_is_not_done_for_who_has_gone(busy: Busy, verb: str) -> None:
    """They were told that it failed; and who only says no more is still there."""
    said(busy.control, verb).close()
    busy.clients.append(said(busy.control, verb))
    busy.clients[0].shutdown(socket.SHUT_WR)
    while busy.turn():
        pass
    assert busy.served == [verb]
    assert busy.clients[0].recv(100) == b'{"error": null}\n'


def test_what_ends_something_is_done_for_who_has_gone(busy: Busy) -> None:
    for verb in ("close", "disarm"):
        said(busy.control, verb).close()
    while busy.turn():
        pass
    assert busy.served == ["disarm", "close"]


def test_whether_anybody_listens(tmp_path: Path) -> None:
    assert not listens(tmp_path)
    control = ControlSocket(tmp_path)
    assert listens(tmp_path)
    control.close()
    assert not listens(tmp_path)
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "control.sock"))
    assert not listens(tmp_path)
