"""What goes to the disk is done in order, beside whoever hands it over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from enforcer.scribe import Job, Scribe

PATIENCE_S = 20


class Hung:
    """Work that has begun and ends when it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, _: Job) -> None:
        self.begun.set()
        assert self.go.wait(PATIENCE_S)


@pytest.fixture
def hung() -> Iterator[Hung]:
    made = Hung()
    yield made
    made.go.set()


@pytest.fixture
def scribe() -> Scribe:
    made = Scribe()
    made.start()
    return made


def noting(done: list[str], name: str) -> Callable[[Job], None]:
    return lambda _: done.append(name)


def test_before_it_is_started_a_job_is_done_where_it_is_handed_over() -> None:
    done: list[str] = []
    scribe = Scribe()
    assert scribe.hand(noting(done, "a")).wait(0)
    assert done == ["a"]
    assert scribe.close()


def test_jobs_wait_in_order_behind_one_that_hangs_and_nobody_with_them(
    scribe: Scribe, hung: Hung
) -> None:
    done: list[str] = []
    scribe.hand(hung)
    assert hung.begun.wait(PATIENCE_S)
    jobs = [scribe.hand(noting(done, name)) for name in "abc"]
    assert scribe.hangs_s() > 0
    assert not jobs[0].wait(0.01)
    assert not scribe.close(0.01)
    hung.go.set()
    assert scribe.close(PATIENCE_S)
    assert done == ["a", "b", "c"]
    assert scribe.hangs_s() == 0


def test_of_one_slot_the_newest_waits_at_the_end(scribe: Scribe, hung: Hung) -> None:
    done: list[str] = []
    scribe.hand(hung, "seen")
    assert hung.begun.wait(PATIENCE_S)
    first = scribe.hand(noting(done, "old"), "seen")
    scribe.hand(noting(done, "between"))
    assert scribe.hand(noting(done, "new"), "seen") is first
    hung.go.set()
    assert scribe.close(PATIENCE_S)
    assert done == ["between", "new"]


def test_what_is_given_up_is_not_begun_any_more(scribe: Scribe, hung: Hung) -> None:
    done: list[str] = []
    scribe.hand(hung)
    assert hung.begun.wait(PATIENCE_S)
    job = scribe.hand(noting(done, "a"))
    assert job.give_up()
    hung.go.set()
    assert scribe.close(PATIENCE_S)
    assert done == []


def test_what_is_under_way_learns_that_it_was_given_up(scribe: Scribe, hung: Hung) -> None:
    claimed: list[bool] = []

    def work(job: Job) -> None:
        hung(job)
        claimed.append(job.claim())

    job = scribe.hand(work)
    assert hung.begun.wait(PATIENCE_S)
    assert job.give_up()
    hung.go.set()
    assert scribe.close(PATIENCE_S)
    assert claimed == [False]


def test_what_was_claimed_or_is_over_cannot_be_given_up(scribe: Scribe, hung: Hung) -> None:
    def work(job: Job) -> None:
        assert job.claim()
        hung(job)

    job = scribe.hand(work)
    assert hung.begun.wait(PATIENCE_S)
    assert not job.give_up()
    hung.go.set()
    over = scribe.hand(lambda _: None)
    assert over.wait(PATIENCE_S)
    assert not over.give_up()


def test_a_disk_that_refuses_is_told_to_who_waits_and_the_next_job_is_done(scribe: Scribe) -> None:
    def full(_: Job) -> None:
        raise OSError(28, "No space left on device")

    job = scribe.hand(full)
    assert job.wait(PATIENCE_S)
    assert isinstance(job.error, OSError)
    assert scribe.hand(lambda _: None).wait(PATIENCE_S)


def test_a_mistake_of_ours_is_raised_where_the_next_job_is_handed_over(scribe: Scribe) -> None:
    def wrong(_: Job) -> None:
        raise KeyError("digest")

    assert scribe.hand(wrong).wait(PATIENCE_S)
    assert scribe.close(PATIENCE_S)
    with pytest.raises(RuntimeError, match="ended with an exception") as raised:
        scribe.hand(lambda _: None)
    assert isinstance(raised.value.__cause__, KeyError)
