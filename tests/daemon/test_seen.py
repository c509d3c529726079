"""What was last seen is a help: read back when it can be, and nothing when it cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from enforcer.seen import FILE, Seen, read_seen, write_seen

SEEN = Seen(
    datetime(2026, 12, 1, 8, tzinfo=UTC),
    {("ddos", "2026-12-01T08:00:00Z"): [{"measure": "guard", "packets": 7}]},
)


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    write_seen(tmp_path, SEEN)
    assert read_seen(tmp_path) == SEEN


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at":"now","windows":[]}', '{"at":7}'])
def test_what_is_spoilt_is_nothing(tmp_path: Path, text: str) -> None:
    assert read_seen(tmp_path) == Seen()
    (tmp_path / FILE).write_text(text)
    assert read_seen(tmp_path) == Seen()
