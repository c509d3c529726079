"""What the journal hears of a step: what changed, what is wrong, and nothing twice while it lasts.

In: an outcome, why the step was made, how long it took. Out: log lines.
"""

from __future__ import annotations

from enforcer import log
from enforcer.reconcile import Outcome
from enforcer.ruleset.transaction import Arm

# Why windows wait: the clock, or the standing orders.
_WAITING = ("clock_unsynchronised", "orders_unreadable")
_FAILED = "apply_failed"


class Saying:
    """Remembers what it said, by event, for as long as it is so."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._problem: str | None = None

    def step(self, cause: str, outcome: Outcome, seconds: float, *, orders_known: bool) -> None:
        for violation in outcome.violations:
            log.error("promise_violation", violation=violation, done="all windows disarmed")
        if outcome.waiting:
            self._once(_WAITING[0 if orders_known else 1], waiting=",".join(outcome.waiting))
        elif outcome.error is None:
            # A step that failed does not tell who waits.
            self._over(*_WAITING)
        if outcome.error is None:
            self._over(_FAILED)
        if outcome.error is not None and cause == "start":
            # The daemon ends with this very sentence.
            return
        if outcome.error is not None:
            self._once(_FAILED, cause=cause, error=str(outcome.error))
        elif any(not isinstance(op, Arm) for op in outcome.operations):
            log.info(
                "drift_repaired" if outcome.drift else "applied",
                cause=cause,
                operations=len(outcome.operations),
                armed=",".join(outcome.armed) or "none",
                ms=round(seconds * 1000, 1),
            )
        elif cause == "start":
            # All was there already: a restart, or what a daemon that was killed has left.
            log.info("adopted", armed=",".join(outcome.armed) or "none")

    def problem(self, problem: str | None, known: str | None) -> None:
        """What does not work, when it is news; `known` was said elsewhere."""
        if problem is not None and problem not in (self._problem, known):
            log.warning("problem", problem=problem)
        self._problem = problem

    def _once(self, event: str, **fields: object) -> None:
        said = str(fields)
        if self._said.get(event) != said:
            log.warning(event, **fields)
            self._said[event] = said

    def _over(self, *events: str) -> None:
        """When it comes again, it is news."""
        for event in events:
            self._said.pop(event, None)
