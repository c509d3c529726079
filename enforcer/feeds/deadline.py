"""An end for a whole request: name, connection, TLS, headers and body, however slowly they drip.

Every single read may be in time and the whole still take for ever. So a timer cuts the connection
off at the deadline, wherever its reader is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

# Of one address of a host; the next one is tried then.
CONNECT_S = 5.0
_MOST_ADDRESSES = 8

# As socket.getaddrinfo gives it.
_Address = tuple[Any, Any, int, str, Any]


class Deadline:
    """`seconds` from now on. Used as a context; `passed` tells whether it was the end."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until_s = time.monotonic() + seconds
        self._watched: int | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    @property
    def left_s(self) -> float:
        return self._until_s - time.monotonic()

    @property
    def passed(self) -> bool:
        return self.left_s <= 0

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._forget()

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first address of `host` that takes one. Raises OSError."""
        failure: OSError | None = None
        for family, kind, proto, _, address in self._addresses(host, port)[:_MOST_ADDRESSES]:
            if self.passed:
                break
            made = socket.socket(family, kind, proto)
            try:
                made.settimeout(max(0.001, min(CONNECT_S, self.left_s)))
                made.connect(address)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._watch(made)
            except OSError as error:
                made.close()
                failure = error
            else:
                return made
        raise failure or TimeoutError("no address answered in time")

    def _addresses(self, host: str, port: int) -> list[_Address]:
        """What the system's resolver says. It cannot be cut off, and may take minutes: so a thread
        asks it, which ends by itself when nobody waits for it any more.
        """
        found: queue.SimpleQueue[list[_Address] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except Exception as error:
                found.put(error)

        try:
            threading.Thread(target=ask, name="lookup", daemon=True).start()
        except RuntimeError as error:
            # As many as this process may have: those before are waited for yet.
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
        try:
            answer = found.get(timeout=max(0.0, self.left_s))
        except queue.Empty:
            raise TimeoutError(f"no answer for the name {host}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _watch(self, connection: socket.socket) -> None:
        self._forget()
        with self._lock:
            # Another descriptor of the same connection: TLS takes the first one away from us.
            self._watched = os.dup(connection.fileno())
        if self.passed:
            self._cut()

    def _forget(self) -> None:
        with self._lock:
            if self._watched is not None:
                os.close(self._watched)
                self._watched = None

    def _cut(self) -> None:
        with self._lock:
            if self._watched is None:
                return
            with contextlib.suppress(OSError), socket.socket(fileno=self._watched) as connection:
                connection.shutdown(socket.SHUT_RDWR)
            self._watched = None
