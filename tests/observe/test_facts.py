"""A window as plain values, and the digest of its declaration."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from enforcer.observe.facts import armed_facts, declaration_of, declared_facts
from enforcer.policy.model import Activation, Calendar, Event, Guard, Once, Recurring, Window

T = datetime(2026, 12, 1, 8, tzinfo=UTC)
ONCE = Window("w", "r", "d", "f", Once(T, T + timedelta(hours=2)), UTC, "UTC", guard=Guard("vpn"))
WALL = T.replace(tzinfo=None)
DAILY = replace(ONCE, form=Recurring("FREQ=DAILY", WALL, timedelta(hours=1), (WALL,)))
NOT_ON = frozenset(WALL.replace(day=day) for day in range(1, 20))
CALENDAR = replace(
    ONCE,
    form=Calendar(
        "c.ics",
        events=(Event("s", WALL, UTC, 0, timedelta(hours=1), not_on=NOT_ON, line=3),),
    ),
)


def test_facts_are_plain_values_of_the_operators_own_names() -> None:
    facts = declared_facts(ONCE)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["form"], facts["estate"], facts["link"]) == ("once", "vpn", None)
    assert (facts["starts_at"], facts["measures"]) == ("2026-12-01T08:00:00Z", ["guard"])
    assert "starts_at" not in declared_facts(DAILY)
    armed = armed_facts(Activation(T, T + timedelta(hours=1), DAILY))
    assert (armed["starts_at"], armed["ends_at"]) == (
        "2026-12-01T08:00:00Z",
        "2026-12-01T09:00:00Z",
    )


def test_the_digest_is_of_what_is_declared_and_not_of_where_it_stands() -> None:
    windows = (ONCE, DAILY, CALENDAR)
    assert len({declaration_of(w) for w in windows}) == 3
    for window in windows:
        assert declaration_of(replace(window, source="w.yaml:9:1")) == declaration_of(window)
        for change in ({"reason": "x"}, {"guard": None}, {"stage": True}, {"lease": "until-end"}):
            assert declaration_of(replace(window, **change)) != declaration_of(window)
    # Stable over processes, whose sets have other orders.
    assert declaration_of(CALENDAR) == "dd7762cdb214ac67"
