"""The only place that asks the clock: wall time, whether it is synchronised, and a timer on it.

The timer runs on CLOCK_REALTIME and is cancelled by the kernel when the clock is stepped
(TFD_TIMER_CANCEL_ON_SET, timerfd_create(2)), so that a step is noticed at once.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from datetime import UTC, datetime
from typing import Protocol

from enforcer import log
from enforcer.synchronised import AskedClock, kernel_says, socket_path

_libc = ctypes.CDLL(None, use_errno=True)

_TFD_ABSTIME, _TFD_CANCEL_ON_SET = 1, 2


class Clock(Protocol):
    def now(self) -> datetime:
        """The instant, aware and in UTC."""

    def now_ns(self) -> int:
        """The same in nanoseconds since the epoch."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since an unknown instant; no setting of the clock moves it."""

    def synchronised(self) -> bool:
        """Whether the kernel believes that something keeps its clock right."""


class SystemClock:
    def __init__(self) -> None:
        self._asked: AskedClock | None = None
        self._said: str | None = None

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - the one place

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def synchronised(self) -> bool:
        if self._asked is None:
            known = kernel_says()
            if known is not None:
                return known
            self._asked = AskedClock(socket_path())
        answer = self._asked.synchronised()
        if self._asked.problem is None:
            self._said = None
        elif self._asked.problem != self._said:
            self._said = self._asked.problem
            log.warning("clock_unknown", reason=self._said)
        return answer


class Timer:
    """A file descriptor that is readable once the wall clock reaches an instant, or is stepped."""

    def __init__(self) -> None:
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._fd = _libc.timerfd_create(time.CLOCK_REALTIME, flags)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._stepped = False

    def fileno(self) -> int:
        return int(self._fd)

    def set(self, at_ns: int) -> None:
        """Arms the timer for `at_ns` (since the epoch); an instant that is past fires at once."""
        if self._arm(at_ns):
            return
        # The kernel arms it all the same, but tells of a step since the last arming here, and then
        # not again at reading (timerfd_setup in fs/timerfd.c): fire at once, and let `drain` tell.
        self._stepped = True
        self._arm(1)

    def _arm(self, at_ns: int) -> bool:
        """False when the clock was stepped since the timer was last armed or read."""
        seconds, nanoseconds = divmod(max(at_ns, 1), 10**9)
        spec = (ctypes.c_long * 4)(0, 0, seconds, nanoseconds)
        flags = _TFD_ABSTIME | _TFD_CANCEL_ON_SET
        if _libc.timerfd_settime(self._fd, flags, spec, None) == 0:
            return True
        if (number := ctypes.get_errno()) != errno.ECANCELED:
            raise OSError(number, "timerfd_settime")
        return False

    def drain(self) -> bool:
        """Takes the event off; True when the clock was stepped meanwhile."""
        stepped, self._stepped = self._stepped, False
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return stepped
        except OSError:  # ECANCELED
            return True
        return stepped

    def close(self) -> None:
        os.close(self._fd)
