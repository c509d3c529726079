"""`enforcer watch`: what passes, as it passes: windows, rates by measure and verdict, and sampled
headers by service and category. A screen on a terminal, lines or JSON elsewhere.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import Painter

if TYPE_CHECKING:
    from enforcer.cli.fullscreen import FullScreen
    from enforcer.cli.watch_text import View

_SHORTEST_S, _LONGEST_S = 0.2, 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help=f"how often, {_SHORTEST_S:g} to {_LONGEST_S:,.0f} s (default 1)",
    )
    parser.add_argument(
        "--count", type=_count, metavar="N", help="end after so many times (default: never)"
    )


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not _SHORTEST_S <= found <= _LONGEST_S:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no interval; write seconds, {_SHORTEST_S:g} to {_LONGEST_S:.0f}"
        )
    return found


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 31):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of times; write 1 or more")
    return int(text)


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.fullscreen import FullScreen, capable
    from enforcer.clock import SystemClock
    from enforcer.control import DeniedError

    watcher = Watcher(args.interval, SystemClock().now)
    try:
        if args.format == "text" and capable():
            # Ctrl-C is how a look ends.
            with suppress(KeyboardInterrupt), FullScreen() as screen:
                _on_screen(watcher, args.count, screen, Painter(args))
        else:
            with suppress(KeyboardInterrupt):
                _in_lines(watcher, args.count, as_json=args.format == "json")
    except DeniedError as error:
        print(f"enforcer: {error}", file=sys.stderr)
        return EXIT_FAILED
    # Ended by count, and there was nobody at the end.
    return EXIT_FAILED if args.count is not None and watcher.error is not None else 0


class Watcher:
    """Asks the daemon, and goes on asking one that is gone."""

    def __init__(self, interval_s: float, now: Callable[[], datetime]) -> None:
        from enforcer.cli.watch_text import History

        self.interval_s, self._now = interval_s, now
        self._history = History()
        self._answer: dict[str, Any] | None = None
        self.error: str | None = None
        self._gone_at: datetime | None = None

    def look(self) -> View:
        """What there is now. Raises DeniedError when this user may not ask."""
        from enforcer.cli.places import run_dir
        from enforcer.control import NoDaemonError, TurnedAwayError, ask

        try:
            answer = ask(run_dir(), "watch")
        except NoDaemonError as error:
            self._gone(f"{error}; {error.remedy}")
        except TurnedAwayError as error:
            self._gone(str(error))
        else:
            if "sampled" in answer:
                self.error = self._gone_at = None
                self._answer = answer
                self._history.add(answer)
            else:
                told = answer.get("error", "the answer is not of enforcer")
                self._gone(f"{told}; is it of another version? restart it")
        return self.view()

    def _gone(self, why: str) -> None:
        from enforcer.cli.watch_text import History

        self._gone_at = self._gone_at if self.error is not None else self._now()
        self.error = why
        # Rates over a pause would be of nothing that happened.
        self._history = History()

    def view(self) -> View:
        from enforcer.cli.watch_text import View

        return View(
            self._now(),
            self.interval_s,
            self._answer,
            self.error,
            self._gone_at,
            self._history.rates(),
            self._history.sampled(),
        )

    @property
    def ready(self) -> bool:
        """Whether there is something to tell: rates, or that there is no daemon."""
        return self.error is not None or self._history.ready


def _on_screen(watcher: Watcher, count: int | None, screen: FullScreen, paint: Painter) -> None:
    from enforcer.cli.watch_text import screen as drawn

    due, times = time.monotonic(), 0
    view = watcher.look()
    while True:
        columns, rows = screen.size()
        lines = drawn(view, columns, rows)
        screen.draw([paint(text, style) if style and text else text for text, style in lines])
        if count is not None and times >= count:
            return
        waited = screen.wait(due + watcher.interval_s - time.monotonic())
        if waited is False:
            return
        if waited:
            due = max(due + watcher.interval_s, time.monotonic() - watcher.interval_s)
            view, times = watcher.look(), times + 1


def _in_lines(watcher: Watcher, count: int | None, *, as_json: bool) -> None:
    from enforcer.cli import watch_text as text

    told_gone = False
    watcher.look()
    due, times = time.monotonic(), 0
    while count is None or times < count:
        due += watcher.interval_s
        time.sleep(max(0.0, due - time.monotonic()))
        view = watcher.look()
        times += 1
        if as_json:
            print(json.dumps(text.as_json(view), ensure_ascii=False), flush=True)
            continue
        # Said once, and again when it is back by what it answers.
        if not (told_gone and view.error is not None):
            print("\n".join(text.plain(view)), flush=True)
        told_gone = view.error is not None
