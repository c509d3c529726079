"""Which windows the page shows, however many there are."""

from __future__ import annotations

from datetime import datetime, timedelta

from enforcer.observe.page.look import AHEAD, MOST_ROWS, PAST, rows
from enforcer.policy.model import Mark, Recurring, Window
from enforcer.schedule.orders import Order, Orders
from tests.observe.page_worlds import (
    DAY,
    DDOS,
    EXAMS,
    HOUR,
    KARACHI,
    NO_ORDERS,
    NOW,
    SWAP,
    WORKS,
    look,
    once,
    snapshot,
)


def names(orders: Orders = NO_ORDERS) -> list[str]:
    laid, _ = rows(snapshot(orders=orders), orders, NOW)
    return [row.window for row in laid]


def test_what_is_armed_comes_first_then_what_is_next_then_what_is_over() -> None:
    assert names() == ["ddos", "exams", "works", "standby", "swap"]


def test_each_row_has_the_occurrences_of_the_span_and_no_others() -> None:
    found = {row.window: row.entries for row in look().rows}
    assert [e.activation.starts_at for e in found["ddos"]] == [NOW - HOUR]
    # Eight in the morning in Karachi, 03:00 UTC, of every day that the span touches.
    assert len(found["exams"]) == (PAST + AHEAD).days
    assert [e.state(NOW) for e in found["standby"]] == ["provisional"]
    far = snapshot([once("far", 40 * DAY, HOUR), once("old", -9 * DAY, HOUR)], armed=())
    assert rows(far, NO_ORDERS, NOW) == ((), 0)


def test_what_an_order_moved_in_or_closed_is_shown_as_it_will_be() -> None:
    starts, ends = NOW + 14 * DAY, NOW + 15 * DAY
    moved = Orders().given([Order("standby", starts, ends, "confirmed", shift=-DAY)])
    entry = next(r for r in rows(snapshot(orders=moved), moved, NOW)[0] if r.window == "standby")
    assert [(e.activation.starts_at, e.state(NOW)) for e in entry.entries] == [
        (NOW + 13 * DAY, "next")
    ]
    closed = Orders().given([Order("works", NOW + 4 * DAY, NOW + 6 * DAY, "closed")])
    assert "works" in names(closed)


def test_what_is_due_is_told_whether_it_is_armed_or_not() -> None:
    assert [e.activation.id for e in look(snapshot(armed=())).due] == ["ddos"]


def test_what_is_armed_has_a_row_however_many_come_sooner() -> None:
    soon = [once(f"w{n:05}", timedelta(minutes=n + 1), HOUR) for n in range(100)]
    long = once("long", -HOUR, 3 * DAY)
    laid, _ = rows(snapshot([*soon, long], armed=("long",)), NO_ORDERS, NOW)
    assert laid[0].window == "long"


def test_ten_thousand_windows_are_a_few_rows_and_a_number() -> None:
    many = [once(f"w{n:05}", HOUR + timedelta(minutes=n), HOUR) for n in range(10_000)]
    over = [once(f"o{n:05}", -DAY - timedelta(minutes=n), HOUR) for n in range(100)]
    seen = snapshot([*over, *many, DDOS, SWAP, WORKS, EXAMS])
    laid, more = rows(seen, NO_ORDERS, NOW)
    assert [row.window for row in laid[:3]] == ["ddos", "w00000", "w00001"]
    assert len(laid) == MOST_ROWS
    assert more == 10_000 + 100 + 4 - MOST_ROWS


def test_a_thousand_windows_that_recur_are_laid_out_for_their_rows_only() -> None:
    first = datetime.fromisoformat("2026-11-01T00:00")
    each = [
        Window(
            f"r{n}", "r", "d", "f",
            Recurring("FREQ=DAILY", first + timedelta(minutes=n), timedelta(minutes=10)),
            KARACHI, "Asia/Karachi", mark=Mark(1),
        )
        for n in range(1000)
    ]  # fmt: skip
    laid, more = rows(snapshot(each, armed=()), NO_ORDERS, NOW)
    assert (len(laid), more) == (MOST_ROWS, 1000 - MOST_ROWS)
