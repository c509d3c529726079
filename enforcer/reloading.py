"""What a reload has done, and how the control socket tells it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from enforcer.absent import log_missing, warned
from enforcer.errors import PolicyError
from enforcer.observe.snapshot import Snapshot
from enforcer.policy.shrinking import ShrinkError
from enforcer.reconcile import Outcome


@dataclass(frozen=True, slots=True)
class Reloaded:
    """`refusal`: by what the files hold; then, or when the kernel failed, `error` says it, with no
    word of a registry's row. `armed` are the windows in force now, `ended` those that were before
    and are not any more. `warning`: what was loaded and does nothing, a line for each.
    """

    refusal: PolicyError | None
    error: str | None
    armed: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    warning: str | None = None

    @classmethod
    def of(
        cls, refusal: PolicyError | None, outcome: Outcome, before: Collection[str], seen: Snapshot
    ) -> Reloaded:
        """After the step behind a load; `before` was armed until then. The log hears of devices
        that are not there, as at a start.
        """
        ended = tuple(name for name in before if name not in outcome.armed)
        if refusal is not None:
            return cls(refusal, refusal.for_all, outcome.armed, ended)
        if outcome.state is not None:
            log_missing(seen.policy, seen.missing_devices, "loaded without it")
        error = str(outcome.error) if outcome.error else None
        return cls(None, error, outcome.armed, ended, warning_of(outcome, seen))

    def answer(self, note: str = "") -> dict[str, Any]:
        """`refused`: by what the files hold, told shortly as `first`, wholly as `details` (a
        person's, and no log's) and, where they lack too many registrations, with the token that
        accepts it; else an error is the kernel's. `note` comes before the error.
        """
        refusal = self.refusal
        answer = {
            "error": self.error and note + self.error,
            "warning": self.warning,
            "refused": refusal is not None,
            "armed": list(self.armed),
            "ended": list(self.ended),
        }
        if refusal is not None:
            answer["first"], answer["details"] = refusal.problems[0].for_all, f"{note}{refusal}"
            answer["shrink"] = refusal.token if isinstance(refusal, ShrinkError) else None
        return answer


def warning_of(outcome: Outcome, seen: Snapshot) -> str | None:
    """What is in force in word alone, for its device is not there."""
    if outcome.state is None:
        # Nothing is known of devices.
        return None
    return warned(seen.policy, seen.missing_devices)
