"""A progress bar on standard error: on a terminal only, and only for what takes over a second."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

_SILENT_S = 1.0
_EVERY_S = 0.2
_BAR = 20


class Progress:
    """`total` in the unit of `update`'s `done`; None where nobody knows it, as for a pipe."""

    def __init__(self, total: int | None, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._total = total
        self._on = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._begun = time.monotonic()
        self._next = self._begun + _SILENT_S
        self._shown = False

    def update(self, done: int, text: str) -> None:
        """`text` is what has been done so far, for people: `1,200 packets`."""
        now = time.monotonic()
        if not self._on or now < self._next:
            return
        self._next, self._shown = now + _EVERY_S, True
        line = text
        if self._total:
            share = min(1.0, done / self._total)
            bar = "#" * int(share * _BAR)
            line = f"{share:4.0%} [{bar.ljust(_BAR, '.')}] {text}"
            if share > 0:
                left = (now - self._begun) * (1 - share) / share
                line += f", {left:.0f} s left"
        # To the end of the line: an earlier text may have been longer.
        self._stream.write(f"\r{line}\x1b[K")
        self._stream.flush()

    def close(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False
