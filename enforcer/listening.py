"""The control socket's own side: local users of the group are heard, one line each, in their turn.

The daemon answers from its own loop, so a request waits for a step in progress and is never torn.
Nobody is waited for: what clients say is gathered as it comes, and one that says nothing, or too
much, or comes when there are too many that do, is let go; it cannot hold the loop up. One that has
said what it wants is heard, however long that takes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enforcer import log
from enforcer.alone import Alone
from enforcer.control import SOCKET, Answer, person
from enforcer.descriptors import TAKING

LIMIT_BYTES = 64 * 1024
# A client says what it wants at once; an answer fits what the kernel holds for a socket.
CLIENT_S = 5.0
PATIENCE_S = 0.5
_MOST_CLIENTS = 32
# 31 ms at the most, and only where there is no descriptor left.
_SPARE_PAUSES_S = (0.0, 0.001, 0.002, 0.004, 0.008, 0.016)
_QUEUE = 128
# Served before whatever else waits: a load that waits may take longer than people do.
_FIRST = ("disarm",)
# What opens something counts only while whoever asked is there to be told.
_ONLY_IF_HEARD = ("confirm", "declared")

Handler = Callable[[dict[str, Any], str], Answer]


class HeldError(FileExistsError):
    """Another daemon runs and holds the socket."""


@dataclass(slots=True)
class _Client:
    """Connected. `until_s`: when it is let go unless it has said everything, monotonic. `asks` is
    what it has said: a request, or what is wrong with it; None: not everything yet.
    """

    socket: socket.socket
    until_s: float
    said: bytearray = field(default_factory=bytearray)
    asks: dict[str, Any] | str | None = None

    @property
    def verb(self) -> str | None:
        return self.asks["verb"] if isinstance(self.asks, dict) else None


class ControlSocket:
    """Listens at `directory/control.sock`, mode 0660. Raises HeldError when another daemon does,
    and OSError when it cannot. Selects as readable when a client has said something; then, and at
    every turn of the loop, `serve_one` is called. Who asks before the first turn waits.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / SOCKET
        self._clients: dict[int, _Client] = {}
        self._alone: Alone | None = None
        with ExitStack() as opened:
            opened.callback(os.close, _lock(directory))
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self._socket = opened.enter_context(socket.socket(socket.AF_UNIX, kind))
            self._socket.bind(str(self.path))
            self.path.chmod(0o660)
            self._socket.listen(_QUEUE)
            self._poll = opened.enter_context(select.epoll())
            self._poll.register(self._socket, select.EPOLLIN)
            self._listens = True
            # Wakes the loop for those that are heard, and have to wait for their turn.
            self._more = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            opened.callback(os.close, self._more)
            self._poll.register(self._more, select.EPOLLIN)
            # Given up for a moment to take in, and turn away, whom there is no descriptor for: one
            # who waited at the door would wake the loop again and again.
            self._spare: int | None = _spare()
            self._opened = opened.pop_all()

    def beside(self, alone: Alone) -> None:
        """Who asks there is turned away at each turn of the loop."""
        self._alone = alone

    def fileno(self) -> int:
        return self._poll.fileno()

    def serve_one(self, handle: Handler) -> None:
        """Answers one client that has said what it wants, if there is one. Waits for nobody.
        `handle(request, who)`: who is the peer's user and pid.
        """
        now_s = time.monotonic()
        if self._alone is not None:
            self._alone.turn_away()
        self._listen_again()
        self._admit(now_s)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._more)
        self._serve(handle, now_s)
        if any(client.asks is not None for client in self._clients.values()):
            os.eventfd_write(self._more, 1)

    def _serve(self, handle: Handler, now_s: float) -> None:
        while (client := self._next(now_s)) is not None:
            # Closing takes it off the poll, too.
            with self._clients.pop(client.socket.fileno()).socket as peer:
                if len(client.said) > LIMIT_BYTES or _in_vain(client):
                    continue
                with contextlib.suppress(OSError):
                    asks, who = client.asks, _peer(peer)
                    told = handle(asks, who) if isinstance(asks, dict) else {"error": asks}
                    peer.settimeout(PATIENCE_S)
                    peer.sendall(json.dumps(told).encode() + b"\n")
                return

    def _next(self, now_s: float) -> _Client | None:
        """Who is served next of those that have said everything. However long we were busy, they
        are still heard; one that says nothing is let go.
        """
        waiting = []
        for number, client in list(self._clients.items()):
            if _heard(client):
                waiting.append(client)
            elif client.until_s <= now_s:
                self._clients.pop(number).socket.close()
        first = (client for client in waiting if client.verb in _FIRST)
        return next(first, waiting[0] if waiting else None)

    def _admit(self, now_s: float) -> None:
        """Takes in who waits; of too many the oldest that says nothing is let go, and where all of
        them have spoken the next ones wait at the door. A turn takes in as many at most.
        """
        for _ in range(_MOST_CLIENTS):
            if len(self._clients) >= _MOST_CLIENTS and not self._let_one_go():
                return
            try:
                peer, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._short(error)
                continue
            peer.setblocking(False)
            self._poll.register(peer, select.EPOLLIN)
            self._clients[peer.fileno()] = _Client(peer, now_s + CLIENT_S)

    def _let_one_go(self) -> bool:
        """False when each of them has spoken."""
        for number, client in self._clients.items():
            if not _heard(client):
                self._clients.pop(number).socket.close()
                return True
        return False

    def _short(self, error: OSError) -> None:
        """Out of descriptors or memory: who is next is turned away, or waits for better days."""
        log.warning("control_short", error=error.strerror)
        if error.errno in (errno.EMFILE, errno.ENFILE) and self._spare is not None:
            with TAKING:
                os.close(self._spare)
                with contextlib.suppress(OSError):
                    self._socket.accept()[0].close()
                self._spare = _spare_again()
        elif self._listens:
            self._poll.unregister(self._socket)
            self._listens = False

    def _listen_again(self) -> None:
        if self._spare is None:
            self._spare = _spare()
        if not self._listens and self._spare is not None:
            self._poll.register(self._socket, select.EPOLLIN)
            self._listens = True

    def close(self) -> None:
        for client in self._clients.values():
            client.socket.close()
        if self._spare is not None:
            os.close(self._spare)
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._opened.close()


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _spare_again() -> int | None:
    """Whoever opens a file for a moment, as the scribe does, may have been quicker."""
    for pause_s in _SPARE_PAUSES_S:
        time.sleep(pause_s)
        if (spare := _spare()) is not None:
            return spare
    return None


