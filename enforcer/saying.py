"""What the journal hears of a step: what changed, what is wrong, and nothing twice.

In: an outcome, why the step was made, how long it took. Out: log lines.
"""

from __future__ import annotations

from enforcer import log
from enforcer.reconcile import Outcome
from enforcer.ruleset.transaction import Arm


class Saying:
    """Remembers what it said last."""

    def __init__(self) -> None:
        self._last = ""
        self._problem: str | None = None

    def step(self, cause: str, outcome: Outcome, seconds: float, *, orders_known: bool) -> None:
        for violation in outcome.violations:
            log.error("promise_violation", violation=violation, done="all windows disarmed")
        if outcome.waiting:
            why = "clock_unsynchronised" if orders_known else "orders_unreadable"
            self._once(why, waiting=",".join(outcome.waiting))
        if outcome.error is not None and cause == "start":
            # The daemon ends with this very sentence.
            return
        if outcome.error is not None:
            self._once("apply_failed", cause=cause, error=str(outcome.error))
        elif any(not isinstance(op, Arm) for op in outcome.operations):
            self._last = ""
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
        said = f"{event} {fields}"
        if said != self._last:
            log.warning(event, **fields)
            self._last = said
