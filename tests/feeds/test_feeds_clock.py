"""When this program was put here is known also once its files are gone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

import enforcer
from enforcer.feeds.clock import clock_told


def test_a_program_whose_files_were_moved_away_still_judges_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enforcer, "__file__", str(tmp_path / "gone" / "__init__.py"))
    told = clock_told(datetime(2001, 1, 1, tzinfo=UTC), synchronised=True, known=None)
    assert "the clock is wrong, set it" in told
