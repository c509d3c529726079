"""Standing orders as values: one for each occurrence, and a lost one never adds restriction."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from enforcer.policy.model import Activation, Once
from enforcer.schedule.orders import Order, Orders, closing, counted, moved, opens
from tests.schedule.windows_by_hand import utc, window

STARTS, ENDS = utc(2026, 12, 1, 8), utc(2026, 12, 1, 20)
PLAIN = Activation(STARTS, ENDS, window(Once(STARTS, ENDS)))
PROVISIONAL = replace(PLAIN, window=replace(PLAIN.window, provisional=True))
DAY = timedelta(days=1)
CONFIRMED = Order("w", STARTS, ENDS, "confirmed", shift=DAY)
TRIAL = Order("w", STARTS, ENDS, "trial", until=STARTS + timedelta(minutes=5))
CLOSED = Order("w", STARTS, ENDS, "closed")


def test_without_an_order_a_provisional_occurrence_stays_shut_and_others_open() -> None:
    assert opens(PLAIN, None)
    assert not opens(PROVISIONAL, None)


def test_orders_open_and_shut() -> None:
    assert [opens(PROVISIONAL, order) for order in (CONFIRMED, TRIAL, CLOSED)] == [
        True,
        True,
        False,
    ]
    assert not opens(PLAIN, CLOSED)


def test_a_confirmation_moves_an_occurrence_and_keeps_its_length() -> None:
    assert moved(PROVISIONAL, CONFIRMED) == Activation(STARTS + DAY, ENDS + DAY, PROVISIONAL.window)


def test_what_is_closed_is_told_where_it_had_been_moved_to() -> None:
    order = closing(PROVISIONAL, "noc", STARTS, CONFIRMED.shift)
    assert moved(PROVISIONAL, order) == moved(PROVISIONAL, CONFIRMED)
    assert counted(PROVISIONAL, order) is None


def test_a_trial_ends_at_its_deadline_or_at_the_end_whichever_comes_first() -> None:
    assert TRIAL.until is not None
    assert moved(PROVISIONAL, TRIAL).ends_at == TRIAL.until
    late = replace(TRIAL, until=ENDS + DAY)
    assert moved(PROVISIONAL, late).ends_at == ENDS


def test_the_ceilings_count_trials_in_full_and_do_not_forget_what_was_closed() -> None:
    assert counted(PROVISIONAL, None) is None
    assert counted(PROVISIONAL, CLOSED) is None
    assert counted(PROVISIONAL, TRIAL) == PROVISIONAL
    assert counted(PROVISIONAL, CONFIRMED) == moved(PROVISIONAL, CONFIRMED)
    assert counted(PLAIN, CLOSED) == PLAIN


def test_a_new_order_replaces_the_one_about_the_same_occurrence() -> None:
    other = replace(CLOSED, starts_at=STARTS + DAY, ends_at=ENDS + DAY)
    orders = Orders().given([TRIAL, other]).given([CONFIRMED])
    assert orders == Orders((CONFIRMED, other))
    assert orders.about(PLAIN) == CONFIRMED


def test_an_order_is_kept_for_30_days_after_it_makes_no_difference() -> None:
    orders, second = Orders().given([CONFIRMED]), timedelta(seconds=1)
    assert CONFIRMED.forgettable_at == ENDS + DAY
    assert orders.kept(ENDS + 31 * DAY - second) == orders
    assert orders.kept(ENDS + 31 * DAY) == Orders()
    early = Orders().given([replace(CONFIRMED, shift=-DAY)])
    assert early.kept(ENDS + 30 * DAY - second) == early
    assert early.kept(ENDS + 30 * DAY) == Orders()


def test_a_trial_lapses_at_its_deadline() -> None:
    orders = Orders().given([TRIAL])
    assert TRIAL.until is not None
    assert orders.lapsed(TRIAL.until - timedelta(seconds=1)) == ()
    assert orders.lapsed(TRIAL.until) == (TRIAL,)


def test_a_closing_names_the_occurrence_and_who() -> None:
    order = closing(PLAIN, "noc", STARTS)
    assert order == CLOSED
    assert (order.by, order.given_at) == ("noc", STARTS)


@pytest.mark.parametrize(
    "wrong",
    [{"word": "trial"}, {"word": "closed", "until": ENDS}, {"word": "confirmed", "until": ENDS}],
)
def test_an_order_that_says_too_much_or_too_little_is_none(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="trial"):
        Order("w", STARTS, ENDS, **wrong)  # type: ignore[arg-type]


def test_what_others_have_closed_counts_unless_somebody_decided_since() -> None:
    early, late = utc(2026, 12, 1, 9), utc(2026, 12, 1, 10)
    closed = replace(CLOSED, given_at=early)
    written = Orders((closed, replace(CONFIRMED, window="x")))
    assert Orders().ended_in(written) == (closed,), "what opens something is not taken over"
    assert Orders((CONFIRMED,)).ended_in(written) == (closed,)
    assert Orders((replace(CONFIRMED, given_at=early),)).ended_in(written) == (closed,)
    assert Orders((replace(CONFIRMED, given_at=late),)).ended_in(written) == ()
    assert Orders((CLOSED,)).ended_in(written) == ()
    assert Orders((closed,)).ended_in(Orders()) == ()
