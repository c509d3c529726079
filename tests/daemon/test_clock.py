"""The timer keeps to the wall clock; the clock tells whether it is kept right."""

from __future__ import annotations

import select
import time
from datetime import UTC, timedelta

from enforcer.clock import SystemClock, Timer


def test_the_timer_fires_at_its_instant_and_not_before() -> None:
    timer, clock = Timer(), SystemClock()
    at_ns = clock.now_ns() + 50_000_000
    timer.set(at_ns)
    assert select.select([timer], [], [], 5)[0] == [timer]
    assert clock.now_ns() >= at_ns
    assert timer.drain() is False
    assert select.select([timer], [], [], 0)[0] == []
    timer.close()


def test_an_instant_that_is_past_fires_at_once() -> None:
    timer = Timer()
    timer.set(1)
    assert select.select([timer], [], [], 5)[0] == [timer]
    timer.close()


def test_now_is_aware_utc_and_agrees_with_the_nanoseconds() -> None:
    clock = SystemClock()
    now, ns = clock.now(), clock.now_ns()
    assert now.utcoffset() == timedelta(0)
    assert now.tzinfo is UTC
    assert abs(now.timestamp() - ns / 1e9) < 1
    assert abs(ns - time.time_ns()) < 10**9


def test_whether_the_clock_is_synchronised_is_a_plain_answer() -> None:
    assert SystemClock().synchronised() in (True, False)
