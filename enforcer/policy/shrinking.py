"""The shrink guard: an update that loses much of a category is a broken feed rather than a wish.

In: the registrations in force, those of an update, and the day. Out: nothing, or a `ShrinkError`
that says what would be lost and how to say that it is meant. A prefix that stays and loses services
is lost as one that goes is: what was let through would not be any more. Who accepts it names the
very registry that was refused: what is accepted is what was looked at, and not what came after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from enforcer.errors import PolicyError, Problem
from enforcer.policy.losses import Shrunk, shrink
from enforcer.policy.registry_columns import Registry, day_number

_TOKEN_DIGITS = 8
Count = Callable[[Registry, Registry, date], list[Shrunk]]


@dataclass(frozen=True, slots=True)
class Loss:
    """`removed` of `before` distinct prefixes of `category` valid on a day, and `narrowed` that
    stay and lose services; `at_midnight`: on the day after, because of what the update lets end
    today.
    """

    category: str
    before: int
    removed: int
    at_midnight: bool = False
    narrowed: int = 0

    @property
    def lost(self) -> int:
        return self.removed + self.narrowed


class ShrinkError(PolicyError):
    """An update is refused for what it would remove. `token` names it, for `--accept-shrink`."""

    def __init__(self, losses: tuple[Loss, ...], limit: float, token: str) -> None:
        self.losses, self.token = losses, token
        super().__init__([Problem("registry", 0, 0, "", _said(x, limit, token)) for x in losses])


def refuse_shrinking(
    old: Registry, new: Registry, limit: float, day: date, count: Count = shrink
) -> None:
    """Raises ShrinkError when more than `limit` (0..1) of a category's prefixes go or lose services
    on `day`, or at its end for a date that the update has set. `count` counts as `shrink` does.
    """
    token = new.digest
    if token == old.digest and new.categories == old.categories:
        return
    losses = _losses(old, new, limit, day, count)
    known = {loss.category for loss in losses}
    # What ends tonight is gone tomorrow without another update.
    if any(bool((c.valid_until == day_number(day)).any()) for c in (new.v4, new.v6)):
        tonight = _losses(old, new, limit, day + timedelta(days=1), count, at_midnight=True)
        losses += [loss for loss in tonight if loss.category not in known]
    if losses:
        raise ShrinkError(tuple(losses), limit, token[:_TOKEN_DIGITS])


def _losses(
    old: Registry,
    new: Registry,
    limit: float,
    day: date,
    count: Count,
    *,
    at_midnight: bool = False,
) -> list[Loss]:
    losses = [
        Loss(x.category, x.before, x.removed, at_midnight, x.narrowed) for x in count(old, new, day)
    ]
    return [loss for loss in losses if loss.lost > limit * loss.before]


def _said(loss: Loss, limit: float, token: str) -> str:
    return (
        f"{loss.lost:,} of {loss.before:,} prefixes of category {loss.category} {_fate(loss)}, "
        f"more than shrink_limit {limit:.0%}; check the registry files, or, if it is meant: "
        f"enforcer reload --accept-shrink {token}"
    )


def _fate(loss: Loss) -> str:
    """What becomes of the prefixes that are lost."""
    lose = "lose services that they are registered for"
    if not loss.narrowed:
        return "would end at midnight UTC" if loss.at_midnight else "would be removed"
    if not loss.removed:
        return f"would at midnight UTC {lose}" if loss.at_midnight else f"would {lose}"
    if loss.at_midnight:
        counts = f"({loss.removed:,} to end, {loss.narrowed:,} narrowed)"
        return f"would end at midnight UTC or then {lose} {counts}"
    return f"would be removed or {lose} ({loss.removed:,} removed, {loss.narrowed:,} narrowed)"


def refusal(old: Registry, new: Registry, limit: float, day: date) -> str | None:
    """What `refuse_shrinking` would say, or None."""
    try:
        refuse_shrinking(old, new, limit, day)
    except ShrinkError as refused:
        return str(refused)
    return None


def changes(old: Registry, new: Registry, day: date) -> list[dict[str, Any]]:
    """A row for each category of which a prefix appears, vanishes, or loses services on the day
    (`narrow`), in order.
    """
    lost = {shrunk.category: shrunk for shrunk in shrink(old, new, day)}
    come = {name: removed for name, _, _, removed, _ in shrink(new, old, day) if removed}
    count: dict[str, int] = defaultdict(int)
    for (_, category), number in new.count(day).items():
        count[category] += number
    return [
        {
            "category": name,
            "appear": come.get(name, 0),
            "vanish": lost[name].removed if name in lost else 0,
            "narrow": lost[name].narrowed if name in lost else 0,
            "now": count[name],
        }
        for name in dict.fromkeys(old.categories + new.categories)
        if name in lost or name in come
    ]
