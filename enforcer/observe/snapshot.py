"""What the daemon shows: one frozen value, replaced whole after each step.

Metrics, `status` and the control socket read it from other threads without a lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from enforcer.policy.model import Activation, Policy
from enforcer.policy.prefix import Family

State = Literal["past", "armed", "next", "provisional", "closed"]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence of a window and what became of it."""

    activation: Activation
    state: State


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`edges`: for each window with one ahead, when it next opens or closes."""

    policy: Policy
    config_error: str | None
    loaded_at: datetime
    reloaded_at: datetime
    armed: tuple[str, ...]
    waiting_for_clock: tuple[str, ...]
    coming: tuple[Occurrence, ...]
    edges: tuple[tuple[str, datetime], ...]
    prefixes: tuple[tuple[Family, str, int], ...]
    elements: tuple[tuple[Family, int], ...]
    clock_synchronised: bool
    drift_repairs: int
    promise_violations: int
    problem: str | None
    missing_devices: tuple[str, ...]
