"""Somebody says that a registry which shrinks is meant: the word goes on record, then it counts.

In: a refusal, and the token and name of who accepts. Out: whether it is accepted. It lets fewer
people in, so it is not taken without a record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from enforcer.errors import PolicyError, Problem
from enforcer.observe.audit import Event
from enforcer.policy.shrinking import ShrinkError


@dataclass(frozen=True, slots=True)
class Acceptance:
    """`put` puts an event on record, or raises OSError."""

    token: str
    who: str
    now: Callable[[], datetime]
    put: Callable[[Event], object]

    def __call__(self, refusal: ShrinkError) -> bool:
        """True when it is this very update that was accepted. Raises PolicyError without record."""
        if len(self.token) < len(refusal.token) or not self.token.startswith(refusal.token):
            return False
        removed = {loss.category: loss.removed for loss in refusal.losses}
        narrowed = {loss.category: loss.narrowed for loss in refusal.losses if loss.narrowed}
        more: dict[str, Any] = {"kind": "shrink", "token": refusal.token, "removed": removed}
        if narrowed:
            more["narrowed"] = narrowed
        try:
            self.put(Event(self.now(), "accepted", self.who, "", "", more))
        except OSError as error:
            fact = f"what removes registrations must be on the record ({error.strerror or error})"
            problem = Problem("registry", 0, 0, "", f"{fact}; make room or rights, then again")
            raise PolicyError([problem]) from error
        return True
