"""The time as it was right last: what the daemon goes by, whoever sets the wall clock meanwhile.

In: a clock, and whether it counts as right. Out: its own time while it does, and from then on what
has gone by since on a clock that nobody steps. One that was set forward or back while nobody keeps
it right ends no window early, and lets none last longer than it was declared (promises 2 and 8).
Where the clock never was right, its time is all there is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from enforcer.clock import Clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SteadyClock:
    """A Clock over `clock`; `counts` says whether that counts as right now. Only `look` asks it,
    and any thread may ask for the time.
    """

    def __init__(self, clock: Clock, counts: Callable[[], bool]) -> None:
        self._clock, self._counts = clock, counts
        # By how much the wall clock was ahead of the monotonic one when it was right last.
        self._ahead_ns: int | None = None
        self._held_ns: int | None = None
        self.right = False

    def look(self) -> bool:
        """Whether the clock counts as right, from now on and until the next look."""
        # The monotonic clock first: whatever comes between the two makes ends earlier, never later.
        monotonic_ns = self._clock.monotonic_ns()
        ahead_ns = self._clock.now_ns() - monotonic_ns
        # Asked behind the reading, which a step in between would spoil.
        self.right = self._counts()
        if self.right:
            self._ahead_ns = ahead_ns
        self._held_ns = None if self.right else self._ahead_ns
        return self.right

    @property
    def known(self) -> bool:
        """Whether its time is right, or was and has been followed since."""
        return self.right or self._held_ns is not None

    def now(self) -> datetime:
        if self._held_ns is None:
            return self._clock.now()
        return _EPOCH + timedelta(microseconds=self.now_ns() // 1000)

    def now_ns(self) -> int:
        held_ns = self._held_ns
        return self._clock.now_ns() if held_ns is None else held_ns + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns()

    def synchronised(self) -> bool:
        return self._clock.synchronised()

    def shown_ns(self, at_ns: int) -> int:
        """What the wall clock will show at an instant, as it goes now."""
        if self._held_ns is None:
            return at_ns
        return at_ns - self.now_ns() + self._clock.now_ns()
