"""What is known of a feed, written and read back; and nothing that was not written so."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.feeds.state import (
    MOST_BYTES,
    MOST_PROBLEM,
    Accepted,
    SpoiltError,
    State,
    parsed,
    written,
)
from tests.feeds.feed_world import NOW

ONE = Accepted("a" * 64, "b" * 64, "https://a.example/r", "c" * 64, 5, NOW, 42, '"v1"', "today")
STATE = State(ONE, NOW, NOW + timedelta(seconds=5), "failed", "no", {"accepted": 3, "failed": 1})


@pytest.mark.parametrize("state", [STATE, State(), State(replace(ONE, serial=None, etag=None))])
def test_what_is_written_is_read_back(state: State) -> None:
    assert parsed(written(state)) == state


@pytest.mark.parametrize("said", ["\xff" * 60_000, "\U0001f600" * 60_000, "\x1b[2J\n" * 9_000])
def test_what_is_written_can_be_read_whatever_a_server_said(said: str) -> None:
    accepted = replace(ONE, url="https://a.example/" + "r" * 60_000)
    state = replace(STATE, accepted=accepted).counted("failed", NOW, said)
    data = written(state)
    assert len(data) < MOST_BYTES
    problem = parsed(data).problem
    assert problem == state.problem
    assert problem is not None
    assert problem.isprintable()
    assert len(problem) <= MOST_PROBLEM


def test_a_state_without_the_word_of_its_feed_is_of_before_there_was_one() -> None:
    state = replace(STATE, accepted=replace(ONE, named=True))
    assert parsed(written(state)) == state
    value = json.loads(written(state))
    del value["accepted"]["named"]
    assert parsed(json.dumps(value).encode()) == STATE


def test_of_which_address_an_older_one_does_not_say() -> None:
    state = replace(STATE, accepted=replace(ONE, address="d" * 64))
    assert parsed(written(state)) == state
    value = json.loads(written(state))
    for odd in ("short", 7, None):
        value["accepted"]["address"] = odd
        assert parsed(json.dumps(value).encode()) == STATE
    del value["accepted"]["address"]
    assert parsed(json.dumps(value).encode()) == STATE


def test_what_an_older_one_wrote_is_shown_without_escapes() -> None:
    assert parsed(written(replace(STATE, problem="a\x1b[2J\nb"))).problem == "a [2J b"


def test_an_attempt_is_counted_and_only_success_counts_as_checked() -> None:
    later = NOW + timedelta(hours=1)
    failed = STATE.counted("failed", later, "why")
    assert (failed.checked_at, failed.tried_at, failed.problem) == (NOW, later, "why")
    assert failed.counts == {"accepted": 3, "failed": 2}
    good = failed.counted("unchanged", later, None)
    assert (good.checked_at, good.problem) == (later, None)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"accepted": {**json.loads(written(STATE))["accepted"], "serial": -1}},
        {"accepted": {**json.loads(written(STATE))["accepted"], "serial": True}},
        {"accepted": {**json.loads(written(STATE))["accepted"], "digest": "short"}},
        {"accepted": {**json.loads(written(STATE))["accepted"], "etag": "a\r\nX: y"}},
        {"accepted": {**json.loads(written(STATE))["accepted"], "at": "2026-12-01T08:00:00"}},
        {"checked_at": "0001-01-01T00:00:00+14:00"},
        {"result": "well"},
        {"counts": 5},
        {"problem": 5},
    ],
)
def test_what_was_not_written_by_us_is_spoilt(change: dict[str, Any]) -> None:
    value = json.loads(written(STATE))
    with pytest.raises(SpoiltError):
        parsed(json.dumps(value | change).encode())


@given(st.binary(max_size=300))
def test_noise_is_spoilt(data: bytes) -> None:
    with pytest.raises(SpoiltError):
        parsed(data)
