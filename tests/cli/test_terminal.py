"""Colours only where somebody sees them; times, spans and columns as they are read."""

from __future__ import annotations

import argparse
import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from enforcer.cli.terminal import (
    Painter,
    both_times,
    counted,
    fields,
    fitted,
    instant,
    span,
    table,
)
from enforcer.policy.model import Once, Window

AT = datetime(2026, 12, 1, 8, tzinfo=UTC)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def painted(color: str, stream: io.StringIO) -> str:
    return Painter(argparse.Namespace(color=color), stream)("ddos", "green")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Screen()


def test_a_terminal_sees_colours(terminal: Screen) -> None:
    assert painted("auto", terminal) == "\x1b[32mddos\x1b[0m"


def test_nobody_else_does(terminal: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert painted("auto", io.StringIO()) == "ddos"
    assert painted("never", terminal) == "ddos"
    monkeypatch.setenv("TERM", "dumb")
    assert painted("auto", terminal) == "ddos"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "")
    assert painted("auto", terminal) == "ddos"


def test_the_stream_is_the_one_of_the_moment(
    terminal: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    assert Painter(argparse.Namespace(color="auto")).on
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert not Painter(argparse.Namespace(color="auto")).on


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Asia/Karachi", "2026-12-01 13:00:00 PKT (2026-12-01 08:00:00Z)"),
        ("Europe/Vienna", "2026-12-01 09:00:00 CET (2026-12-01 08:00:00Z)"),
        ("UTC", "2026-12-01 08:00:00Z"),
    ],
)
def test_an_instant_is_told_in_the_windows_zone_and_in_utc(zone: str, text: str) -> None:
    window = Window("w", "r", "d", "f", Once(AT, AT), ZoneInfo(zone), zone)
    assert both_times(AT, window) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (12, "12s"), (2700, "45m"), (97200, "1d 3h"), (3661, "1h 1m"), (86401, "1d 1s")],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: int, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text


def test_columns_are_as_wide_as_they_need_to_be() -> None:
    assert table([("ddos", "armed"), ("x", "")], ("window", "state")) == [
        "window  state",
        "ddos    armed",
        "x",
    ]
    assert fields([("at", "now"), ("path", "1. a\n2. b")]) == [
        "at    now",
        "path  1. a",
        "      2. b",
    ]


def test_numbers_agree_with_their_nouns() -> None:
    assert [counted(n, "window") for n in (0, 1, 1200)] == [
        "0 windows",
        "1 window",
        "1,200 windows",
    ]


@pytest.mark.parametrize(
    "text", ["2026-12-01T08:00:00Z", "2026-12-01T13:00:00+05:00", "2026-12-01T08:00:00"]
)
def test_an_instant_without_an_offset_is_utc(text: str) -> None:
    assert instant(text) == AT


def test_a_table_wider_than_the_terminal_becomes_blocks() -> None:
    rows = [("ddos", "armed", "2026-12-01 08:00:00Z"), ("exam", "next", "2026-12-02 08:00:00Z")]
    header = ("window", "state", "opens")
    whole = ["window  state  opens"], [[line] for line in table(rows, header)[1:]]
    assert fitted(rows, header, None) == whole
    assert fitted(rows, header, 35) == whole
    assert fitted(rows, header, 34) == (
        [],
        [
            ["ddos", "  state  armed", "  opens  2026-12-01 08:00:00Z"],
            ["exam", "  state  next", "  opens  2026-12-02 08:00:00Z"],
        ],
    )
