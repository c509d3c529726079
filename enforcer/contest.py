"""When another program changes our table as fast as we put it right: who gives in, for how long.

In: repairs and their instants, in seconds of a monotonic clock. Out: whether to stand down, and
when to look again. Standing down is failing open: no window acts meanwhile, so a map that somebody
keeps emptying makes guard hold back nobody. What it costs is bounded: between two looks
lies a pause of at least `SHARE` times what the look took.
"""

from __future__ import annotations

from collections import deque

# So many repairs within so many seconds are no accident.
BURST, WITHIN_S = 5, 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 10.0
SHARE = 20.0
# Touched again so soon after we came back, it is the same loop: the first repair is enough.
RELAPSE_S = 60.0


class Contest:
    """`on`: somebody else has the upper hand, and nothing of ours acts until `look_at`."""

    def __init__(self) -> None:
        self.on = False
        self.look_at = 0.0
        self.repairs = 0
        self._recent: deque[float] = deque(maxlen=BURST)
        self._pause_s = FIRST_PAUSE_S
        self._over_at: float | None = None

    def repaired(self, now: float, took_s: float) -> bool:
        """Counts a repair of what somebody else did; True when it is time to stand down."""
        if self.on:
            return False
        self.repairs += 1
        self._recent.append(now)
        relapsed = self._over_at is not None and now - self._over_at < RELAPSE_S
        burst = len(self._recent) == BURST and now - self._recent[0] <= WITHIN_S
        if not (relapsed or burst):
            return False
        if not relapsed:
            self._pause_s, self.repairs = FIRST_PAUSE_S, BURST
        self.on = True
        self._rest(now, took_s)
        return True

    def looked(self, now: float, took_s: float, *, touched: bool) -> bool:
        """After a look at `look_at`: True when it is over, since nobody `touched` what is ours."""
        if not touched:
            self.on, self._over_at = False, now
            self._recent.clear()
            return True
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._rest(now, took_s)
        return False

    def _rest(self, now: float, took_s: float) -> None:
        self.look_at = now + max(self._pause_s, SHARE * took_s)
