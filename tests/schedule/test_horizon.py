"""How far `check` looks, and that its answer does not depend on the day it is asked."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from enforcer.errors import PolicyError
from enforcer.policy.model import Calendar as CalendarForm
from enforcer.policy.model import Event, Hijri, Once, Recurring
from enforcer.schedule.horizon import HORIZON, horizon
from enforcer.schedule.load import load
from tests.policy.documents_by_hand import MAIN, ZONES, policy_of, window
from tests.schedule import windows_by_hand as by_hand
from tests.schedule.windows_by_hand import utc, wall

HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")


def test_without_a_clock_the_horizon_is_that_of_the_windows_themselves() -> None:
    daily = by_hand.window(Recurring("FREQ=DAILY", wall(2027, 6, 1, 2), HOUR), BERLIN)
    once = by_hand.window(Once(utc(2026, 12, 1), utc(2026, 12, 2)))
    hijri = by_hand.window(Hijri(1, 9, 2, 360, 1320))
    assert horizon([daily, once, hijri], None) == (utc(2026, 12, 1), utc(2027, 6, 1) + HORIZON)
    event = Event("", wall(2025, 1, 1, 8), ZoneInfo("UTC"), 0, HOUR)
    dated = by_hand.window(CalendarForm("c.ics", None, (event,)))
    assert horizon([dated], None) == (utc(2025, 1, 1, 8), utc(2025, 1, 1, 8) + HORIZON)


def test_with_a_clock_the_horizon_leaves_out_what_is_long_past() -> None:
    daily = by_hand.window(Recurring("FREQ=DAILY", wall(2016, 6, 1, 2), HOUR), BERLIN)
    after, before = horizon([daily], utc(2026, 12, 1))
    assert (after, before) == (utc(2026, 10, 29), utc(2026, 12, 1) + HORIZON)


RULE = 'rrule: "FREQ=WEEKLY;BYDAY=SU", start: "2016-01-03T02:30:00", duration: 1h'


def test_a_change_of_clocks_is_found_wherever_the_horizon_begins() -> None:
    text = window(times=f"{RULE}, timezone: Europe/Berlin", measures="mark: {fwmark: 0x51}")
    documents = {"enforcer.yaml": MAIN.encode(), "windows.d/w.yaml": text.encode()}
    with pytest.raises(PolicyError, match='the occurrence of "2016-03-27T02:30:00"'):
        load(documents, "enforcer.yaml", ZONES)
    with pytest.raises(PolicyError, match='the occurrence of "2027-03-28T02:30:00"'):
        load(documents, "enforcer.yaml", ZONES, now=utc(2026, 12, 1))


@pytest.mark.parametrize(
    "remedy",
    [
        ", fold: 0",
        ", fold: 1",
        ", except: " + str([f"{day}" for day in (
            "2016-03-27", "2016-10-30", "2017-03-26", "2017-10-29"
        )]),
    ],
)  # fmt: skip
def test_fold_or_except_resolves_it(remedy: str) -> None:
    times = f"{RULE}, timezone: Europe/Berlin{remedy}"
    assert policy_of(window(times=times, measures="mark: {fwmark: 0x51}")).windows


def test_windows_that_begin_years_apart_are_still_looked_at_together() -> None:
    old = 'rrule: "FREQ=WEEKLY", start: "2010-01-03T02:00:00", duration: 4h, timezone: UTC'
    new = 'rrule: "FREQ=YEARLY", start: "2027-01-03T03:00:00", duration: 1h, timezone: UTC'
    with pytest.raises(PolicyError, match="armed too at 2027-01-03T03:00Z"):
        policy_of(
            window("a", old, "mark: {fwmark: 0x51}"), window("b", new, "mark: {fwmark: 0x52}")
        )


def test_a_provisional_window_is_right_in_itself_all_the_same() -> None:
    quiet = ", provisional: true"
    times = f"{RULE}, timezone: Europe/Berlin"
    with pytest.raises(PolicyError, match="does not exist"):
        policy_of(window(times=times, measures="mark: {fwmark: 0x51}", more=quiet))
    shown = policy_of(window(times=f"{times}, fold: 0", measures="mark: {fwmark: 1}", more=quiet))
    assert shown.windows[0].provisional
