"""Confirm, close, declare on trial: what may be decided, what not, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from daemon_worlds import BEFORE, CLOSES, INSIDE, MAIN, OPENS

from enforcer import decisions
from enforcer.decisions import RefusedError, keep
from enforcer.errors import PolicyError
from enforcer.observe.audit import FILE as RECORD
from enforcer.policy.model import Calendar, Event, Policy
from enforcer.schedule.agenda import on_at
from enforcer.schedule.load import load
from enforcer.schedule.orders import Order, Orders
from enforcer.sources.files import ZONES
from enforcer.standing import FILE as KEPT
from enforcer.standing import read_orders
from tests.schedule.windows_by_hand import wall

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def window(
    window_id: str, start: str = "2026-12-01T08:00:00Z", lasts: str = "12h", more: str = ""
) -> str:
    return (
        f"- id: {window_id}\n  reason: r\n  declared_by: d\n  reference: REF-{window_id}\n"
        f'  start: "{start}"\n  duration: {lasts}\n{more}'
        "  measures: {guard: {estate: concentrators}}\n"
    )


PROVISIONAL = "  provisional: true\n"


def policy(*windows: str, orders: Orders = Orders()) -> Policy:  # noqa: B008 - a value
    documents = {
        "enforcer.yaml": (MAIN % "false").encode(),
        "windows.d/w.yaml": "".join(windows).encode(),
    }
    return load(documents, "enforcer.yaml", ZONES, now=BEFORE, orders=orders)


MOON = policy(window("moon", more=PROVISIONAL))
PLAIN = policy(window("ddos"))
NONE = Orders()


def test_a_confirmation_opens_a_provisional_occurrence_and_is_on_the_record() -> None:
    decision = decisions.confirm(MOON, NONE, BEFORE, "moon", "noc")
    assert decision.orders.every == (Order("moon", OPENS, CLOSES, "confirmed"),)
    (event,) = decision.events
    assert (event.what, event.who, event.window, event.reference) == (
        "confirmed",
        "noc",
        "moon",
        "REF-moon",
    )
    assert decision.entry is not None
    assert decision.entry.state(INSIDE) == "armed"


@pytest.mark.parametrize("shift", [DAY, -HOUR, timedelta(days=30)])
def test_a_shift_moves_the_occurrence(shift: timedelta) -> None:
    entry = decisions.confirm(MOON, NONE, BEFORE, "moon", "noc", shift).entry
    assert entry is not None
    assert (entry.activation.starts_at, entry.activation.ends_at) == (OPENS + shift, CLOSES + shift)


def test_confirming_twice_changes_nothing_and_another_shift_moves_again() -> None:
    first = decisions.confirm(MOON, NONE, BEFORE, "moon", "noc", DAY)
    again = decisions.confirm(MOON, first.orders, BEFORE + HOUR / 2, "moon", "noc")
    assert (again.orders, again.events) == (first.orders, ())
    back = decisions.confirm(MOON, first.orders, BEFORE, "moon", "noc", timedelta())
    assert back.orders.every == (Order("moon", OPENS, CLOSES, "confirmed"),)


def test_a_day_that_was_missed_is_confirmed_a_day_later_when_it_is_named() -> None:
    now = CLOSES + HOUR
    with pytest.raises(RefusedError, match="no occurrence ahead"):
        decisions.confirm(MOON, NONE, now, "moon", "noc", DAY)
    entry = decisions.confirm(MOON, NONE, now, "moon", "noc", DAY, OPENS).entry
    assert entry is not None
    assert entry.state(INSIDE + DAY) == "armed"


@pytest.mark.parametrize(
    ("window_id", "shift", "message"),
    [
        ("mon", None, 'no window is named "mon"; did you mean "moon"?'),
        ("moon", -DAY, "it would have ended at 2026-11-30T20:00:00Z"),
        ("moon", timedelta(days=31), "is over 30 days"),
    ],
)
def test_a_confirmation_that_makes_no_sense_is_refused(
    window_id: str, shift: timedelta | None, message: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        decisions.confirm(MOON, NONE, BEFORE, window_id, "noc", shift)
    assert message in str(refused.value)


def test_what_is_not_provisional_needs_no_confirmation() -> None:
    with pytest.raises(RefusedError, match="is not provisional and opens by itself"):
        decisions.confirm(PLAIN, NONE, BEFORE, "ddos", "noc")


def test_what_was_closed_is_not_confirmed_open_again() -> None:
    closed = decisions.close(MOON, NONE, BEFORE, "moon", "noc").orders
    with pytest.raises(RefusedError, match="was closed early and stays so"):
        decisions.confirm(MOON, closed, BEFORE, "moon", "noc")


# --- the ceilings ---------------------------------------------------------------------------------

LONG = window("long", "2026-12-03T08:00:00Z", "72h")


def test_a_confirmation_cannot_chain_guard_over_its_ceiling() -> None:
    both = policy(LONG, window("moon", "2026-12-06T09:30:00Z", more=PROVISIONAL))
    decisions.confirm(both, NONE, BEFORE, "moon", "noc")
    with pytest.raises(RefusedError, match="84 h is over the 72 h ceiling of a guard window"):
        decisions.confirm(both, NONE, BEFORE, "moon", "noc", -HOUR - HOUR / 2)


def test_a_shift_cannot_bring_guard_over_half_of_30_days() -> None:
    days = [window(f"w{n}", f"2026-12-{1 + 4 * n:02}T00:00:00Z", "72h") for n in range(5)]
    full = policy(*days, window("moon", "2027-01-20T08:00:00Z", more=PROVISIONAL))
    decisions.confirm(full, NONE, BEFORE, "moon", "noc")
    with pytest.raises(RefusedError, match="of the 30 days"):
        decisions.confirm(full, NONE, BEFORE, "moon", "noc", -timedelta(days=30))


def test_a_confirmed_window_counts_when_files_change() -> None:
    confirmed = decisions.confirm(MOON, NONE, BEFORE, "moon", "noc").orders
    later = window("long", "2026-12-01T20:30:00Z", "71h")
    policy(window("moon", more=PROVISIONAL), later)
    with pytest.raises(PolicyError, match="ceiling of a guard window"):
        policy(window("moon", more=PROVISIONAL), later, orders=confirmed)


def test_a_shift_may_not_push_an_occurrence_onto_the_next() -> None:
    daily = policy(
        window(
            "moon",
            "2026-12-01T08:00:00",
            more=PROVISIONAL + '  timezone: UTC\n  rrule: "FREQ=DAILY;COUNT=5"\n',
        )
    )
    one = decisions.confirm(daily, NONE, BEFORE, "moon", "noc", at=OPENS + DAY).orders
    assert [o.starts_at for o in one.every] == [OPENS + DAY]
    with pytest.raises(RefusedError, match="begins before the one of 2026-12-01T21:00Z ends"):
        decisions.confirm(daily, one, BEFORE, "moon", "noc", 13 * HOUR)


# --- closing --------------------------------------------------------------------------------------


def test_a_closing_ends_what_is_on_and_cancels_what_is_next() -> None:
    for now in (BEFORE, INSIDE):
        decision = decisions.close(PLAIN, NONE, now, "ddos", "noc")
        assert decision.orders.every == (Order("ddos", OPENS, CLOSES, "closed"),)
        assert on_at(PLAIN, decision.orders, INSIDE) == []


NIGHTLY = '  rrule: "FREQ=DAILY"\n  timezone: UTC\n'
DAILY = policy(window("ddos", "2026-12-01T08:00:00", more=NIGHTLY))


def test_who_closes_twice_cancels_no_other_night() -> None:
    once = decisions.close(DAILY, NONE, INSIDE, "ddos", "noc")
    again = decisions.close(DAILY, once.orders, INSIDE + HOUR, "ddos", "noc")
    assert (again.orders, again.events) == (once.orders, ())
    assert again.entry is not None
    assert again.entry.state(INSIDE) == "closed"
    after = decisions.close(DAILY, once.orders, CLOSES, "ddos", "noc")
    assert on_at(DAILY, after.orders, INSIDE + DAY) == []


def test_one_that_is_closed_does_not_hide_one_that_was_moved_beside_it() -> None:
    nights = policy(window("moon", "2026-12-01T08:00:00", more=NIGHTLY + PROVISIONAL))
    moved = decisions.confirm(nights, NONE, BEFORE, "moon", "noc", DAY).orders
    shut = decisions.close(nights, moved, BEFORE, "moon", "noc", OPENS + DAY).orders
    assert len(on_at(nights, shut, INSIDE + DAY)) == 1
    after = decisions.close(nights, shut, INSIDE + DAY, "moon", "noc")
    assert on_at(nights, after.orders, INSIDE + DAY) == []


def test_a_closing_from_a_later_instant_on_does_not_end_what_is_on() -> None:
    with pytest.raises(RefusedError, match="leave --at out to end it now"):
        decisions.close(DAILY, NONE, INSIDE, "ddos", "noc", INSIDE + HOUR)
    assert decisions.close(DAILY, NONE, INSIDE, "ddos", "noc", OPENS).events
    (event,) = decisions.close(DAILY, NONE, INSIDE, "ddos", "noc", OPENS + DAY).events
    assert event.more["starts_at"] == "2026-12-02T08:00:00Z"


def test_a_moved_occurrence_is_closed_where_it_is() -> None:
    moved = decisions.confirm(MOON, NONE, BEFORE, "moon", "noc", DAY).orders
    decision = decisions.close(MOON, moved, INSIDE + DAY, "moon", "noc")
    assert on_at(MOON, decision.orders, INSIDE + DAY) == []
    assert decision.events[0].more["starts_at"] == "2026-12-02T08:00:00Z"
    assert decision.entry is not None
    assert decision.entry.activation.starts_at == OPENS + DAY
    assert decision.entry.state(INSIDE + DAY) == "closed"


def test_disarm_closes_everything_that_is_on_and_nothing_else() -> None:
    two = policy(window("ddos"), window("later", "2026-12-02T08:00:00Z"))
    decision = decisions.close_all(NONE, INSIDE, on_at(two, NONE, INSIDE), "noc")
    assert [o.window for o in decision.orders.every] == ["ddos"]


def test_a_closing_is_not_forgotten_when_the_clock_was_wrong_for_a_moment() -> None:
    closed = decisions.close(PLAIN, NONE, INSIDE, "ddos", "noc").orders
    after = decisions.close_all(closed, CLOSES + 3 * DAY, [], "noc").orders
    assert on_at(PLAIN, after, INSIDE) == []


def test_of_48_occurrences_a_day_the_one_that_is_on_is_closed() -> None:
    """A month of those that are over does not hide it."""
    minutes = timedelta(minutes=1)
    slots = tuple(
        Event("", wall(2026, 11, 1) + 30 * n * minutes, UTC, 0, 20 * minutes, rrule="FREQ=DAILY")
        for n in range(48)
    )
    (plain,) = PLAIN.windows
    calendar = replace(plain, form=Calendar("outages.ics", None, slots))
    dense, on = replace(PLAIN, windows=(calendar,)), OPENS + 5 * minutes
    closed = decisions.close(dense, NONE, on, "ddos", "noc").orders
    assert [o.starts_at for o in closed.every] == [OPENS]
    both = decisions.close(dense, closed, on + 20 * minutes, "ddos", "noc").orders
    assert [o.starts_at for o in both.every] == [OPENS, OPENS + 30 * minutes]


# --- on trial -------------------------------------------------------------------------------------


def test_a_trial_ends_at_its_deadline_and_lapses_on_the_record() -> None:
    decision = decisions.declare(MOON, NONE, INSIDE, "moon", "noc", 5 * HOUR / 60)
    assert decision.events[0].more["confirm_by"] == "2026-12-01T09:05:00Z"
    assert len(on_at(MOON, decision.orders, INSIDE)) == 1
    deadline = INSIDE + timedelta(minutes=5)
    assert on_at(MOON, decision.orders, deadline) == []
    assert decisions.lapse(MOON, decision.orders, deadline - timedelta(seconds=1)) is None
    lapsed = decisions.lapse(MOON, decision.orders, deadline)
    assert lapsed is not None
    assert [o.word for o in lapsed.orders.every] == ["closed"]
    assert [e.what for e in lapsed.events] == ["lapsed"]


def test_the_time_to_confirm_counts_from_the_opening() -> None:
    decision = decisions.declare(MOON, NONE, BEFORE, "moon", "noc", HOUR)
    assert decision.orders.every[0].until == OPENS + HOUR


def test_a_trial_that_is_confirmed_goes_on_to_its_end() -> None:
    trial = decisions.declare(MOON, NONE, INSIDE, "moon", "noc", HOUR).orders
    confirmed = decisions.confirm(MOON, trial, INSIDE + HOUR / 2, "moon", "noc").orders
    assert confirmed.lapsed(CLOSES) == ()
    assert on_at(MOON, confirmed, CLOSES - HOUR)[0].activation.ends_at == CLOSES


def test_a_trial_that_is_over_is_not_confirmed_and_was_closed_by_nobody() -> None:
    trial = decisions.declare(MOON, NONE, INSIDE, "moon", "noc", HOUR).orders
    late = decisions.lapse(MOON, trial, INSIDE + 2 * HOUR)
    assert late is not None
    said = "lapsed at 2026-12-01T10:00:00Z: nobody confirmed it in time; declare a new window"
    for orders in (trial, late.orders):
        with pytest.raises(RefusedError, match=said):
            decisions.confirm(MOON, orders, INSIDE + 2 * HOUR, "moon", "noc")


def test_what_is_closed_already_is_closed_again_without_a_word_on_the_record() -> None:
    for policy, window_id in ((PLAIN, "ddos"), (MOON, "moon")):
        once = decisions.close(policy, NONE, INSIDE, window_id, "noc")
        again = decisions.close(policy, once.orders, INSIDE + HOUR, window_id, "noc")
        assert (again.orders, again.events) == (once.orders, ())
        assert again.entry is not None
        assert again.entry.state(INSIDE) == "closed"
    with pytest.raises(RefusedError, match="has no occurrence ahead"):
        decisions.close(PLAIN, once.orders, CLOSES, "ddos", "noc")


def test_an_ordinary_window_that_was_closed_does_not_open_by_itself() -> None:
    closed = decisions.close(PLAIN, NONE, INSIDE, "ddos", "noc").orders
    with pytest.raises(RefusedError, match="was closed early and stays so; declare a new window"):
        decisions.confirm(PLAIN, closed, INSIDE, "ddos", "noc")


def test_a_trial_counts_in_the_ceilings_as_if_it_were_confirmed() -> None:
    both = policy(LONG, window("moon", "2026-12-06T08:30:00Z", more=PROVISIONAL))
    with pytest.raises(RefusedError, match="ceiling of a guard window"):
        decisions.declare(both, NONE, BEFORE, "moon", "noc", timedelta(minutes=1))


# --- what is kept ---------------------------------------------------------------------------------


def test_a_decision_is_on_disk_and_on_record(tmp_path: Path) -> None:
    decision = decisions.confirm(MOON, NONE, BEFORE, "moon", "noc")
    assert keep(tmp_path, NONE, decision) is None
    assert read_orders(tmp_path) == decision.orders
    assert '"what":"confirmed"' in (tmp_path / RECORD).read_text()


def test_what_opens_and_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    (tmp_path / RECORD).mkdir()
    decision = decisions.confirm(MOON, NONE, BEFORE, "moon", "noc")
    with pytest.raises(RefusedError, match="must be on the record"):
        keep(tmp_path, NONE, decision)
    assert read_orders(tmp_path) == NONE


def test_what_ends_something_is_done_and_the_trouble_told(tmp_path: Path) -> None:
    (tmp_path / RECORD).mkdir()
    decision = decisions.close(PLAIN, NONE, INSIDE, "ddos", "noc")
    assert "not on the record" in (keep(tmp_path, NONE, decision) or "")
    assert read_orders(tmp_path) == decision.orders
    (tmp_path / f".{KEPT}.new").mkdir()
    other = decisions.close(MOON, NONE, INSIDE, "moon", "noc")
    assert "would open it again" in (keep(tmp_path, NONE, other) or "")


def test_orders_that_are_lost_refuse_what_opens_and_not_what_closes() -> None:
    lost = Orders(readable=False)
    with pytest.raises(RefusedError, match="cannot be read"):
        decisions.confirm(MOON, lost, BEFORE, "moon", "noc")
    assert decisions.close(PLAIN, lost, INSIDE, "ddos", "noc").orders.every != ()


def test_instants_of_the_record_are_utc() -> None:
    event = decisions.close(PLAIN, NONE, INSIDE, "ddos", "noc").events[0]
    assert event.more == {"starts_at": "2026-12-01T08:00:00Z", "ends_at": "2026-12-01T20:00:00Z"}
