"""Log lines: one line an event, whatever is in the values."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator

import pytest

from enforcer import log


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    logger = logging.getLogger("enforcer")
    before, propagate = list(logger.handlers), logger.propagate
    yield
    logger.handlers[:] = before
    logger.propagate = propagate


def said(
    capsys: pytest.CaptureFixture[str], form: str = "text", *, journal: bool = False
) -> list[str]:
    log.configure(form, journal=journal)
    log.info("applied", cause="timer", armed="ddos,exam", ms=1.5)
    log.warning("drift", by="", what="two words")
    log.error("apply_failed", error='no "table"\nof ours')
    return capsys.readouterr().err.splitlines()


def test_text_is_for_people_and_grep(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == [
        "info applied cause=timer armed=ddos,exam ms=1.5",
        'warning drift by="" what="two words"',
        'error apply_failed error="no \\"table\\"\\nof ours"',
    ]


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert [json.loads(line) for line in said(capsys, "json")] == [
        {"level": "info", "event": "applied", "cause": "timer", "armed": "ddos,exam", "ms": 1.5},
        {"level": "warning", "event": "drift", "by": "", "what": "two words"},
        {"level": "error", "event": "apply_failed", "error": 'no "table"\nof ours'},
    ]


def test_the_journal_gets_its_priorities(capsys: pytest.CaptureFixture[str]) -> None:
    assert [line[:3] for line in said(capsys, journal=True)] == ["<6>", "<4>", "<3>"]
    assert [line[:4] for line in said(capsys, "json", journal=True)] == ["<6>{", "<4>{", "<3>{"]


@pytest.mark.parametrize("bad", ["\x1b[2J", "a\rb", "a\u2028b", "\x7f", "a\tb"])
def test_a_value_cannot_drive_a_terminal_or_begin_a_line(
    capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    log.configure("text", journal=False)
    log.info("said", value=bad)
    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert line.isprintable()
    assert json.loads(line.partition("value=")[2]) == bad


# --- storms ---------------------------------------------------------------------------------------


def test_of_a_storm_thirty_lines_a_minute_are_written_and_the_rest_is_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    log.configure("text", journal=False)
    for number in range(1000):
        log.warning("refused", by=f"uid {number}")
    log.info("applied", cause="timer")
    now[0] += 59.9
    log.warning("refused", by="uid 1000")
    assert capsys.readouterr().err.splitlines() == [
        *(f'warning refused by="uid {number}"' for number in range(log.MOST)),
        "info applied cause=timer",
    ]
    now[0] += 0.1
    log.settle()
    log.settle()
    log.warning("refused", by="uid 1001")
    assert capsys.readouterr().err.splitlines() == [
        "warning left_out of=refused lines=971 most_a_minute=30",
        'warning refused by="uid 1001"',
    ]


def test_what_was_left_out_is_said_by_the_next_line_of_any_event(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    log.configure("text", journal=False)
    for _ in range(log.MOST + 1):
        log.error("drift")
    now[0] = 61.0
    log.info("applied")
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "warning left_out of=drift lines=1 most_a_minute=30",
        "info applied",
    ]


def test_a_storm_of_many_events_keeps_no_memory_of_those_that_are_over() -> None:
    limit = log.Limit()
    for number in range(10_000):
        assert limit.admits(f"event {number}", float(number))
        limit.over(float(number))
    assert len(limit._minutes) <= 60
