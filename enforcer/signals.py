"""Signals as something a loop can wait for: what was asked for, and a descriptor that tells of it.

Installed before anything else is done, so that a SIGHUP or SIGTERM while the daemon starts is
answered once it has started, and never kills it half way.
"""

from __future__ import annotations

import contextlib
import signal
import socket

STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_CAUGHT = (*STOP, signal.SIGHUP)


class Signals:
    """Takes SIGTERM, SIGINT and SIGHUP over; of the main thread only, as Python wants it."""

    def __init__(self) -> None:
        self._asked: set[signal.Signals] = set()
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._before = {number: signal.getsignal(number) for number in _CAUGHT}
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in _CAUGHT:
            signal.signal(number, lambda n, _frame: self._asked.add(signal.Signals(n)))

    def fileno(self) -> int:
        """Readable once a signal has come."""
        return self._reader.fileno()

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)

    @property
    def stop(self) -> bool:
        return bool(self._asked & STOP)

    def take_hangup(self) -> bool:
        """Whether SIGHUP came since the last call."""
        if signal.SIGHUP not in self._asked:
            return False
        self._asked.discard(signal.SIGHUP)
        return True

    def close(self) -> None:
        """Gives the signals back."""
        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)
        self._reader.close()
        self._writer.close()
