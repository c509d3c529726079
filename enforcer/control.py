"""The control socket: one JSON object a line in, one out, then closed. Local users of the group.

The daemon answers from its own loop, so a request waits for a step in progress and is never torn.
A client that says nothing, or too much, is dropped; it cannot hold the loop up.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOCKET = "control.sock"
LIMIT_BYTES = 64 * 1024
PATIENCE_S = 0.5
# How long a verb waits for the daemon: a reload of a large registry takes seconds.
ANSWER_S = 10

Answer = dict[str, Any]
Handler = Callable[[dict[str, Any], str], Answer]


class HeldError(FileExistsError):
    """Another daemon runs and holds the socket."""


class ControlSocket:
    """Listens at `directory/control.sock`, mode 0660. Raises HeldError when another daemon does,
    and OSError when it cannot.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / SOCKET
        self._lock = _lock(directory)
        try:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            self._socket.bind(str(self.path))
            self.path.chmod(0o660)
            self._socket.listen(16)
            self._socket.setblocking(False)
        except BaseException:
            os.close(self._lock)
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def serve_one(self, handle: Handler) -> None:
        """Answers one waiting client. `handle(request, who)`: who is the peer's user and pid."""
        try:
            peer, _ = self._socket.accept()
        except (BlockingIOError, OSError):
            return
        with peer:
            peer.settimeout(PATIENCE_S)
            try:
                line = _read_line(peer)
                peer.sendall(json.dumps(_answer(line, _peer(peer), handle)).encode() + b"\n")
            except (OSError, TimeoutError):
                return

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._lock)


def _answer(line: bytes, who: str, handle: Handler) -> Answer:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return {"error": "the request is not a JSON object on one line"}
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        return {"error": 'the request has no "verb"'}
    return handle(request, who)


def _read_line(peer: socket.socket) -> bytes:
    data = b""
    while b"\n" not in data:
        if len(data) > LIMIT_BYTES:
            raise OSError("request too long")
        chunk = peer.recv(4096)
        if not chunk:
            break
        data += chunk
    return data.partition(b"\n")[0]


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
    """Nobody answers at the control socket. `remedy` is the command that mends it."""

    remedy = "systemctl start enforcer"


class HungDaemonError(NoDaemonError):
    """A daemon holds the socket and says nothing."""

    remedy = "systemctl restart enforcer"


class DeniedError(Exception):
    """There may be a daemon, but this user must not speak to it."""


def ask(directory: Path, verb: str, **arguments: object) -> Answer:
    """Sends one request to the daemon. Raises NoDaemonError when there is none that answers, and
    DeniedError when this user may not ask.
    """
    path = directory / SOCKET
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with client:
        client.settimeout(ANSWER_S)
        try:
            client.connect(str(path))
            client.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            data = b""
            while chunk := client.recv(65536):
                data += chunk
        except PermissionError as error:
            raise DeniedError(
                f"{path}: no permission; run as root or as a member of group enforcer"
            ) from error
        except TimeoutError as error:
            raise HungDaemonError(
                f"{path}: the daemon does not answer within {ANSWER_S} s; it may hang"
            ) from error
        except OSError as error:
            raise NoDaemonError(
                f"{path}: no daemon answers ({os.strerror(error.errno or 0)})"
            ) from error
    if not data:
        raise NoDaemonError(f"{path}: the daemon closed the connection without an answer")
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise NoDaemonError(f"{path}: the answer is cut short") from error
    if not isinstance(answer, dict):
        raise NoDaemonError(f"{path}: the answer is not of enforcer")
    return answer
