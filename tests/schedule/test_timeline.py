"""Windows as instants: armed from the start on, over at the end, and nothing in between lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from enforcer.policy.model import (
    Activation,
    Gateway,
    Mark,
    Once,
    Policy,
    Recurring,
    TimeForm,
    Window,
)
from enforcer.schedule.timeline import Timeline, active, coming, next_transition, occurrences

EIGHT = datetime(2026, 12, 1, 8, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def hours(number: float) -> datetime:
    return EIGHT + timedelta(hours=number)


def declared(window_id: str, form: TimeForm, *, provisional: bool = False) -> Window:
    record = (window_id, "attack", "noc@isp.example", "NOC-1")
    return Window(*record, form, UTC, "UTC", mark=Mark(fwmark=1), provisional=provisional)


def once(window_id: str, start: float, end: float, *, provisional: bool = False) -> Window:
    return declared(window_id, Once(hours(start), hours(end)), provisional=provisional)


def policy(*windows: Window) -> Policy:
    return Policy(Gateway("edge-1", ("wan0",)), ("freelancer",), windows=windows)


def test_a_window_is_active_from_its_start_on_and_not_at_its_end() -> None:
    window = once("w", 0, 1)
    only = (Activation(hours(0), hours(1), window),)
    instants = (hours(0) - TICK, hours(0), hours(1) - TICK, hours(1))
    assert [active(policy(window), now) for now in instants] == [(), only, only, ()]


def test_active_windows_come_in_order_of_start_and_id() -> None:
    three = policy(once("b", 0, 9), once("z", -1, 9), once("a", 0, 9))
    assert [activation.id for activation in active(three, hours(1))] == ["z", "a", "b"]


def test_a_provisional_window_is_coming_but_never_active() -> None:
    only = policy(once("w", 0, 1, provisional=True))
    assert active(only, hours(0.5)) == ()
    assert next_transition(only, hours(-1)) is None
    assert [activation.id for activation in coming(only, hours(-1), hours(2))] == ["w"]


def test_the_next_transition_is_the_first_start_or_end_strictly_after_now() -> None:
    two = policy(once("a", 0, 4), once("b", 2, 3))
    steps = [hours(-1)]
    while (following := next_transition(two, steps[-1])) is not None:
        steps.append(following)
    assert steps == [hours(-1), hours(0), hours(2), hours(3), hours(4)]


def test_an_occurrence_counts_when_it_shares_an_instant_with_the_span() -> None:
    window = once("w", 0, 1)
    whole = [Activation(hours(0), hours(1), window)]
    assert list(occurrences(window, hours(-1), hours(0))) == []
    assert list(occurrences(window, hours(-1), hours(0) + TICK)) == whole
    assert list(occurrences(window, hours(1) - TICK, hours(2))) == whole
    assert list(occurrences(window, hours(1), hours(2))) == []
    assert list(occurrences(window, hours(0.5), hours(0.5))) == []


def test_what_is_coming_is_in_order_over_all_windows() -> None:
    three = policy(once("c", 5, 6), once("a", 1, 9), once("b", 1, 2))
    assert [a.id for a in coming(three, hours(0), hours(24))] == ["a", "b", "c"]


SPANS = st.tuples(st.integers(0, 20), st.integers(1, 10))


@given(st.lists(SPANS, max_size=6), st.integers(-2, 40))
def test_between_transitions_nothing_changes(spans: list[tuple[int, int]], at: int) -> None:
    every = policy(*(once(f"w{n}", start, start + long) for n, (start, long) in enumerate(spans)))
    now = hours(at)
    following = next_transition(every, now)
    until = following or hours(100)
    assert active(every, now) == active(every, until - TICK)
    if following is not None:
        assert active(every, following) != active(every, now)
    else:
        assert active(every, now) == ()


DAILY = Recurring("FREQ=DAILY", datetime(2026, 11, 1, 22), timedelta(hours=3))  # noqa: DTZ001


@given(st.lists(SPANS, max_size=6), st.integers(-30, 60), st.integers(0, 200))
def test_a_timeline_says_what_looking_at_every_window_says(
    spans: list[tuple[int, int]], begin: int, later: int
) -> None:
    windows = [
        once(f"w{n}", s, s + long, provisional=n % 2 == 1) for n, (s, long) in enumerate(spans)
    ]
    every = policy(*windows, declared("night", DAILY))
    timeline = Timeline.ahead(every, hours(begin))
    now = min(hours(begin + later), timeline.before - timedelta(days=1))
    assert timeline.covers(now)
    assert timeline.active(now) == active(every, now)
    assert timeline.next_transition(now) == next_transition(every, now)
    assert list(timeline.coming(now)) == list(coming(every, now, timeline.before))


def test_a_provisional_window_is_in_a_timeline_and_never_active_there() -> None:
    timeline = Timeline.ahead(policy(once("w", 0, 1, provisional=True)), hours(-1))
    assert [activation.id for activation in timeline.coming(hours(0.5))] == ["w"]
    assert timeline.active(hours(0.5)) == ()
    assert timeline.next_transition(hours(-1)) is None


def test_a_timeline_knows_the_next_ten_occurrences_if_there_are_so_many() -> None:
    yearly = Recurring("FREQ=YEARLY", datetime(2026, 12, 5), timedelta(hours=3))  # noqa: DTZ001
    timeline = Timeline.ahead(policy(declared("fair", yearly), once("w", 0, 1)), hours(-1))
    assert [a.starts_at.year for a in timeline.coming(hours(-1))][:4] == [2026, 2026, 2027, 2028]
    assert len(timeline.occurrences) >= 10
    busy = Timeline.ahead(policy(*(once(f"w{n}", n, n + 1) for n in range(20))), hours(-1))
    assert busy.before == hours(-1) + timedelta(days=8)


def test_a_timeline_says_nothing_about_what_it_does_not_cover() -> None:
    long = policy(*(once(f"w{n}", n, n + 24 * 300) for n in range(20)))
    cut = Timeline.build(long, hours(30), hours(40))
    assert cut.next_transition(hours(30)) is None
    assert not cut.covers(hours(40))
    assert not cut.wears_out(hours(35))
    assert cut.wears_out(hours(35) + TICK)


def test_an_occurrence_that_became_unclear_is_left_out() -> None:
    # As after an update of the zones: `check` would have refused it, and nothing is guessed now.
    berlin = ZoneInfo("Europe/Berlin")
    form = Recurring("FREQ=DAILY", datetime(2026, 3, 28, 2, 30), timedelta(hours=1))  # noqa: DTZ001
    window = Window("w", "r", "d", "n", form, berlin, "Europe/Berlin", mark=Mark(1))
    found = occurrences(
        window, datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 30, 12, tzinfo=UTC)
    )
    assert [a.starts_at.day for a in found] == [28, 30]


def test_a_timeline_of_many_windows_says_the_same() -> None:
    every = policy(*(once(f"w{n}", n / 100, n / 100 + 1) for n in range(3000)))
    timeline = Timeline.ahead(every, hours(0))
    assert timeline.active(hours(10)) == active(every, hours(10))
    assert timeline.next_transition(hours(10)) == next_transition(every, hours(10))
