"""An update that loses much of a category is refused, by number and with a way to accept it."""

from __future__ import annotations

from datetime import date

import pytest

from enforcer.policy.registry import HEADER, Registry, parse_registry
from enforcer.policy.shrinking import Loss, ShrinkError, refuse_shrinking

DAY = date(2026, 11, 25)


def registry(count: int, until: str = "", first: int = 0, category: str = "a") -> Registry:
    rows = "".join(
        f"R,198.51.{n >> 8}.{n & 255}/32,{category},,{until},\n"
        for n in range(first, first + count)
    )
    return parse_registry("r.csv", f"{HEADER}\n{rows}".encode(), ("a", "b"))


def losses(old: Registry, new: Registry, limit: float = 0.2) -> tuple[Loss, ...]:
    try:
        refuse_shrinking(old, new, limit, DAY)
    except ShrinkError as error:
        return error.losses
    return ()


def test_exactly_the_limit_is_taken_and_one_more_is_refused() -> None:
    assert losses(registry(100), registry(80)) == ()
    assert losses(registry(100), registry(79)) == (Loss("a", 100, 21),)


def test_prefixes_exchanged_for_as_many_others_are_removed_too() -> None:
    assert losses(registry(100), registry(100, first=50)) == (Loss("a", 100, 50),)


def test_a_category_that_goes_is_a_loss_whatever_came_elsewhere() -> None:
    assert losses(registry(100), registry(200, category="b")) == (Loss("a", 100, 100),)


def test_a_limit_of_all_refuses_nothing() -> None:
    assert losses(registry(100), registry(1, first=500), limit=1.0) == ()


def test_an_update_that_lets_everything_end_tonight_is_refused_today() -> None:
    assert losses(registry(100), registry(100, until="2026-11-25")) == (
        Loss("a", 100, 100, at_midnight=True),
    )


def test_what_was_to_end_tonight_anyway_is_no_loss_of_the_update() -> None:
    assert losses(registry(100, until="2026-11-25"), registry(99, until="2026-11-25")) == ()


def test_the_refusal_names_the_loss_the_limit_and_the_update() -> None:
    new = registry(79)
    with pytest.raises(ShrinkError) as refused:
        refuse_shrinking(registry(100), new, 0.2, DAY)
    assert refused.value.token == new.digest[:8]
    assert str(refused.value) == (
        "registry: 21 of 100 prefixes of category a would be removed, more than shrink_limit 20%; "
        "check the registry files, or, if it is meant: enforcer reload --accept-shrink "
        f"{new.digest[:8]}"
    )
    tonight = registry(100, until="2026-11-25")
    with pytest.raises(ShrinkError, match="100 of 100 prefixes of category a would end at midni"):
        refuse_shrinking(registry(100), tonight, 0.2, DAY)
