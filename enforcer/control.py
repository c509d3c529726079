"""The control socket, for whoever asks: one JSON object a line in, one out, then closed.

What is asked waits for a step or a load that is in progress. Whether there is a daemon that did not
answer, or none at all, is told apart: only then may somebody act in its place.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import socket
import time
from pathlib import Path
from typing import Any

SOCKET = "control.sock"
# A daemon that was killed while we asked is not there at the second attempt.
_ATTEMPTS = 3
_PAUSE_S = 0.2
# How long a verb waits for the daemon: a reload of a large registry takes seconds.
ANSWER_S = 10
# And who asks for a load: a million rows take the daemon some seconds, and it may be at another.
LOAD_S = 120.0

Answer = dict[str, Any]


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


def listens(directory: Path) -> bool:
    """Whether there is, or may be, somebody who will answer at the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
        client.settimeout(0)
        try:
            client.connect(str(directory / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            # The queue is full, or this user must not ask.
            return True
    return True


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


def _who_may(path: Path) -> str:
    """Whom the socket hears, by the group of it, or of its directory where that is closed."""
    for place in (path, path.parent):
        with contextlib.suppress(OSError):
            gid = place.stat().st_gid
            if gid == 0:
                return "run as root"
            try:
                group = grp.getgrgid(gid).gr_name
            except KeyError:
                group = str(gid)
            return f"run as root or as a member of group {group}"
    return "run as root or as a member of group enforcer"


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
            raise DeniedError(f"{path}: no permission; {_who_may(path)}") from error
        except TimeoutError as error:
            raise HungDaemonError(
                f"{path}: the daemon does not answer within {wait_s:g} s; it may hang"
            ) from error
        except OSError as error:
            raise NoDaemonError(
                f"{path}: no daemon answers ({os.strerror(error.errno or 0)})"
            ) from error
    return data
