"""Windows closed early stay closed over a restart; a spoilt note is said, not trusted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from enforcer.closures import FILE, Closure, read_closures, write_closures

CLOSURE = Closure(
    "ddos",
    datetime(2026, 12, 1, 8, tzinfo=UTC),
    datetime(2026, 12, 1, 20, tzinfo=UTC),
    "noc (pid 7)",
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_closures(tmp_path, {CLOSURE})
    assert read_closures(tmp_path) == {CLOSURE}
    assert sorted(p.name for p in tmp_path.iterdir()) == [FILE]


def test_no_file_means_no_closures(tmp_path: Path) -> None:
    assert read_closures(tmp_path) == frozenset()


@pytest.mark.parametrize(
    "text", ["", "{}", "[{}]", "[3]", '[{"window": "w", "starts_at": "x", "ends_at": "y"}]']
)
def test_a_spoilt_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - whatever its words, it must be seen
        read_closures(tmp_path)
