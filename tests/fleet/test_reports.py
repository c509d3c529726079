"""What gateways say is read whatever was written there, and shows nothing that moves a cursor."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.fleet.reports import MOST_REPORT_BYTES, Report, read_report
from enforcer.fleet.revision import MOST_NUMBER

REPORT = Report(
    "edge-1", "stable", 7, None, None, ("ddos",), "0.1.0", {"site": "north"}, "2026-12-01T08:00:00Z"
)


def test_it_is_read_back_as_it_was_written() -> None:
    assert read_report(REPORT.stored()) == REPORT


def test_an_older_gateway_says_nothing_of_windows_of_its_own() -> None:
    value = json.loads(replace(REPORT, local=("urgent",)).stored())
    assert read_report(json.dumps(value).encode()) == replace(REPORT, local=("urgent",))
    del value["local"]
    assert read_report(json.dumps(value).encode()) == REPORT


def with_(key: str, value: object) -> Report | None:
    return read_report(json.dumps({**json.loads(REPORT.stored()), key: value}).encode())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("revision", MOST_NUMBER + 1),
        ("revision", -1),
        ("revision", 1e400),
        ("revision", "7"),
        ("revision", True),
        ("refused", 10**18),
        ("problem", 7),
        ("armed", "ddos"),
        ("armed", [["ddos"]]),
        ("armed", ["w"] * 1000),
        ("labels", ["site"]),
        ("local", "urgent"),
        ("gateway", None),
        ("at", "x" * MOST_REPORT_BYTES),
    ],
)
def test_what_is_none_is_none(key: str, value: object) -> None:
    assert with_(key, value) is None


def test_a_number_that_python_does_not_read_is_none() -> None:
    assert read_report(REPORT.stored().replace(b" 7,", b" 1" + b"0" * 5000 + b",")) is None


def test_a_terminal_is_shown_no_escapes() -> None:
    report = with_("problem", "first\nsecond \x1b[2J\x9b31m\u202e")
    assert report is not None
    odd = "\N{REPLACEMENT CHARACTER}"
    assert report.problem == f"first\nsecond {odd}[2J{odd}31m{odd}"


@pytest.mark.parametrize(("key", "value"), [("armed", ["a\nb"]), ("local", ["a\nb"])])
def test_a_name_is_one_line(key: str, value: object) -> None:
    assert getattr(with_(key, value), key) == ("a\N{REPLACEMENT CHARACTER}b",)


ODD = st.sampled_from([None, True, -1, 10**30, 1e400, "x", [], ["w"], {}, {"a": 1}, {"a": "b"}])


@given(st.binary(max_size=200), st.dictionaries(st.sampled_from(Report.__slots__), ODD))
def test_nothing_is_raised(data: bytes, some: dict[str, Any]) -> None:
    read_report(data)
    read_report(json.dumps({**json.loads(REPORT.stored()), **some}).encode())
