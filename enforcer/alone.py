"""One daemon in a network namespace: two would undo what the other does until both stand down.

In: nothing. Out: a name in the abstract namespace of Unix sockets, which is one for each network
namespace and let go by the kernel when its holder ends, however it ends (unix(7)); or a
NotAloneError with who holds it. Anybody on the machine may take a name: what a user holds who
could not run a daemon keeps none from starting.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
import struct
import time

from enforcer import log

NAME = "\0enforcer/daemon"
USER = "enforcer"
# Who was refused waits in the queue until the daemon's next turn. Anybody on the machine may come,
# and as often as they like: a turn lets no more go than wait at once, and nobody here wakes the
# loop, which turns every few seconds anyway.
_QUEUE = 128
_ATTEMPTS, _PAUSE_S = 10, 0.05


class NotAloneError(Exception):
    """Another daemon is at work in this network namespace: who, in words."""


class Alone:
    """Holds the name until it is closed. Raises NotAloneError, and OSError."""

    def __init__(self, name: str = NAME) -> None:
        self._socket = _socket()
        try:
            for _ in range(_ATTEMPTS):
                if self._bound(name):
                    self._socket.listen(_QUEUE)
                    return
                pid, uid = _holder(name)
                who = f"process {pid or 'of another PID namespace'}, uid {uid}"
                if uid in _daemons():
                    raise NotAloneError(who)
                # It went just now, or is not ready to be asked.
                time.sleep(_PAUSE_S)
        except BaseException:
            self._socket.close()
            raise
        log.warning("not_known_to_be_alone", reason="a stranger holds our name", held_by=who)

    def _bound(self, name: str) -> bool:
        try:
            self._socket.bind(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    def turn_away(self) -> None:
        """Lets those go who asked who we are: the kernel has told them."""
        with contextlib.suppress(OSError):
            for _ in range(_QUEUE + 1):
                self._socket.accept()[0].close()

    def close(self) -> None:
        self._socket.close()


def _socket() -> socket.socket:
    kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    return socket.socket(socket.AF_UNIX, kind)


def _holder(name: str) -> tuple[int, int]:
    """Process and user id, by the kernel's word; (0, -1) when it went just now or does not say."""
    with _socket() as asking:
        try:
            asking.connect(name)
            raw = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return 0, -1
    pid, uid, _gid = struct.unpack("iiI", raw)
    return pid, uid


def _daemons() -> set[int]:
    """Users as whom a daemon may run."""
    known = {0, os.getuid()}
    with contextlib.suppress(KeyError):
        known.add(pwd.getpwnam(USER).pw_uid)
    return known
