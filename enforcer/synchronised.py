"""Whether something keeps the machine's clock right: from the kernel, or from whoever may ask it.

The one system call that tells (adjtimex(2)) stands in the same group as those that set clocks, and
the daemon's unit forbids the whole group. There `enforcer-clock` is asked (`clockd.py`), a process
without any privilege, at its socket. What is not known counts as not synchronised: nothing is newly
armed, and the log says why.
"""

from __future__ import annotations

import ctypes
import os
import socket
import time
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

# <linux/timex.h>: adjtimex(2) returns TIME_ERROR, or sets STA_UNSYNC, while nobody disciplines it.
_TIME_ERROR = 5
_STA_UNSYNC = 0x40
_TIMEX_BYTES = 208
_STATUS_OFFSET = 40

SOCKET = "/run/enforcer-clock.sock"
YES, NO = b"1", b"0"
# The state changes by the hour; only a step of the clock makes it another at once.
FRESH_S = 5.0
STALE_S = 60.0
PATIENCE_S = 0.2
AGAIN_S = 1.0
STEP_NS = 100_000_000


def kernel_says() -> bool | None:
    """True while the clock is disciplined; None when this process may not ask."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = _libc.adjtimex(buffer)
    if state == -1:
        return None
    status = int.from_bytes(buffer.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], "little")
    return state != _TIME_ERROR and not status & _STA_UNSYNC


def socket_path() -> Path:
    """`/run/enforcer-clock.sock`, or ENFORCER_CLOCK_SOCKET."""
    return Path(os.environ.get("ENFORCER_CLOCK_SOCKET", SOCKET))


class AskedClock:
    """Asks at `path`. An answer serves for five seconds, and for a minute when no other is to be
    had; a step of the clock makes it worthless. `problem` says why there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._peer: socket.socket | None = None
        self._answer = False
        self._asked_s = self._failed_s = float("-inf")
        self._offset_ns = _offset_ns()
        self.problem: str | None = None

    def synchronised(self) -> bool:
        now_s, offset_ns = time.monotonic(), _offset_ns()
        if abs(offset_ns - self._offset_ns) > STEP_NS:
            self._asked_s = self._failed_s = float("-inf")
        if now_s - self._asked_s >= FRESH_S and now_s - self._failed_s >= AGAIN_S:
            self._ask(now_s, offset_ns)
        return self._answer and now_s - self._asked_s < STALE_S

    def _ask(self, now_s: float, offset_ns: int) -> None:
        try:
            said = self._exchange()
            if said not in (YES, NO):
                raise ConnectionResetError("no answer")
        except OSError as error:
            self.close()
            self._failed_s = now_s
            self.problem = (
                f"{self._path}: {error.strerror or error}; start it with systemctl start "
                "enforcer-clock.socket"
            )
        else:
            self._answer, self._asked_s, self._offset_ns = said == YES, now_s, offset_ns
            self.problem = None

    def _exchange(self) -> bytes:
        if self._peer is None:
            self._peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._peer.settimeout(PATIENCE_S)
            self._peer.connect(str(self._path))
        self._peer.send(b"?")
        return self._peer.recv(1)

    def close(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None


def _offset_ns() -> int:
    """What lies between wall clock and elapsed time: another number after a step."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
