"""The record only ever grows, a line at a time, and what was acknowledged is on it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enforcer.observe.audit import FILE, Event, line, record

EVENT = Event(
    datetime(2026, 12, 1, 8, tzinfo=UTC),
    "confirmed",
    "noc (pid 7)",
    "ashura",
    "PTA/2026/118 – zażółć",
    {"shift_s": 86400},
)
TEXT = (
    '{"at":"2026-12-01T08:00:00Z","reference":"PTA/2026/118 – zażółć","shift_s":86400,'
    '"v":1,"what":"confirmed","who":"noc (pid 7)","window":"ashura"}'
)


def test_a_line_is_canonical_so_that_a_digest_names_it() -> None:
    assert line(EVENT) == TEXT


def test_lines_are_appended_and_read_back(tmp_path: Path) -> None:
    for _ in range(2):
        record(tmp_path / "state", EVENT)
    assert (tmp_path / "state" / FILE).read_text("utf-8") == f"{TEXT}\n{TEXT}\n"


def test_half_a_line_of_a_crash_spoils_only_itself(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"at":"2026')
    record(tmp_path, EVENT)
    assert (tmp_path / FILE).read_text("utf-8").splitlines() == ['{"at":"2026', TEXT]


def test_no_value_of_an_event_can_pose_as_another_line(tmp_path: Path) -> None:
    sly = Event(EVENT.at, "confirmed", "x", "w", 'a\n{"v":1}', {"v": 9, "who": "root"})
    record(tmp_path, sly)
    (only,) = (tmp_path / FILE).read_text("utf-8").splitlines()
    read = json.loads(only)
    assert (read["v"], read["who"], read["reference"]) == (1, "x", 'a\n{"v":1}')


def test_what_cannot_be_recorded_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(OSError, match=FILE):
        record(tmp_path, EVENT)
