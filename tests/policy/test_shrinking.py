"""An update that loses much of a category is refused, by number and with a way to accept it."""

from __future__ import annotations

from datetime import date

import pytest

from enforcer.policy.registry import HEADER, Registry, parse_registry
from enforcer.policy.shrinking import Loss, ShrinkError, changes, refuse_shrinking

DAY = date(2026, 11, 25)
# A hundred prefixes for any service until tonight, and for ESP from then on.
ROWS_OF_TONIGHT = "".join(
    f"R,198.51.0.{n}/32,a,,{until}\n" for n in range(100) for until in ("2026-11-25,", ",esp")
)


def registry(
    count: int,
    until: str = "",
    first: int = 0,
    category: str = "a",
    narrow: int = 0,
    more: str = "",
) -> Registry:
    """Of the prefixes the first `narrow` are for `esp` alone, the others for any service."""
    rows = "".join(
        f"R,198.51.{n >> 8}.{n & 255}/32,{category},,{until},{'esp' if n < narrow else ''}\n"
        for n in range(first, first + count)
    )
    rows += more
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


def test_a_prefix_that_loses_services_is_lost_as_one_that_goes() -> None:
    assert losses(registry(100), registry(100, narrow=20)) == ()
    assert losses(registry(100), registry(100, narrow=21)) == (Loss("a", 100, 0, narrowed=21),)
    assert losses(registry(100, narrow=21), registry(100)) == ()
    # Neither is over the limit alone.
    assert losses(registry(100), registry(89, narrow=10)) == (Loss("a", 100, 11, narrowed=10),)


def for_a_day(services: str) -> Registry:
    """Prefixes for any service until tonight, and for some after it."""
    after = "".join(f"S,198.51.0.{n}/32,a,,,{services}\n" for n in range(100))
    return registry(100, until="2026-11-25", more=after)


def test_services_that_the_update_lets_end_tonight_are_a_loss_today() -> None:
    told = (Loss("a", 100, 0, at_midnight=True, narrowed=100),)
    assert losses(registry(100), for_a_day("esp")) == told
    assert losses(for_a_day("esp udp/500"), for_a_day("esp")) == told
    assert losses(for_a_day("esp"), for_a_day("esp")) == ()
    assert losses(for_a_day("esp"), for_a_day("esp udp/500")) == ()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            registry(100),
            registry(100, narrow=21),
            "21 of 100 prefixes of category a would lose services that they are registered for, ",
        ),
        (
            registry(2000),
            registry(1800, narrow=1034),
            (
                "1,234 of 2,000 prefixes of category a would be removed or lose services that they "
                "are registered for (200 removed, 1,034 narrowed), "
            ),
        ),
        (
            registry(100),
            for_a_day("esp"),
            (
                "100 of 100 prefixes of category a would at midnight UTC lose services that they "
                "are registered for, "
            ),
        ),
        (
            registry(150),
            registry(50, first=100, until="2026-11-25", more=ROWS_OF_TONIGHT),
            (
                "150 of 150 prefixes of category a would end at midnight UTC or then lose services "
                "that they are registered for (50 to end, 100 narrowed), "
            ),
        ),
    ],
)
def test_the_refusal_tells_what_goes_from_what_stays_for_less(
    before: Registry, after: Registry, expected: str
) -> None:
    with pytest.raises(ShrinkError) as refused:
        refuse_shrinking(before, after, 0.2, DAY)
    assert str(refused.value) == (
        f"registry: {expected}more than shrink_limit 20%; check the registry files, or, if it is "
        f"meant: enforcer reload --accept-shrink {after.digest[:8]}"
    )


def test_what_loses_services_is_among_the_changes() -> None:
    assert changes(registry(100), registry(99, narrow=5), DAY) == [
        {"category": "a", "appear": 0, "vanish": 1, "narrow": 5, "now": 99}
    ]
    assert changes(registry(9), registry(9, narrow=5), DAY) == [
        {"category": "a", "appear": 0, "vanish": 0, "narrow": 5, "now": 9}
    ]
    # What is registered for more loses nothing.
    assert changes(registry(9, narrow=5), registry(9), DAY) == []