def _heard(client: _Client) -> bool:
    """Whether it is known what it asks, as far as it has said anything."""
    if client.asks is None and _has_said(client):
        client.asks = _asked_for(bytes(client.said.partition(b"\n")[0]))
    return client.asks is not None


def _has_said(client: _Client) -> bool:
    """True when it has said a line, or all that it will say, or too much."""
    try:
        while len(client.said) <= LIMIT_BYTES:
            chunk = client.socket.recv(4096)
            client.said += chunk
            if not chunk or b"\n" in chunk:
                return True
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _asked_for(line: bytes) -> dict[str, Any] | str:
    """A request, or what is wrong with it."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return "the request is not a JSON object on one line"
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        return 'the request has no "verb"'
    return request


def _in_vain(client: _Client) -> bool:
    """Whether it has hung up, and what it asked for must not be done behind its back."""
    if client.verb not in _ONLY_IF_HEARD:
        return False
    poll = select.poll()
    # For good, unlike one who has only shut its side because it says no more (poll(2)).
    poll.register(client.socket, 0)
    gone = any(events & select.POLLHUP for _, events in poll.poll(0))
    if gone:
        log.warning("not_heard_out", verb=client.verb, done="nothing: who asked has hung up")
    return gone


def _peer(peer: socket.socket) -> str:
    """Who asks, by the kernel's word: SO_PEERCRED (unix(7))."""
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _gid = struct.unpack("iII", raw)
    return person(pid, uid)


def _lock(directory: Path) -> int:
    """Holds the directory for this process, until it ends however it ends. A socket file left by a
    killed daemon tells nothing, and a daemon that hangs does not answer; a lock tells of both.
    """
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise HeldError(f"{directory / SOCKET} is held by a running daemon") from None
    except BaseException:
        os.close(held)
        raise
    return held
