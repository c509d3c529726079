"""`enforcer report` as a person calls it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from enforcer.cli.main import EXIT_FAILED, EXIT_USAGE, main
from tests.observe.report_worlds import month, written

PERIOD = ("--from", "2026-09-15", "--to", "2026-10-15T12:00:00Z")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = written(tmp_path / "state", month())
    monkeypatch.setenv("ENFORCER_STATE_DIR", str(directory))
    return directory


def test_text_and_json_go_to_standard_output(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *PERIOD]) == 0
    assert capsys.readouterr().out.startswith("Report of gateway edge-1.lahore\n")
    assert main(["report", *PERIOD, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["from"], told["to"]) == ("2026-09-15T00:00:00Z", "2026-10-15T12:00:00Z")
    assert len(told["windows"]) == 5
    assert state.exists()


def test_without_a_period_it_is_the_last_thirty_days_and_ends_now(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--format", "json", "--to", "2026-10-15T12:00:00Z"]) == 0
    assert json.loads(capsys.readouterr().out)["from"] == "2026-09-15T12:00:00Z"
    assert main(["report", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["to"] == told["made_at"]
    assert state.exists()


def test_html_is_written_as_one_file_that_everybody_may_read(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.html"
    before = os.umask(0o022)
    try:
        assert main(["report", *PERIOD, "--html", str(path)]) == 0
    finally:
        os.umask(before)
    assert capsys.readouterr().out == ""
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    nowhere = str(state / "missing" / "report.html")
    assert main(["report", *PERIOD, "--html", nowhere]) == EXIT_FAILED
    assert "No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("to_file", [True, False])
def test_a_broken_record_is_given_said_and_exit_1(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, to_file: bool
) -> None:
    path = state / "audit.jsonl"
    path.write_text(path.read_text().replace("48112904", "18112904"))
    more = ["--html", str(tmp_path / "r.html")] if to_file else []
    assert main(["report", *PERIOD, *more]) == EXIT_FAILED
    said = capsys.readouterr()
    assert "enforcer: The record is broken at record 2 (" in said.err
    shown = (tmp_path / "r.html").read_text() if to_file else said.out
    assert "The record is broken at record 2 (" in shown


def test_no_record_is_said_with_a_remedy(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENFORCER_STATE_DIR", str(state / "elsewhere"))
    assert main(["report"]) == EXIT_FAILED
    said = capsys.readouterr().err
    assert "cannot be read: No such file or directory; no daemon has kept a record there" in said


def test_a_period_of_the_future_is_told_by_what_was_given(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["report", "--from", "2099-01-01"])
    assert "--from is not in the past; give --to" in capsys.readouterr().err


@pytest.mark.parametrize(
    "period",
    [
        ("--from", "2026-10-15", "--to", "2026-10-15"),
        ("--from", "yesterday"),
        ("--to", "0001-01-01"),
    ],
)
def test_a_period_that_is_none_is_wrong_usage(
    state: Path, period: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", *period])
    assert ended.value.code == EXIT_USAGE
    assert "enforcer report" in capsys.readouterr().err
    assert state.exists()
