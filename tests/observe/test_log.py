"""Log lines: one line an event, whatever is in the values."""

from __future__ import annotations

import json
import logging
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
