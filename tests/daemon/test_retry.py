"""A step that failed is tried again at a fixed instant, later each time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
from daemon_worlds import OPENS

from enforcer.retry import RETRY_S, Retry
from enforcer.ruleset.compiler import epoch_ns
from enforcer.service import Service

NOW_NS = epoch_ns(OPENS)


def pauses(retry: Retry, times: int) -> Iterator[float]:
    for _ in range(times):
        retry.stepped(NOW_NS, failed=True)
        assert retry.at_ns is not None
        yield (retry.at_ns - NOW_NS) / 10**9


def test_pauses_grow_and_stop_growing_and_begin_anew_after_a_success() -> None:
    retry = Retry()
    assert retry.at_ns is None
    assert list(pauses(retry, 8)) == pytest.approx([*RETRY_S, RETRY_S[-1], RETRY_S[-1]])
    retry.stepped(NOW_NS, failed=False)
    assert retry.at_ns is None
    assert list(pauses(retry, 1)) == pytest.approx([RETRY_S[0]])


def test_whoever_wakes_the_loop_does_not_put_the_retry_off() -> None:
    """The loop's own part: a turn every 0.1 s, of clients or of other programs' commits."""
    service, set_to = Service.__new__(Service), list[int]()
    service._retry = Retry()
    service._retry.stepped(NOW_NS, failed=True)
    service._timer = SimpleNamespace(set=set_to.append)  # type: ignore[assignment]
    later = OPENS + timedelta(seconds=10)
    service._daemon = SimpleNamespace(next_wake=lambda: later)  # type: ignore[assignment]
    for turn in range(3):
        now_ns = NOW_NS + turn * 10**8
        clock = SimpleNamespace(now_ns=lambda at=now_ns: at, shown_ns=lambda at: at)
        service._clock = clock  # type: ignore[assignment]
        service._set_timer()
    assert set_to == [NOW_NS + int(RETRY_S[0] * 10**9)] * 3
    service._retry.stepped(NOW_NS, failed=False)
    service._set_timer()
    assert set_to[-1] == epoch_ns(later)
