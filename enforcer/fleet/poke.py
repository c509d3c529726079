"""Something to wait for: time, a poke from a watch or a handler of signals, or the end.

A descriptor and no lock: a handler that runs while its own thread holds a lock would wait for
itself.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress


class Poke:
    def __init__(self) -> None:
        self.ended = False
        self._poked = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def now(self) -> None:
        os.eventfd_write(self._poked, 1)

    def end(self) -> None:
        self.ended = True
        self.now()

    def wait(self, seconds: float) -> bool:
        """Whether somebody poked."""
        select.select([self._poked], [], [], seconds)
        with suppress(BlockingIOError):
            os.eventfd_read(self._poked)
            return True
        return False
