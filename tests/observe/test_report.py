"""The public's view of a period: what it says, in text and for programs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from enforcer.observe.audit_files import FILE
from enforcer.observe.report import view
from enforcer.observe.report_text import lasted, lines
from tests.observe.report_worlds import DAY, EVIL, HOUR, NOW, event, month, opening, report, written


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return written(tmp_path, month())


def test_each_window_is_told_with_why_when_and_how_much(directory: Path) -> None:
    told = view(report(directory))
    assert [w["id"] for w in told["windows"]] == [
        *("ddos-concentrators", "exam-mornings", "cable-cut", "rehearsal", "ddos-again"),
    ]
    first = told["windows"][0]
    assert first["totals"]["held_back"] == {"packets": 48_112_904, "bytes": 3_210_000_000}
    assert {k: first[k] for k in ("reason", "reference", "declared_by", "estate", "how")} == {
        "reason": "DDoS on the VPN concentrators, 40 Gbit/s of UDP",
        "reference": "NOC-2311",
        "declared_by": "noc@isp.example",
        "estate": "vpn-concentrators",
        "how": "closed early",
    }
    assert (first["starts_at"], first["ends_at"], first["armed_at"], first["ended_at"]) == (
        *("2026-10-03T12:00:00Z", "2026-10-03T18:00:00Z"),
        *("2026-10-03T12:00:00Z", "2026-10-03T16:00:00Z"),
    )
    assert told["windows"][-1]["ended_at"] is None
    assert told["windows"][-1]["how"] == "still on"
    assert told["gateway"] == "edge-1.lahore"
    assert told["totals"]["marked"]["packets"] == 9_120_441 + 31_000
    assert told["audit"]["ok"]


def test_only_what_was_on_in_the_period_is_told(directory: Path) -> None:
    inside = report(directory, NOW - 4 * DAY, NOW - 2 * DAY)
    assert [w.window for w in inside.windows] == ["cable-cut"]
    assert [i.what for i in inside.incidents] == ["repaired"]


def test_repairs_and_refusals_are_counted_by_kind_and_name_no_process(directory: Path) -> None:
    told = view(report(directory))["incidents"]
    assert [(i["what"], i["detail"], i["times"]) for i in told] == [
        ("repaired", "rules, table", 13),
        ("late", "", 1),
        ("refused", "a registry with mistakes", 1),
    ]
    assert told[0]["last_at"] == "2026-10-11T13:00:00Z"


def test_the_text_says_the_same(directory: Path) -> None:
    text = "\n".join(lines(report(directory)))
    for said in (
        "Report of gateway edge-1.lahore",
        "5 windows: ",
        "  declared    2026-10-03 17:00 to 23:00 PKT (2026-10-03 12:00 to 18:00Z), 6 h",
        "  in force    2026-10-03 17:00 to 21:00 PKT (2026-10-03 12:00 to 16:00Z), 4 h; closed",
        "1,204,331 packets (811 MB) let in, 48,112,904 packets (3.2 GB) held back",
        "rehearsal (staged: counted, nothing held back)",
        "Another program's changes to our rules put right: rules, table (13 times, ",
        "Refused: a registry with mistakes (once, 2026-10-14 12:00Z)",
        "The record is whole",
    ):
        assert said in text


def test_a_record_of_one_is_not_counted_in_the_plural(tmp_path: Path) -> None:
    text = lines(report(written(tmp_path, month()[:1])))
    assert "The record is whole: it is one record, the first." in text


def test_a_broken_record_is_said_and_still_told(directory: Path) -> None:
    path = directory / FILE
    path.write_text(path.read_text().replace("48112904", "18112904"))
    broken = report(directory)
    assert not broken.chain_ok
    assert "The record is broken at record 2 (" in broken.chain
    assert [w.window for w in broken.windows][1:] == [
        *("exam-mornings", "cable-cut", "rehearsal", "ddos-again"),
    ]
    # What is left of the first does not prove how it ended.
    assert broken.windows[0].totals is None


def test_a_window_whose_end_is_not_on_record_ended_at_its_declared_end(tmp_path: Path) -> None:
    armed = opening("old", NOW - DAY, NOW - DAY + HOUR)
    told = report(written(tmp_path, [event("armed", NOW - DAY, armed)]))
    assert (told.windows[0].ended_at, told.windows[0].exact) == (NOW - DAY + HOUR, False)
    assert told.unknown == 1
    assert "not known" in "\n".join(lines(told))


def test_what_was_disarmed_without_a_daemon_is_over_and_what_was_closed_is_not_said_to_be_on(
    tmp_path: Path,
) -> None:
    names = ("out", "shut", "later", "on")
    opened = {n: opening(n, NOW - DAY, NOW + DAY) for n in names}
    ahead = {"window": "later", "starts_at": opening("", NOW + 2 * DAY, NOW)["starts_at"]}
    told = report(
        written(
            tmp_path,
            [
                *(event("armed", NOW - DAY, opened[n]) for n in names),
                event("closed", NOW - 3 * HOUR, {"window": "shut"}),
                event("closed", NOW - 3 * HOUR, ahead),
                event("disarmed", NOW - 2 * HOUR, {"window": "out"}),
            ],
        )
    )
    assert {w.window: (w.ended_at, w.exact, w.how) for w in told.windows} == {
        "out": (NOW - 2 * HOUR, False, "closed early"),
        "shut": (None, False, "closed early, but the kernel may still arm it"),
        "later": (None, False, "still on"),
        "on": (None, False, "still on"),
    }
    assert told.unknown == 1


def test_a_disarm_of_no_window_in_particular_ended_all_that_were_on(tmp_path: Path) -> None:
    first, second = (opening(n, NOW - DAY, NOW + DAY) for n in ("ddos", "exam"))
    after = opening("after", NOW - HOUR, NOW + DAY)
    told = report(
        written(
            tmp_path,
            [
                event("armed", NOW - DAY, first),
                event("armed", NOW - DAY, second),
                event("disarmed", NOW - 2 * HOUR, {"window": ""}),
                event("armed", NOW - HOUR, after),
            ],
        )
    )
    assert [(w.window, w.ended_at) for w in told.windows] == [
        ("ddos", NOW - 2 * HOUR),
        ("exam", NOW - 2 * HOUR),
        ("after", None),
    ]
    assert "in force    2026-10-14 17:00 to 2026-10-15 15:00 PKT" in "\n".join(lines(told))


def test_what_was_closed_without_a_daemon_was_on_to_its_declared_end_at_the_latest(
    tmp_path: Path,
) -> None:
    shut = opening("shut", NOW - DAY, NOW - HOUR)
    events = [event("armed", NOW - DAY, shut), event("closed", NOW - 3 * HOUR, shut)]
    (told,) = report(written(tmp_path, events)).windows
    assert (told.ended_at, told.exact, told.how) == (NOW - HOUR, False, "closed early")


def test_a_record_of_nothing_is_a_report_of_nothing(tmp_path: Path) -> None:
    text = "\n".join(lines(report(written(tmp_path, []))))
    assert "0 windows" in text
    assert "There is no record yet." in text


def test_records_with_nonsense_in_them_are_passed_over(tmp_path: Path) -> None:
    spoilt = [
        event("armed", NOW, {"window": "x", "starts_at": 7}),
        event("ended", NOW, {**opening("y", NOW - HOUR, NOW), "totals": [7, {"packets": "many"}]}),
        event("repaired", NOW - HOUR, {"kinds": 7, "times": -3}),
        event("refused", NOW - HOUR, {"kind": ["x"]}),
    ]
    told = report(written(tmp_path, spoilt))
    assert [(i.what, i.detail, i.times) for i in told.incidents] == [
        ("refused", "", 1),
        ("repaired", "", 1),
    ]
    lines(told)


def test_control_characters_in_a_reason_do_not_reach_a_terminal(tmp_path: Path) -> None:
    armed = opening("w", NOW - HOUR, NOW + HOUR, reason="\x1b[2Jgone\u202e")
    text = "\n".join(lines(report(written(tmp_path, [event("armed", NOW - HOUR, armed)]))))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "gone" in text
    assert EVIL not in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (3600, "1 h"), (5400, "1 h 30 min")]
)
def test_lengths(seconds: int, text: str) -> None:
    assert lasted(timedelta(seconds=seconds)) == text
