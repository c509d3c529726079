"""An event becomes one record, whatever its values are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from enforcer.observe.audit import FILE, Event, record, values
from tests.observe.audit_worlds import event, lines

EVENT = event(0, shift_s=86400)


def test_an_event_is_one_line_of_plain_keys(tmp_path: Path) -> None:
    link = record(tmp_path / "state", EVENT)
    (told,) = lines(tmp_path / "state")
    assert told == {
        "at": "2026-12-01T08:00:00Z",
        "digest": link.digest,
        "prev": "0" * 64,
        "reference": "PTA/2026/118 – zażółć",
        "seq": 1,
        "shift_s": 86400,
        "v": 2,
        "what": "confirmed",
        "who": "noc (uid 7)",
        "window": "w0",
    }


def test_instants_of_the_record_are_utc() -> None:
    there = timezone(timedelta(hours=5))
    told = values(Event(datetime(2026, 12, 1, 13, tzinfo=there), "armed", "enforcer", "w", "R"))
    assert told["at"] == "2026-12-01T08:00:00Z"


def test_no_value_of_an_event_can_pose_as_another_line_or_key(tmp_path: Path) -> None:
    sly = {"v": 9, "who": "root", "seq": 77, "prev": "x", "digest": "y", "what": "armed"}
    record(tmp_path, Event(EVENT.at, "confirmed", "x", "w", 'a\n{"v":1}', sly))
    (only,) = (tmp_path / FILE).read_bytes().splitlines()
    read = json.loads(only)
    assert (read["v"], read["who"], read["seq"], read["what"]) == (2, "x", 1, "confirmed")
    assert read["reference"] == 'a\n{"v":1}'


def test_what_cannot_be_recorded_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(OSError, match=FILE):
        record(tmp_path, EVENT)


def test_a_text_is_kept_to_a_length_that_a_line_can_bear(tmp_path: Path) -> None:
    long = Event(datetime(2026, 12, 1, tzinfo=UTC), "declared", "x", "w", "r" * 10**6)
    assert len(values(long)["reference"]) < 5000
    assert values(long)["reference"].endswith("…")
