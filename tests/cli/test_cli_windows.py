"""`enforcer windows`: the table, the picture, the JSON of the contract, the calendar file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import icalendar
import pytest

from enforcer.cli.main import main
from enforcer.cli.windows_chart import LEGEND, chart
from enforcer.cli.windows_ics import calendar
from enforcer.observe.snapshot import Occurrence, State
from enforcer.policy.model import Activation, Guard, Mark, Once, Window
from enforcer.schedule import agenda

# Far ahead, where Hijri dates are published still: the state of these is the same for decades.
MAIN = """
version: 1
gateway: {name: edge-1, uplinks: [wan0]}
categories: [software-house]
registry: {sources: [{file: registry.csv}]}
estates:
  concentrators: {prefixes: [203.0.113.0/28], services: [udp/51820]}
links:
  wan: {device: wan0, rate: 1gbit}
"""
RECORD = "reason: 'attack; on A, B', declared_by: noc@isp.example, reference: NOC-1"
WINDOWS = f"""
- {{id: ashura, {RECORD}, hijri: {{month: Muharram, day: 9, days: 2}}, from: "06:00", to: "22:00",
   timezone: Asia/Karachi, sighting: {{1495: +1}}, measures: {{mark: {{fwmark: 0x51}}}}}}
- {{id: standby, {RECORD}, start: "2071-12-20T08:00:00", duration: 4h, timezone: Asia/Karachi,
   provisional: true, measures: {{guard: {{estate: concentrators}}}}}}
- {{id: nightly, {RECORD}, rrule: "FREQ=DAILY;COUNT=3", start: "2071-12-30T23:00:00", duration: 2h,
   timezone: Asia/Karachi, measures: {{reserve: {{link: wan, share: 40%}}}}}}
