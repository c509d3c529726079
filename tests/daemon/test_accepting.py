"""A shrink is accepted by the token of that very update, and on the record."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from enforcer.accepting import Acceptance
from enforcer.errors import PolicyError
from enforcer.observe.audit import Event
from enforcer.policy.shrinking import Loss, ShrinkError

NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)
REFUSAL = ShrinkError((Loss("freelancer", 10, 3),), 0.2, "12345678")


def test_the_token_of_the_refusal_accepts_it_on_the_record() -> None:
    told: list[Event] = []
    for token in ("12345678", "1234567890abcdef"):
        assert Acceptance(token, "root (pid 1)", lambda: NOW, told.append)(REFUSAL)
    more = {"kind": "shrink", "token": "12345678", "removed": {"freelancer": 3}}
    assert told == [Event(NOW, "accepted", "root (pid 1)", "", "", more)] * 2


def test_services_that_go_stand_beside_what_is_removed() -> None:
    told: list[Event] = []
    both = (Loss("freelancer", 10, 3), Loss("mission", 9, 0, narrowed=4))
    refusal = ShrinkError(both, 0.2, "12345678")
    assert Acceptance("12345678", "root", lambda: NOW, told.append)(refusal)
    (event,) = told
    assert (event.more["removed"], event.more["narrowed"]) == (
        {"freelancer": 3, "mission": 0},
        {"mission": 4},
    )


@pytest.mark.parametrize("token", ["", "1234567", "12345679", "x12345678"])
def test_another_token_accepts_nothing_and_leaves_no_record(token: str) -> None:
    told: list[Event] = []
    assert not Acceptance(token, "root", lambda: NOW, told.append)(REFUSAL)
    assert told == []


def test_what_cannot_be_put_on_record_is_not_accepted() -> None:
    def full(event: Event) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(PolicyError) as refused:
        Acceptance("12345678", "root", lambda: NOW, full)(REFUSAL)
    assert str(refused.value) == (
        "registry: what removes registrations must be on the record (No space left on device); "
        "make room or rights, then again"
    )
