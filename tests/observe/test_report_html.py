"""The report as a page: whole, escaped, and nothing loaded from anywhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from enforcer.observe.report_html import page
from tests.observe.report_worlds import DAY, EVIL, NOW, month, report, written

VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Every tag must close in order; what is read is text and attributes."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.tags, self.attributes = "", list[str](), list[tuple[str, str | None]]()
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def document(tmp_path: Path) -> str:
    return page(report(written(tmp_path, month())))


def test_it_is_whole_and_says_what_the_text_says(document: str) -> None:
    read = Reader(document)
    for said in (
        *("ddos-concentrators", "vpn-concentrators", "NOC-2311", "noc@isp.example"),
        *("closed early", "48,112,904 packets (3.2 GB) held back", "still on"),
        *("The record is whole", "put right: rules, table", "13 times"),
    ):
        assert said in read.text
    assert read.tags.count("h1") == 1


def test_what_an_operator_wrote_is_text_and_never_markup(document: str) -> None:
    read = Reader(document)
    assert EVIL in read.text
    assert not {"script", "img", "link", "iframe", "a"} & set(read.tags)


def test_it_loads_nothing_and_has_no_handler(document: str) -> None:
    read = Reader(document)
    names = {name for name, _ in read.attributes}
    assert not [name for name in names if name.startswith("on") or name in {"src", "href"}]
    policy = next(v for n, v in read.attributes if n == "content" and v and "default-src" in v)
    assert policy.startswith("default-src 'none'")
    assert "url(" not in document


def test_bars_stand_inside_the_chart(document: str) -> None:
    bars = re.findall(r'<rect class="[\w-]+" x="([-\d.]+)" width="([\d.]+)" height="20"', document)
    assert len(bars) >= 10
    for x, wide in bars:
        assert 0 <= float(x) <= float(x) + float(wide) <= 1000.5


def test_a_broken_record_is_said_first(tmp_path: Path) -> None:
    directory = written(tmp_path, month())
    path = directory / "audit.jsonl"
    path.write_text(path.read_text().replace("48112904", "18112904"))
    text = Reader(page(report(directory))).text
    assert text.index("Not proven.") < text.rindex("Windows of gateway")


def test_a_quiet_period_is_a_page_too(tmp_path: Path) -> None:
    told = report(written(tmp_path, month()), NOW - 400 * DAY, NOW - 300 * DAY)
    text = Reader(page(told)).text
    assert "No window was on in this period." in text
    assert "Nothing was repaired, and nothing refused." in text


def test_time_in_force_is_that_of_the_period(tmp_path: Path) -> None:
    told = page(report(written(tmp_path, month()), NOW - 4 * DAY, NOW - 2 * DAY))
    assert "<b>24 h</b>in force, taken together" in told
