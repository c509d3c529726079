"""A terminal as one screen that is drawn again and again, and put back as it was.

In: lines of text. It speaks the few sequences that every terminal of today knows (ECMA-48 and
xterm's alternate screen). Where standard input is a terminal, `q` ends a wait as Ctrl-C would.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, TextIO

_ALTERNATE, _NORMAL = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _TO_LINE_END, _TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
_QUIT = b"qQ\x03\x04"


def capable(stream: TextIO | None = None) -> bool:
    """Whether there is a terminal that can be drawn on."""
    stream = stream or sys.stdout
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class FullScreen:
    """Inside `with`, the screen is ours. Leaving it, however, gives the terminal back."""

    def __init__(self) -> None:
        self._out = sys.stdout
        self._mode: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __enter__(self) -> FullScreen:
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._resized)
        # Of a command that a script put into the background SIGINT is ignored: not of this one.
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, _stop)
        with suppress(termios.error, OSError, ValueError):
            self._mode = termios.tcgetattr(sys.stdin.fileno())
            tty.setcbreak(sys.stdin.fileno())
        self._out.write(_ALTERNATE)
        self._out.flush()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._mode is not None:
            with suppress(termios.error):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._mode)
        # A terminal that is gone takes nothing back.
        with suppress(OSError):
            self._out.write(_NORMAL)
            self._out.flush()
        os.close(self._woken)
        os.close(self._wake)

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake, b"!")

    def size(self) -> tuple[int, int]:
        """(columns, lines) as they are now; 80 and 24 where the terminal does not know."""
        try:
            found = os.get_terminal_size(self._out.fileno())
        except OSError:
            return 80, 24
        return found.columns or 80, found.lines or 24

    def draw(self, lines: Sequence[str]) -> None:
        """At most as many lines as there are; none longer than the screen is wide."""
        body = "\r\n".join(f"{line}{_TO_LINE_END}" for line in lines)
        self._out.write(f"{_HOME}{body}{_TO_END}")
        self._out.flush()

    def wait(self, seconds: float) -> bool | None:
        """True when the time is over, None when the screen has another size now. False: `q`."""
        sources = [self._woken, *([sys.stdin.fileno()] if self._mode is not None else [])]
        ready, _, _ = select.select(sources, [], [], max(0.0, seconds))
        if self._woken in ready:
            os.read(self._woken, 64)
            return None
        if ready:
            typed = os.read(sys.stdin.fileno(), 64)
            # Nothing at all: the terminal has hung up. Any other key draws anew.
            return None if typed and not set(typed) & set(_QUIT) else False
        return True


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
