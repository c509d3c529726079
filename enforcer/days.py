"""The registry as of a day: the one in force, and the next one, made before midnight (UTC).

In: the configuration and the day that is asked for. Out: plans. A day whose registry is refused,
or for which memory runs out, leaves the tables of the day before in force and says why: whoever was
let through still is. It is tried again with the next day, after a reload, and for memory a little
later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from enforcer.errors import PolicyError
from enforcer.lookup.following import Following, first_plan
from enforcer.lookup.planner import Planned
from enforcer.lookup.tables import Tables
from enforcer.sources.load import Configuration

# The registry of the next day is compiled so long before midnight.
DAY_LEAD = timedelta(seconds=30)
# Memory that ran out may be there again by then.
MEMORY_AGAIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Refused:
    """`again`: after how long it is tried anew, None when only another day or registry helps."""

    why: str
    at: datetime
    again: timedelta | None

    def is_due(self, now: datetime) -> bool:
        # A clock that went back puts it off for no longer than that.
        return self.again is not None and abs(now - self.at) >= self.again


class Days:
    """`day` is the UTC day whose registrations are loaded. Raises PolicyError when the first one
    does not fit into `kernel_memory`. `plan`: one of this registry that is there already, perhaps
    as of the day before, which then is in force until `turn`.
    """

    def __init__(self, config: Configuration, day: date, plan: Planned | None = None) -> None:
        if plan is None or plan.tree.registry is not config.registry:
            budget = config.policy.registry.kernel_memory_bytes
            plan = first_plan(config.registry, day, budget)
        self._plan, self.day = plan, plan.tree.day
        self._next: Planned | None = None
        self._refused: dict[date, _Refused] = {}

    @property
    def tables(self) -> Tables:
        return self._plan.tables

    @property
    def problem(self) -> str | None:
        """Why the registrations in force are, or are about to be, those of an earlier day."""
        if not self._refused:
            return None
        day, refused = list(self._refused.items())[-1]
        return (
            f"the registrations of {day} cannot be loaded, so those of {self.day} stay in force: "
            f"{refused.why}; put it right, then: enforcer reload"
        )

    def of(self, day: date) -> Tables | None:
        """What is in force on a day, when that is known already."""
        if self._next is not None and self._next.tree.day == day:
            return self._next.tables
        return self.tables if day == self.day or day in self._refused else None

    def look_ahead(self, config: Configuration, day: date, now: datetime) -> None:
        """Makes the plan of a day, unless it is there or was refused."""
        refused = self._refused.get(day)
        if self.of(day) is None or (refused is not None and refused.is_due(now)):
            self._plan_next(config, day, now)

    def turn(self, config: Configuration, day: date, now: datetime) -> None:
        """Puts a day in force. Where it cannot be planned, what is in force stays."""
        if day == self.day:
            return
        if self.of(day) is None:
            self._plan_next(config, day, now)
        if self._next is not None and self._next.tree.day == day:
            self.take(self._next, day)

    def following(self, config: Configuration, day: date) -> Following:
        """What would come after what is in force, under another configuration."""
        return Following(self._plan, config.registry, day)

    def take(self, plan: Planned, day: date) -> None:
        self._plan, self.day, self._next = plan, day, None
        self._refused.clear()

    def _plan_next(self, config: Configuration, day: date, now: datetime) -> None:
        budget = config.policy.registry.kernel_memory_bytes
        self._refused.pop(day, None)
        try:
            self._next = self.following(config, day).plan(budget)
        except PolicyError as error:
            self._refuse(day, _Refused(error.for_all, now, None))
        except MemoryError:
            self._refuse(day, _Refused("memory ran out", now, MEMORY_AGAIN))

    def _refuse(self, day: date, refused: _Refused) -> None:
        # The day that is and the one that comes: neither is planned again at each step.
        self._refused[day] = refused
        for old in list(self._refused)[:-2]:
            del self._refused[old]
