"""What a reload has done or would do, and how the control socket tells it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from enforcer.absent import log_missing, warned
from enforcer.errors import PolicyError
from enforcer.observe.snapshot import Snapshot
from enforcer.policy.shrinking import ShrinkError, changes, refusal
from enforcer.reconcile import Outcome
from enforcer.schedule.orders import Orders
from enforcer.sources.load import Configuration, load_configuration


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


def compared(
    request: dict[str, Any], config: Path, now: datetime, orders: Orders, old: Configuration
) -> dict[str, Any]:
    """How many prefixes would come and go if the files were loaded as they are now, and why the
    shrink guard would refuse that. Request: `config`, `day` in ISO 8601.
    """
    if request.get("config") != str(config):
        return {"error": f"the daemon reads {config}, not this configuration"}
    try:
        day = date.fromisoformat(str(request.get("day")))
        wanted = load_configuration(config, now, orders, before=old)
    except PolicyError as error:
        return {"error": f"the daemon cannot load it: {error.problems[0].for_all}"}
    except ValueError:
        return {"error": "no day like 2026-12-01 in the request"}
    limit = wanted.policy.registry.shrink_limit
    return {
        "error": None,
        "categories": changes(old.registry, wanted.registry, day),
        "refused": refusal(old.registry, wanted.registry, limit, now.date()),
    }