"""
FROM = "2071-12-01T00:00:00Z"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENFORCER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "windows.d").mkdir()
    (tmp_path / "enforcer.yaml").write_text(MAIN)
    (tmp_path / "registry.csv").write_text("192.0.2.0/24\n")
    (tmp_path / "windows.d" / "w.yaml").write_text(WINDOWS)
    return tmp_path / "enforcer.yaml"


def printed(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> str:
    assert main(["windows", "--config", str(config), "--from", FROM, *arguments]) == 0
    return capsys.readouterr().out


def test_the_table_tells_both_clocks_and_the_state(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(capsys, config, "--days", "40") == (
        "window   state        opens                                           "
        "closes                                          lasts  measures\n"
        "standby  provisional  2071-12-20 08:00:00 PKT (2071-12-20 03:00:00Z)  "
        "2071-12-20 12:00:00 PKT (2071-12-20 07:00:00Z)  4h     guard\n"
        "nightly  next         2071-12-30 23:00:00 PKT (2071-12-30 18:00:00Z)  "
        "2071-12-31 01:00:00 PKT (2071-12-30 20:00:00Z)  2h     reserve\n"
        "nightly  next         2071-12-31 23:00:00 PKT (2071-12-31 18:00:00Z)  "
        "2072-01-01 01:00:00 PKT (2071-12-31 20:00:00Z)  2h     reserve\n"
        "nightly  next         2072-01-01 23:00:00 PKT (2072-01-01 18:00:00Z)  "
        "2072-01-02 01:00:00 PKT (2072-01-01 20:00:00Z)  2h     reserve\n"
        "\n"
        "         |2071-12-01      |2071-12-11       |2071-12-21       |2071-12-31\n"
        "standby  .................................??....................................\n"
        "nightly  ....................................................#.#.#..............\n"
        "# armed   ? provisional, once confirmed   x closed   - past   times in UTC\n"
    )


def test_a_hijri_window_is_shown_with_its_own_dates(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, config, "--days", "120").splitlines()
    dates = [line.split()[2:5] for line in lines if line.startswith("ashura  ") and "PKT" in line]
    assert dates == [["9", "Muharram", "1495"], ["10", "Muharram", "1495"]]


def test_json_has_the_keys_of_the_contract_and_provisional_windows(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ("id", "starts_at", "ends_at", "state", "measures")
    rows = json.loads(printed(capsys, config, "--days", "30", "--format", "json"))
    assert [{key: row[key] for key in keys} for row in rows] == [
        {
            "id": "standby",
            "starts_at": "2071-12-20T03:00:00Z",
            "ends_at": "2071-12-20T07:00:00Z",
            "state": "provisional",
            "measures": ["guard"],
        },
        {
            "id": "nightly",
            "starts_at": "2071-12-30T18:00:00Z",
            "ends_at": "2071-12-30T20:00:00Z",
            "state": "next",
            "measures": ["reserve"],
        },
    ]


def test_the_calendar_file_is_one_that_calendar_programs_read(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, config, "--days", "40", "--format", "ics")
    events = icalendar.Calendar.from_ical(text).walk("VEVENT")
    assert [
        (str(e["SUMMARY"]), e["DTSTART"].dt, e["DTEND"].dt - e["DTSTART"].dt, str(e["STATUS"]))
        for e in events
    ] == [
        ("standby: guard", datetime(2071, 12, 20, 3, tzinfo=UTC), timedelta(hours=4), "TENTATIVE"),
        *(
            ("nightly: reserve", start, timedelta(hours=2), "CONFIRMED")
            for n in range(3)
            for start in [datetime(2071, 12, 30, 18, tzinfo=UTC) + timedelta(days=n)]
        ),
    ]
    assert str(events[0]["DESCRIPTION"]) == "attack; on A, B\nNOC-1, declared by noc@isp.example"
    assert str(events[0]["UID"]) == "standby-20711220T030000Z@edge-1"


def test_an_exported_calendar_can_be_declared_elsewhere(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "windows.d" / "out.ics").write_text(
        printed(capsys, config, "--days", "40", "--format", "ics"), newline=""
    )
    (config.parent / "windows.d" / "w.yaml").write_text(
        f"- {{id: copy, {RECORD}, calendar: out.ics, match: nightly, "
        "measures: {mark: {fwmark: 1}}}\n"
    )
    rows = json.loads(printed(capsys, config, "--days", "40", "--format", "json"))
    assert [row["starts_at"] for row in rows] == [
        "2071-12-30T18:00:00Z",
        "2071-12-31T18:00:00Z",
        "2072-01-01T18:00:00Z",
    ]


def test_nothing_ahead_is_said_in_words(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        printed(capsys, config, "--days", "2") == "no window in 2 days from 2071-12-01 00:00:00Z\n"
    )
    assert printed(capsys, config, "--days", "2", "--format", "json") == "[]\n"
    ics = printed(capsys, config, "--days", "2", "--format", "ics")
    assert icalendar.Calendar.from_ical(ics).walk("VEVENT") == []


def test_more_than_anybody_reads_is_not_printed(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda, "MOST_SHOWN", 0)
    assert main(["--config", str(config), "windows", "--from", FROM, "--days", "90"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "enforcer: more than 0 occurrences; ask for fewer days\n"


@pytest.mark.parametrize("days", ["0", "-1", "3661", "x", "1.5", "³"])
def test_a_number_of_days_that_is_none_is_wrong_usage(days: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["windows", f"--days={days}"])
    assert stopped.value.code == 64


def test_the_format_of_calendars_is_for_windows_only() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--format", "ics"])
    assert stopped.value.code == 64


def test_a_broken_configuration_is_exit_78(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "windows.d" / "w.yaml").write_text("- {}\n")
    assert main(["windows", "--config", str(config)]) == 78
    assert "windows.d/w.yaml:1:3: windows[0]:" in capsys.readouterr().err


# --- the picture ----------------------------------------------------------------------------------

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def occurrence(window_id: str, start: float, length: float, state: State = "next") -> Occurrence:
    begins = NOON + timedelta(hours=start)
    ends = begins + timedelta(hours=length)
    window = Window(
        window_id,
        "r;,\\é" * 30,
        "d",
        "n",
        Once(begins, ends),
        UTC,
        "UTC",
        Mark(1),
        None,
        Guard("x"),
    )
    return Occurrence(Activation(begins, ends, window), state)


def rows(*occurrences: Occurrence, hours: int = 20) -> list[str]:
    """The rows of a picture with one cell an hour, names of one letter."""
    lines = chart(occurrences, NOON, NOON + timedelta(hours=hours), 3 + hours)
    return [line[3:] for line in lines[1:-1]]


def test_a_cell_shows_a_window_that_is_on_in_any_part_of_it() -> None:
    assert rows(occurrence("a", 1, 2)) == [".##................."]
    assert rows(occurrence("a", 1.9, 0.2)) == [".##................."]
    assert rows(occurrence("a", 19.99, 0.001)) == ["...................#"]
    assert rows(occurrence("a", -5, 40)) == ["#" * 20]


def test_each_state_has_its_sign_and_the_armed_one_is_on_top() -> None:
    states: tuple[State, ...] = ("past", "closed", "provisional", "next", "armed")
    found = [occurrence("a", 2 * n, 1, state) for n, state in enumerate(states)]
    assert rows(*found) == ["-.x.?.#.#..........."]
    assert rows(occurrence("a", 0, 2, "armed"), occurrence("a", 1, 2, "past"))[0][:4] == "##-."


def test_one_line_a_window_in_the_order_of_what_comes_first() -> None:
    lines = chart(
        [occurrence("b", 0, 1), occurrence("a", 1, 1), occurrence("b", 5, 1)],
        NOON,
        NOON + timedelta(hours=20),
        23,
    )
    assert lines == [
        "   |12-01 12:00   |12-0",
        "b  #....#..............",
        "a  .#..................",
        LEGEND,
    ]


def test_a_picture_of_many_windows_or_of_none_stays_readable() -> None:
    many = [occurrence(f"window-with-a-very-long-name-{n}", n / 10, 1) for n in range(50)]
    lines = chart(many, NOON, NOON + timedelta(hours=20), 60)
    assert (len(lines), lines[-2]) == (43, "and 10 windows more")
    assert {len(line) for line in lines[1:41]} == {60}
    assert chart([], NOON, NOON + timedelta(hours=1), 60) == []


def test_lines_of_the_calendar_file_are_at_most_75_bytes() -> None:
    text = calendar([occurrence("a", 1, 2, "closed")], "edge-1", NOON)
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    (event,) = icalendar.Calendar.from_ical(text).walk("VEVENT")
    assert str(event["DESCRIPTION"]) == "r;,\\é" * 30 + "\nn, declared by d"
    assert str(event["STATUS"]) == "CANCELLED"
