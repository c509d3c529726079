"""The control socket: one JSON object a line in, one out, then closed. Local users of the group.

The daemon answers from its own loop, so a request waits for a step in progress and is never torn.
Nobody is waited for: what clients say is gathered as it comes, and one that says nothing, or too
much, or comes when there are too many, is let go; it cannot hold the loop up.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pwd
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

SOCKET = "control.sock"
LIMIT_BYTES = 64 * 1024
# A client says what it wants at once; an answer fits what the kernel holds for a socket.
CLIENT_S = 5.0
PATIENCE_S = 0.5
_MOST_CLIENTS = 32
_QUEUE = 128
# A daemon that was killed while we asked is not there at the second attempt.
_ATTEMPTS = 3
_PAUSE_S = 0.2
# How long a verb waits for the daemon: a reload of a large registry takes seconds.
ANSWER_S = 10

Answer = dict[str, Any]
Handler = Callable[[dict[str, Any], str], Answer]


class HeldError(FileExistsError):
    """Another daemon runs and holds the socket."""


@dataclass(slots=True)
class _Client:
    """Connected, and has not said everything yet. `until_s`: when it is let go, monotonic."""

    socket: socket.socket
    until_s: float
    said: bytearray = field(default_factory=bytearray)


class ControlSocket:
    """Listens at `directory/control.sock`, mode 0660. Raises HeldError when another daemon does,
    and OSError when it cannot. Selects as readable when a client has said something; then, and at
    every turn of the loop, `serve_one` is called.
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
        for number in [n for n, client in self._clients.items() if client.until_s <= now_s]:
            self._clients.pop(number).socket.close()
        self._listen_again()
        self._admit(now_s)
        for number in list(self._clients):
            client = self._clients[number]
            if not _has_said(client):
                continue
            del self._clients[number]
            # Closing takes it off the poll, too.
            with client.socket as peer, contextlib.suppress(OSError):
                if len(client.said) <= LIMIT_BYTES:
                    line = bytes(client.said.partition(b"\n")[0])
                    answer = json.dumps(_answer(line, _peer(peer), handle)).encode() + b"\n"
                    peer.settimeout(PATIENCE_S)
                    peer.sendall(answer)
                    return

    def _admit(self, now_s: float) -> None:
        """Takes in who waits; the oldest of too many is let go. A turn takes in as many at most."""
        for _ in range(_MOST_CLIENTS):
            try:
                peer, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._short(error)
                continue
            peer.setblocking(False)
            self._poll.register(peer, select.EPOLLIN)
            if len(self._clients) >= _MOST_CLIENTS:
                self._clients.pop(next(iter(self._clients))).socket.close()
            self._clients[peer.fileno()] = _Client(peer, now_s + CLIENT_S)

    def _short(self, error: OSError) -> None:
        """Out of descriptors or memory: who is next is turned away, or waits for better days."""
        log.warning("control_short", error=error.strerror)
        if error.errno in (errno.EMFILE, errno.ENFILE) and self._spare is not None:
            os.close(self._spare)
            with contextlib.suppress(OSError):
                self._socket.accept()[0].close()
            self._spare = _spare()
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


def _answer(line: bytes, who: str, handle: Handler) -> Answer:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return {"error": "the request is not a JSON object on one line"}
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        return {"error": 'the request has no "verb"'}
    return handle(request, who)


def _peer(peer: socket.socket) -> str:
    """Who asks, by the kernel's word: SO_PEERCRED (unix(7))."""
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _gid = struct.unpack("iII", raw)
    return person(pid, uid)


def person(pid: int, uid: int) -> str:
    """`noc (uid 1000, pid 4711, program enforcer)`, for the record. The program is left out where
    the kernel hides it (`ProtectProc=`), or when the process is gone already.
    """
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = "unknown"
    program = ""
    with contextlib.suppress(OSError):
        told = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
        program = ", program " + "".join(c if c.isprintable() else "?" for c in told)
    return f"{name} (uid {uid}, pid {pid}{program})"


def me() -> str:
    """Who runs this command."""
    return person(os.getpid(), os.getuid())


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


class NoDaemonError(Exception):
    """Nobody answers at the control socket. `remedy` is what mends it."""

    remedy = "run: systemctl start enforcer"

    @property
    def none_runs(self) -> bool:
        """Whether there certainly is none: what it was asked is done by nobody, now or later."""
        return isinstance(self.__cause__, FileNotFoundError | ConnectionRefusedError)


class HungDaemonError(NoDaemonError):
    """A daemon holds the socket and says nothing."""

    remedy = "run: systemctl restart enforcer"


class DeniedError(Exception):
    """There may be a daemon, but this user must not speak to it."""


class TurnedAwayError(DeniedError):
    """A daemon lives and hears nobody. To act in its place would be to act against it."""


def _connect(client: socket.socket, path: Path) -> None:
    """A queue that is full is told at once, whatever the timeout: it is joined when it moves on."""
    until_s = time.monotonic() + ANSWER_S
    while True:
        try:
            return client.connect(str(path))
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise TimeoutError from None
            time.sleep(0.05)


def ask(directory: Path, verb: str, *, wait_s: float | None = None, **arguments: object) -> Answer:
    """Sends one request to the daemon, which may take `wait_s` (ANSWER_S). Raises NoDaemonError
    when there is none that answers, and DeniedError when this user may not ask, or there is one
    that turns everybody away.
    """
    path = directory / SOCKET
    request = json.dumps({"verb": verb, **arguments}).encode() + b"\n"
    for attempt in range(_ATTEMPTS):
        if data := _asked(path, request, ANSWER_S if wait_s is None else wait_s):
            break
        if attempt == _ATTEMPTS - 1:
            raise TurnedAwayError(
                f"{path}: the daemon hangs up without an answer, as when it is out of file "
                "descriptors; see its log, and try again, or stop it first"
            )
        time.sleep(_PAUSE_S)
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise NoDaemonError(f"{path}: the answer is cut short") from error
    if not isinstance(answer, dict):
        raise NoDaemonError(f"{path}: the answer is not of enforcer")
    return answer


def _asked(path: Path, request: bytes, wait_s: float) -> bytes:
    """What comes back; nothing when the other side hung up."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    data = b""
    with client:
        client.settimeout(wait_s)
        try:
            _connect(client, path)
            client.sendall(request)
            while chunk := client.recv(65536):
                data += chunk
        except (BrokenPipeError, ConnectionResetError):
            return b""
        except PermissionError as error:
            raise DeniedError(
                f"{path}: no permission; run as root or as a member of group enforcer"
            ) from error
        except TimeoutError as error:
            raise HungDaemonError(
                f"{path}: the daemon does not answer within {wait_s:g} s; it may hang"
            ) from error
        except OSError as error:
            raise NoDaemonError(
                f"{path}: no daemon answers ({os.strerror(error.errno or 0)})"
            ) from error
    return data
