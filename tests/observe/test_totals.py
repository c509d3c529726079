"""Totals never go backward: not when a window closes, and not for a scrape in between."""

from __future__ import annotations

import threading

import pytest

from enforcer.observe.totals import Totals
from enforcer.ruleset.measures import CounterName

NAME = CounterName("guard", "ddos", "held_back", 4, "unregistered")
KEY = str(NAME)
ONE = frozenset({KEY})


class Running:
    """The kernel's counters, as a dict that tests change."""

    def __init__(self) -> None:
        self.counts: dict[str, tuple[int, int]] = {}

    def __call__(self) -> dict[str, tuple[int, int]]:
        return dict(self.counts)


def test_a_closed_window_keeps_its_totals_and_a_reopened_one_adds_to_them() -> None:
    kernel = Running()
    totals = Totals(kernel)
    kernel.counts[KEY] = (3, 300)
    assert totals.now() == {NAME: (3, 300)}
    totals.take_over(kernel)
    assert totals.now() == {NAME: (3, 300)}, "taken over, and still running: told once"
    del kernel.counts[KEY]
    assert totals.now() == {NAME: (3, 300)}, "gone from the kernel, and not yet said so"
    totals.deleted(ONE)
    assert totals.now() == {NAME: (3, 300)}
    kernel.counts[KEY] = (2, 200)
    assert totals.now() == {NAME: (5, 500)}


def test_a_counter_that_runs_on_after_it_was_taken_over_is_taken_over_again() -> None:
    totals = Totals(Running())
    totals.take_over(lambda: {KEY: (3, 300)})
    totals.take_over(lambda: {KEY: (4, 400)})
    totals.deleted(ONE)
    assert totals.now() == {NAME: (4, 400)}


def test_a_reopened_window_that_grew_past_its_old_value_before_a_look_adds_to_it() -> None:
    kernel = Running()
    totals = Totals(kernel)
    kernel.counts[KEY] = (3, 300)
    totals.take_over(kernel)
    totals.deleted(ONE)
    kernel.counts[KEY] = (4, 400)
    assert totals.now() == {NAME: (7, 700)}


@pytest.mark.parametrize("after", [{}, {KEY: (0, 0)}, {KEY: (2, 500)}, {KEY: (5, 200)}])
def test_a_counter_that_another_program_deletes_or_resets_takes_nothing_away(
    after: dict[str, tuple[int, int]],
) -> None:
    kernel = Running()
    totals = Totals(kernel)
    kernel.counts[KEY] = (3, 300)
    totals.now()
    kernel.counts = after
    packets, octets = after.get(KEY, (0, 0))
    assert totals.now() == {NAME: (3 + packets, 300 + octets)}
    assert totals.now() == {NAME: (3 + packets, 300 + octets)}, "closed once"
    kernel.counts = {KEY: (9, 900)}
    assert totals.now() == {NAME: (12, 1200)}
    totals.take_over(kernel)
    kernel.counts = {}
    totals.deleted(ONE)
    assert totals.now() == {NAME: (12, 1200)}


def test_names_that_are_not_ours_are_left_out() -> None:
    assert Totals(lambda: {"somebody/else": (1, 1), "x": (1, 1)}).now() == {}


def test_a_scrape_while_a_window_closes_never_tells_a_counter_twice() -> None:
    """The read of the kernel and the sum belong together: the daemon waits for a scrape."""
    reading, go_on = threading.Event(), threading.Event()

    def slow() -> dict[str, tuple[int, int]]:
        reading.set()
        assert go_on.wait(10)
        return {KEY: (3, 300)}

    totals = Totals(slow)
    told: list[dict[CounterName, tuple[int, int]]] = []
    scrape = threading.Thread(target=lambda: told.append(totals.now()))
    scrape.start()
    assert reading.wait(10)

    def close() -> None:
        totals.take_over(lambda: {KEY: (3, 300)})
        totals.deleted(ONE)

    daemon = threading.Thread(target=close)
    daemon.start()
    daemon.join(0.05)
    go_on.set()
    scrape.join(10)
    daemon.join(10)
    assert told == [{NAME: (3, 300)}]
