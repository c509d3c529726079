"""Every feed in its time, for as long as the process lasts.

In: a way to read the settings, and one to work on a feed. Out: turns, and a log that tells when
something changed rather than that it is still so. One feed after the other: a slow one makes the
others late, by its timeout for each of its addresses at most and by what the daemon takes to load
what came, and keeps nothing from being in force.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import datetime

from enforcer import log
from enforcer.errors import PolicyError
from enforcer.feeds.settings import Settings
from enforcer.feeds.shelf import Shelf
from enforcer.feeds.state import SpoiltError
from enforcer.feeds.taking import Taker, Told
from enforcer.policy.feed import Feed

# After a failure: soon, then ever more slowly, up to the feed's own pace.
FIRST_WAIT_S = 30.0
# A fleet's gateways were started at one instant, and must not ask at one for ever.
_SPREAD = 0.1
# The file is looked at this often for what was changed in it.
LOOK_S = 10.0


class Loop:
    """`read()` gives the settings of now or raises PolicyError; `taker(settings)` works by them."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        taker: Callable[[Settings], Taker],
        now: Callable[[], datetime],
    ) -> None:
        self._settings, self._read, self._taker, self._now = settings, read, taker, now
        self._due_s: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._said: dict[str, str | None] = {}
        self._wrong: str | None = None

    def run(self, stop: threading.Event, poked: threading.Event) -> None:
        """Until `stop` is set. `poked`: look at the file now, and fetch every feed."""
        self._plan()
        names = ",".join(feed.name for feed in self._settings.feeds)
        log.info("fetching", feeds=names or "none", config=self._settings.config)
        while not stop.is_set():
            self._look(poked)
            taker = self._taker(self._settings)
            for feed in self._settings.feeds:
                if not stop.is_set() and self._due_s[feed.name] <= time.monotonic():
                    self._account(feed, taker.turn(feed))
            soonest_s = min(self._due_s.values(), default=float("inf")) - time.monotonic()
            self._wait(stop, poked, max(0.0, min(LOOK_S, soonest_s)))

    @staticmethod
    def _wait(stop: threading.Event, poked: threading.Event, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not (stop.is_set() or poked.is_set()) and (left := until_s - time.monotonic()) > 0:
            stop.wait(min(left, 0.5))

    def _look(self, poked: threading.Event) -> None:
        """Takes what was changed in the file, unless it is wrong."""
        asked = poked.is_set()
        poked.clear()
        try:
            new = self._read()
        except PolicyError as error:
            if str(error) != self._wrong:
                first = str(error.problems[0])
                log.error("settings_refused", first=first, done="the old ones stay")
            self._wrong = str(error)
        else:
            self._wrong = None
            if new.text != self._settings.text:
                self._settings = new
                self._plan()
                log.info("settings_taken", feeds=len(new.feeds))
        if asked:
            self._due_s = dict.fromkeys(self._due_s, 0.0)

    def _plan(self) -> None:
        """When each feed is due: at once, or when it would have been had nobody restarted us."""
        now_s = time.monotonic()
        self._due_s = {
            feed.name: self._due_s.get(feed.name, now_s + self._rest_s(feed))
            for feed in self._settings.feeds
        }

    def _rest_s(self, feed: Feed) -> float:
        try:
            state = Shelf(self._settings.file(feed)).state()
        except (OSError, SpoiltError):
            return 0.0
        if state.checked_at is None or state.problem is not None:
            return 0.0
        age_s = (self._now() - state.checked_at).total_seconds()
        # Of the future: the clock was set back, and nothing is known.
        return feed.every_s - age_s if 0 <= age_s < feed.every_s else 0.0

    def _account(self, feed: Feed, told: Told) -> None:
        if told.good:
            self._failures.pop(feed.name, None)
            wait_s = feed.every_s * random.uniform(1 - _SPREAD, 1 + _SPREAD)
        else:
            failures = self._failures[feed.name] = self._failures.get(feed.name, 0) + 1
            longest = min(feed.every_s, FIRST_WAIT_S * 2 ** min(failures - 1, 20))
            wait_s = max(random.uniform(0.2, 1.0) * longest, min(told.wait_s, feed.every_s))
        self._due_s[feed.name] = time.monotonic() + wait_s
        self._say(feed, told)

    def _say(self, feed: Feed, told: Told) -> None:
        before = self._said.get(feed.name)
        self._said[feed.name] = told.problem
        if told.problem is not None:
            if told.problem != before:
                event = f"feed_{told.result}"
                done = "what was accepted before stays"
                log.error(event, feed=feed.name, problem=told.problem, done=done)
        elif told.result == "accepted" and (accepted := told.state.accepted) is not None:
            log.info(
                "feed_accepted",
                feed=feed.name,
                rows=accepted.rows,
                serial="none" if accepted.serial is None else accepted.serial,
                url=accepted.url,
                notes=" · ".join(told.notes),
            )
        elif before is not None:
            log.info("feed_back", feed=feed.name)
