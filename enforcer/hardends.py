"""When windows end by a clock that nobody steps, remembered while the wall clock is right.

In: what is on, while the wall clock is kept right. Out: what their ends are by the wall clock as it
goes now. One that was set back while nobody keeps it right would have a window last longer than it
was declared, again and again (promise 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from enforcer.clock import Clock
from enforcer.policy.model import Activation
from enforcer.ruleset.compiler import epoch_ns


class HardEnds:
    """Of the windows that were on when it was last told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._monotonic_ns: dict[str, int] = {}

    def remember(self, active: Iterable[Activation]) -> None:
        """What is on now, by a clock that is right."""
        ahead_ns = self._ahead_ns()
        self._monotonic_ns = {a.id: epoch_ns(a.ends_at) - ahead_ns for a in active}

    def by_the_clock(self) -> Mapping[str, int]:
        """Window id → its end in nanoseconds since the epoch, as the wall clock shows it."""
        ahead_ns = self._ahead_ns()
        return {name: end_ns + ahead_ns for name, end_ns in self._monotonic_ns.items()}

    def _ahead_ns(self) -> int:
        return self._clock.now_ns() - self._clock.monotonic_ns()
