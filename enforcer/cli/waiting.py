"""What is being done, while it takes longer than a second: one line on standard error, then gone.

Only where standard error is a terminal that can move its cursor; anywhere else it says nothing, or
once, after some seconds, what it waits for.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

_FIRST_AFTER_S = 1.0
_EVERY_S = 0.5
_ONCE_AFTER_S = 5.0


class Waiting:
    """`with Waiting("reading the registry"): …`; nothing else may print to a terminal inside.
    `once`: what is said, once, to who is no terminal, as to the journal.
    """

    def __init__(
        self,
        doing: str,
        stream: TextIO | None = None,
        first_after_s: float = _FIRST_AFTER_S,
        once: str = "",
    ) -> None:
        self._doing, self._stream, self._once = doing, stream or sys.stderr, once
        self._first_after_s = first_after_s
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Waiting:
        if self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            self._begin(self._show)
        elif self._once:
            self._begin(self._say_once)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _begin(self, telling: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=telling, name="waiting", daemon=True)
        self._thread.start()

    def _say_once(self) -> None:
        if not self._done.wait(_ONCE_AFTER_S):
            print(self._once, file=self._stream, flush=True)

    def _show(self) -> None:
        started = time.monotonic()
        shown = False
        wait_s = self._first_after_s
        while not self._done.wait(wait_s):
            shown, wait_s = True, _EVERY_S
            print(
                f"\r{self._doing} … {time.monotonic() - started:.0f} s",
                end="",
                file=self._stream,
                flush=True,
            )
        if shown:
            # Erase in line (ECMA-48): what comes next begins at the margin.
            print("\r\x1b[K", end="", file=self._stream, flush=True)
