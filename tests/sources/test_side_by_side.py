"""Results in order, errors where they are due, and no thread where there is none to be had."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from enforcer.sources.side_by_side import side_by_side


@pytest.fixture(autouse=True)
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def slow_first(value: int) -> int:
    time.sleep(0.02 if value == 0 else 0)
    return value * value


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_results_come_in_the_order_of_the_values(count: int) -> None:
    assert list(side_by_side(slow_first, range(count))) == [n * n for n in range(count)]


def test_two_work_at_a_time() -> None:
    both = threading.Barrier(2, timeout=10)
    list(side_by_side(lambda _: both.wait(), range(4)))


def test_an_error_is_raised_where_its_result_is_due() -> None:
    results = side_by_side(lambda value: 1 // (value - 2), range(9))
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_only_a_few_are_worked_on_ahead() -> None:
    begun: list[int] = []
    results = side_by_side(lambda value: begun.append(value), iter(range(1000)))
    next(results)
    assert len(begun) <= 4
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 4


def test_one_processor_works_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    here = threading.current_thread()
    assert set(side_by_side(lambda _: threading.current_thread(), range(9))) == {here}


def test_without_a_thread_it_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", none)
    assert list(side_by_side(slow_first, range(9))) == [n * n for n in range(9)]
