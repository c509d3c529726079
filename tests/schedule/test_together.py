"""What occurrences may not do together, at the bounds and one step beyond them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from enforcer.errors import PolicyError
from enforcer.schedule.load import load
from enforcer.schedule.orders import Order, Orders
from tests.policy.documents_by_hand import MAIN, ZONES, policy_of, window

TWIN = MAIN.replace(
    "estates:",
    "estates:\n  twin: {prefixes: [203.0.113.8/29], services: [tcp/443]}\n"
    "  other: {prefixes: [198.18.0.0/28], services: [tcp/443]}",
)


def once(start: str, length: str) -> str:
    return f'start: "{start}Z", duration: {length}'


def daily(at: str, length: str, more: str = "") -> str:
    rule = 'rrule: "FREQ=DAILY;COUNT=10"'
    return f'{rule}, start: "2026-12-01T{at}:00", duration: {length}, timezone: UTC{more}'


def guards(estate: str) -> str:
    return f"guard: {{estate: {estate}}}"


def refusal(*windows: str, main: str = MAIN) -> str:
    with pytest.raises(PolicyError) as refused:
        policy_of(*windows, main=main)
    return str(refused.value)


# --- chains of guard windows ----------------------------------------------------------------------


def test_adjacent_guard_windows_may_last_72_hours_together_and_not_a_second_more() -> None:
    first = window("a", once("2026-12-01T00:00:00", "36h"))
    assert policy_of(first, window("b", once("2026-12-02T12:00:00", "36h"))).windows
    assert refusal(first, window("b", once("2026-12-02T12:00:00", "36h1s"))) == (
        'windows.d/w.yaml:2:141: windows[1].measures.guard: "a", "b" guard the same estate from '
        "2026-12-01T00:00Z to 2026-12-04T00:00Z without a pause of 1 h: 72 h 1 s is over the 72 h "
        "ceiling of a guard window, and a chain of guard windows is one guard window; shorten "
        "them, or leave a pause of 1 h between them"
    )


def test_a_pause_of_an_hour_ends_a_guard_window_and_a_shorter_one_does_not() -> None:
    first = window("a", once("2026-12-01T00:00:00", "72h"))
    assert policy_of(first, window("b", once("2026-12-04T01:00:00", "72h"))).windows
    assert "without a pause" in refusal(first, window("b", once("2026-12-04T00:59:59", "1m")))


def test_overlapping_guard_windows_are_one_chain() -> None:
    long = window("a", once("2026-12-01T00:00:00", "72h"))
    assert policy_of(long, window("b", once("2026-12-02T00:00:00", "48h"))).windows
    assert "73 h" in refusal(long, window("b", once("2026-12-02T00:00:00", "49h")))
    # The one that ends last counts, not the one that begins last.
    short = window("b", once("2026-12-01T10:00:00", "1h"))
    third = window("c", once("2026-12-04T00:30:00", "1h"))
    assert "73 h 30 min" in refusal(long, short, third)


def test_a_window_that_recurs_without_a_pause_is_one_guard_window() -> None:
    assert policy_of(window("a", daily("08:00", "12h"))).windows
    message = refusal(window("a", daily("08:00", "23h30m")))
    assert '"a" guards its estate from 2026-12-01T08:00Z' in message
    assert "a chain of guard windows is one guard window" in message


def test_windows_of_different_forms_chain() -> None:
    night = window("night", daily("20:00", "12h"))
    assert policy_of(night, window("day", once("2026-12-03T08:00:00", "12h"))).windows
    days = [window(f"d{n}", once(f"2026-12-0{n}T08:00:00", "12h")) for n in (3, 4, 5)]
    assert "84 h" in refusal(night, *days)


def test_estates_of_other_addresses_do_not_chain_and_those_of_the_same_do() -> None:
    first = window("a", once("2026-12-01T00:00:00", "72h"))
    apart = window("b", once("2026-12-04T00:00:00", "72h"), guards("other"))
    assert policy_of(first, apart, main=TWIN).windows
    again = window("b", once("2026-12-04T00:00:00", "1h"), guards("twin"))
    assert "73 h is over the 72 h ceiling" in refusal(first, again, main=TWIN)


@pytest.mark.parametrize("quiet", [", stage: true", ", provisional: true"])
def test_what_holds_back_nothing_is_no_link_of_a_chain(quiet: str) -> None:
    first = window("a", once("2026-12-01T00:00:00", "72h"))
    assert policy_of(first, window("b", once("2026-12-04T00:00:00", "72h"), more=quiet)).windows


def test_a_mark_between_two_guards_is_no_link_of_a_chain() -> None:
    first = window("a", once("2026-12-01T00:00:00", "72h"))
    mark = window("m", once("2026-12-04T00:00:00", "72h"), "mark: {fwmark: 0x51}")
    assert policy_of(first, mark, window("b", once("2026-12-07T00:00:00", "72h"))).windows


def test_a_thousand_overlapping_guard_windows_are_told_at_once() -> None:
    crowd = [window(f"w{n}", once(f"2026-12-0{1 + n % 4}T00:00:00", "24h")) for n in range(1000)]
    assert "96 h is over" in refusal(*crowd)


# --- half of any 30 days --------------------------------------------------------------------------


def test_half_of_30_days_is_counted_over_all_forms() -> None:
    rule = 'rrule: "FREQ=DAILY", start: "2026-12-01T08:00:00", timezone: UTC, duration: '
    assert policy_of(window("a", f"{rule}12h")).windows
    assert "guard is armed for 360 h 30 s of the 30 days" in refusal(window("a", f"{rule}12h1s"))
    more = window("b", once("2026-12-05T20:00:00", "1h"))
    assert "guard is armed for 361 h" in refusal(window("a", f"{rule}12h"), more)


# --- marks and shares -----------------------------------------------------------------------------


def test_windows_that_meet_only_now_and_then_are_told_when() -> None:
    first = window("a", daily("02:00", "2h"), "mark: {fwmark: 0x51}")
    second = window("b", once("2026-12-07T03:00:00", "1h"), "mark: {fwmark: 0x52}")
    assert "is armed too at 2026-12-07T03:00Z and marks the same" in refusal(first, second)
    after = window("b", once("2026-12-07T04:00:00", "1h"), "mark: {fwmark: 0x52}")
    assert policy_of(first, after).windows


def test_each_pair_of_windows_is_told_once() -> None:
    first = window("a", daily("02:00", "2h"), "mark: {fwmark: 0x51}")
    second = window("b", daily("03:00", "2h"), "mark: {fwmark: 0x52}")
    assert refusal(first, second).count("\n") == 0


def test_shares_are_added_over_what_is_armed_at_once() -> None:
    def share(window_id: str, times: str, part: str) -> str:
        return window(window_id, times, f"reserve: {{link: wan, share: {part}}}")

    first = share("a", daily("02:00", "2h"), "40%")
    assert policy_of(first, share("b", daily("04:00", "2h"), "80%")).windows
    assert policy_of(first, share("b", daily("03:00", "2h"), "40%")).windows
    message = refusal(first, share("b", daily("03:00", "2h"), "41%"))
    assert 'armed too at 2026-12-01T03:00Z, 81% of link "wan" is reserved' in message
    assert message.count("\n") == 0


# --- what was closed ------------------------------------------------------------------------------

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
TEN, A_DAY = "2026-12-01T08:00:00", timedelta(days=1)


def under(
    *windows: str, closed: str = "", now: datetime = NOW, more: tuple[Order, ...] = ()
) -> str:
    """The refusal of windows under the order that one of them, which began at eight, is closed."""
    starts_at = NOW - timedelta(hours=2)
    shut = [Order(closed, starts_at, starts_at + A_DAY, "closed", "noc", NOW)] if closed else []
    documents = {"enforcer.yaml": MAIN.encode(), "windows.d/w.yaml": "".join(windows).encode()}
    try:
        load(documents, "enforcer.yaml", ZONES, now=now, orders=Orders().given([*shut, *more]))
    except PolicyError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("mark: {fwmark: 0x51}", "mark: {fwmark: 0x52}", "is armed too"),
        ("reserve: {link: wan, share: 60%}", "reserve: {link: wan, share: 50%}", "armed too at"),
    ],
)
def test_what_was_closed_clashes_with_nothing(first: str, second: str, said: str) -> None:
    both = [
        window("a", once(TEN, "24h"), first),
        window("b", once("2026-12-01T10:00:00", "2h"), second),
    ]
    assert said in under(*both)
    assert under(*both, closed="a") == ""
    assert said in under(*both, closed="other")
    # The clock may have been set back behind the closing.
    assert under(*both, closed="a", now=NOW - timedelta(hours=1)) == ""


def test_what_is_over_clashes_with_nothing_any_more() -> None:
    """The orders that tell of a closing are forgotten a month after."""
    first = window("a", once(TEN, "24h"), "mark: {fwmark: 0x51}")
    second = window("b", once("2026-12-01T10:00:00", "2h"), "mark: {fwmark: 0x52}")
    assert "is armed too" in under(first, second, now=NOW + timedelta(hours=1))
    assert under(first, second, now=NOW + timedelta(hours=2)) == ""


def test_a_trial_clashes_until_it_has_lapsed() -> None:
    first = window("a", once(TEN, "24h"), "mark: {fwmark: 0x51}", ", provisional: true")
    second = window("b", once("2026-12-01T10:00:00", "2h"), "mark: {fwmark: 0x52}")
    starts_at = NOW - timedelta(hours=2)
    for until, clashes in ((NOW, False), (NOW + timedelta(seconds=1), True)):
        trial = Order("a", starts_at, starts_at + A_DAY, "trial", until=until)
        assert ("is armed too" in under(first, second, more=(trial,))) is clashes


def test_the_ceilings_of_guard_count_what_was_closed_and_say_so() -> None:
    note = (
        '; closed early, and counted as declared all the same: "a" at windows.d/w.yaml:1:3; of a '
        "window that is taken out of its file only the time counts that it was armed"
    )
    first = window("a", once(TEN, "24h"))
    chained = window("b", once("2026-12-02T08:30:00", "50h"))
    told = under(first, chained, closed="a")
    assert told.endswith(f"leave a pause of 1 h between them{note}")
    assert told == under(first, chained) + note
    assert under(chained) == ""
    every = [window(f"w{n}", once(f"2026-12-{n:02}T09:00:00", "23h")) for n in range(2, 17)]
    told = under(first, *every, closed="a")
    assert "of the 30 days" in told
    assert told.endswith(f"or leave guard out of them{note}")
