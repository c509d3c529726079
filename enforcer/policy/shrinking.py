"""The shrink guard: an update that loses much of a category is a broken feed rather than a wish.

In: the registrations in force, those of an update, and the day. Out: nothing, or a `ShrinkError`
that says what would be lost and how to say that it is meant. Who accepts it names the very
registry that was refused: what is accepted is what was looked at, and not what came after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from enforcer.errors import PolicyError, Problem
from enforcer.policy.registry_columns import Registry, day_number, shrink

_TOKEN_DIGITS = 8
# Category, distinct prefixes before and after, those removed.
Count = Callable[[Registry, Registry, date], list[tuple[str, int, int, int]]]


@dataclass(frozen=True, slots=True)
class Loss:
    """`removed` of `before` distinct prefixes of `category` valid on a day; `at_midnight`: on the
    day after, because the update lets them end today.
    """

    category: str
    before: int
    removed: int
    at_midnight: bool = False


class ShrinkError(PolicyError):
    """An update is refused for what it would remove. `token` names it, for `--accept-shrink`."""

    def __init__(self, losses: tuple[Loss, ...], limit: float, token: str) -> None:
        self.losses, self.token = losses, token
        super().__init__([Problem("registry", 0, 0, "", _said(x, limit, token)) for x in losses])


def refuse_shrinking(
    old: Registry, new: Registry, limit: float, day: date, count: Count = shrink
) -> None:
    """Raises ShrinkError when a category loses more than `limit` (0..1) of its prefixes on `day`,
    or at its end for a date that the update has set. `count` counts as `shrink` does.
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
    return [
        Loss(category, before, removed, at_midnight)
        for category, before, _after, removed in count(old, new, day)
        if removed > limit * before
    ]


def _said(loss: Loss, limit: float, token: str) -> str:
    when = "would end at midnight UTC" if loss.at_midnight else "would be removed"
    return (
        f"{loss.removed:,} of {loss.before:,} prefixes of category {loss.category} {when}, more "
        f"than shrink_limit {limit:.0%}; check the registry files, or, if it is meant: enforcer "
        f"reload --accept-shrink {token}"
    )


def refusal(old: Registry, new: Registry, limit: float, day: date) -> str | None:
    """What `refuse_shrinking` would say, or None."""
    try:
        refuse_shrinking(old, new, limit, day)
    except ShrinkError as refused:
        return str(refused)
    return None


def changes(old: Registry, new: Registry, day: date) -> list[dict[str, Any]]:
    """A row for each category of which a prefix appears or vanishes on the day, in order."""
    gone = {name: removed for name, _, _, removed in shrink(old, new, day)}
    come = {name: removed for name, _, _, removed in shrink(new, old, day)}
    count: dict[str, int] = defaultdict(int)
    for (_, category), number in new.count(day).items():
        count[category] += number
    return [
        {
            "category": name,
            "appear": come.get(name, 0),
            "vanish": gone.get(name, 0),
            "now": count[name],
        }
        for name in dict.fromkeys(old.categories + new.categories)
        if name in gone or name in come
    ]
