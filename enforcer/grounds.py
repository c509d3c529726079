"""What was in force when: the states that the loop has brought the kernel to, with their times.

In: when a change begins and what it ends in. Out: what may have been in force in a span of time.
While a change goes on, both the state before and the one after may be.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from enforcer.lookup.tables import Tables
from enforcer.policy.model import Activation, Policy
from enforcer.policy.registry import Registry
from enforcer.reconcile import Outcome
from enforcer.sources.load import Configuration

_KEPT_S = 120.0
# A ground holds a whole registry: of older ones only their time is kept, and what was in force then
# counts as unknown.
_KEPT_GROUNDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The windows that the kernel arms, on a registry as of a day."""

    policy: Policy
    registry: Registry
    tables: Tables
    day: date
    armed: tuple[Activation, ...]

    def same(self, other: Ground | None) -> bool:
        """By identity where a reload makes new ones: comparing a million rows is not for here."""
        return (
            other is not None
            and self.policy is other.policy
            and self.registry is other.registry
            and self.day == other.day
            and [(a.id, a.window) for a in self.armed] == [(a.id, a.window) for a in other.armed]
        )


def behind(
    outcome: Outcome,
    config: Configuration,
    tables: Tables,
    day: date,
    active: Iterable[Activation],
) -> Ground | None:
    """What is in force behind a step; None when that is not known."""
    if outcome.result == "failed":
        return None
    armed = tuple(a for a in active if a.id in outcome.armed)
    return Ground(config.policy, config.registry, tables, day, armed)


@dataclass(slots=True, eq=False)
class Span:
    """`ground` (None: unknown) was in force from within the change that began at `since_s`, until
    the one that ended at `until_s`. Monotonic seconds.
    """

    ground: Ground | None
    since_s: float
    until_s: float | None = None


class History:
    """Safe to ask from another thread than the one that tells."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._since_s: float | None = None

    def changing(self, now_s: float) -> None:
        with self._lock:
            if self._since_s is None:
                self._since_s = now_s

    def settled(self, ground: Ground | None, now_s: float) -> None:
        with self._lock:
            since = now_s if self._since_s is None else self._since_s
            self._since_s = None
            self._spans = [s for s in self._spans if (s.until_s or now_s) > now_s - _KEPT_S]
            last = self._spans[-1] if self._spans else None
            if last is not None and (
                last.ground is ground or (ground is not None and ground.same(last.ground))
            ):
                return
            if last is not None:
                last.until_s = now_s
            self._spans.append(Span(ground, since))
            for old in self._spans[:-_KEPT_GROUNDS]:
                old.ground = None

    def changing_before(self, instant_s: float) -> bool:
        """Whether a change goes on that began before then."""
        with self._lock:
            return self._since_s is not None and self._since_s <= instant_s

    def between(self, since_s: float, until_s: float) -> list[Span]:
        """What may have been in force at any time between the two, the newest last."""
        with self._lock:
            return [
                s
                for s in self._spans
                if s.since_s <= until_s and (s.until_s is None or s.until_s >= since_s)
            ]

    @property
    def at_rest(self) -> bool:
        """No window is armed, and none was a moment ago."""
        with self._lock:
            last = self._spans[-1] if self._spans else None
            return last is None or (last.ground is not None and not last.ground.armed)
