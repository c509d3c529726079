"""The page as a person meets it, a screen reader included; and that nothing breaks it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from enforcer.observe.page import style
from enforcer.observe.page.sections import MOST_CATEGORIES, SILENCE_S
from enforcer.observe.page.timeline import MOST_LISTED
from enforcer.observe.page.words import both, length, size
from enforcer.observe.snapshot import FeedLook, RecordState
from enforcer.policy.model import RegistrySpec
from enforcer.schedule.orders import Order, Orders
from tests.observe.page_worlds import (
    DAY,
    DDOS,
    EXAMS,
    HOUR,
    KARACHI,
    NOW,
    SWAP,
    Element,
    html,
    look,
    once,
    read,
    snapshot,
)


def part(document: Element, heading: str) -> Element:
    """The section with this heading's id."""
    return document.one("section", **{"aria-labelledby": heading})


def tables(section: Element) -> list[list[str]]:
    return [[c.text for c in row.every("th") + row.every("td")] for row in section.every("tr")]


# --- what it says ---------------------------------------------------------------------------------


def test_what_is_armed_is_told_with_its_end_in_its_zone_and_in_utc() -> None:
    armed = part(read(html()), "armed")
    assert "until 2026-12-01 15:12:05 PKT (10:12:05Z), 1 h left" in armed.text
    for text in ("ddos", "a reason", "NOC-1", "noc@isp.example", "40% of link wan", "0x51"):
        assert text in armed.text
    assert "new flows to vpn are held back, but for registered sources" in armed.text
    assert "exams" not in armed.text


def test_a_staged_window_on_trial_says_so() -> None:
    trial = Order("ddos", NOW - HOUR, NOW + HOUR, "trial", until=NOW + timedelta(minutes=5))
    orders = Orders().given([trial])
    seen = snapshot([replace(DDOS, stage=True)], orders=orders)
    armed = part(read(html(look(seen, orders=orders))), "armed").text
    assert "staged: counts, holds nothing back" in armed
    assert "on trial: ends unless confirmed" in armed
    assert "until 2026-12-01 14:17:05 PKT (09:17:05Z), 5 min left" in armed


def test_outside_windows_it_says_that_nothing_is_in_the_path() -> None:
    document = read(html(look(snapshot([SWAP], armed=()))))
    assert "nothing of enforcer is in the path of any packet" in part(document, "armed").text
    assert "All that is wanted is in force." in document.text


def test_counters_are_summed_by_measure_and_verdict() -> None:
    assert tables(part(read(html()), "traffic")) == [
        ["Measure", "Verdict", "Packets", "Bytes"],
        ["guard", "let in", "1,204,340", "2.2 GB"],
        ["guard", "held back", "7", "700 B"],
        ["mark", "marked", "3", "300 B"],
    ]
    unread = read(html(look(totals=None)))
    assert "counters cannot be read now" in part(unread, "traffic").text


def test_the_registry_is_told_by_category_and_feeds_by_age() -> None:
    document = read(html())
    assert tables(part(document, "registry")) == [
        ["Category", "IPv4", "IPv6"],
        ["freelancer", "1,001", "0"],
        ["software-house", "1,000", "0"],
        ["All", "2,001", "0"],
    ]
    assert tables(part(document, "feeds"))[1] == ["registry.csv", "2026-11-29 09:12:05Z", "2 d"]


def test_a_feed_is_as_old_as_its_last_success_and_says_what_is_wrong() -> None:
    seen = snapshot()
    files = RegistrySpec(("registry.csv", "r.csv", "o.csv"))
    fetched = (
        FeedLook("registrar", "r.csv", 900, seen.loaded_at + timedelta(days=1)),
        FeedLook("other", "o.csv", 900, problem="https://a.example/ <b>answers</b> 404"),
    )
    seen = replace(seen, policy=replace(seen.policy, registry=files), fetched=fetched)
    document = read(html(look(seen)))
    rows = tables(part(document, "feeds"))
    assert rows[2:] == [["registrar", "2026-11-30 09:12:05Z", "1 d"], ["other", "never", "–"]]
    assert "other https://a.example/ <b>answers</b> 404" in part(document, "feeds").text


def test_everything_that_is_wrong_comes_first_and_in_full() -> None:
    error = "windows.d/a.yaml:7:10: too long; shorten it\nregistry.csv:3:1: no prefix; write one"
    seen = replace(
        snapshot(armed=()),
        config_error=error,
        clock_synchronised=False,
        waiting_for_clock=("ddos",),
        due=("ddos", "works"),
        missing_devices=("wan1",),
        problem="commit: no room",
        drift_repairs=3,
        drift_kinds=(("table", 2), ("rules", 1)),
        contested=True,
        promise_violations=1,
    )
    record = RecordState(problem="the record cannot be written (no room)")
    document = read(html(replace(look(seen, silent_s=SILENCE_S + 1), record=record)))
    told = [t.text for t in document.every("div", class_="tell") if t.text]
    assert [t.split(".")[0].split(":")[0] for t in told] == [
        "The daemon's loop has not turned for 31 s",
        "What is wanted is not all in force",
        "Due, and not armed",
        "Interfaces that are not there",
        "What is done is not put on the record",
        "What the files hold is refused; what was accepted before stays in force",
    ]
    assert "Due, and not armed: ddos, works" in told[2], "also what does not wait for the clock"
    assert document.one("pre").children == [error]
    pills = [pill.text for pill in document.one("details", id="occurrences").every(class_="pill")]
    assert "due, not armed" in pills
    assert "armed now" not in pills
    assert "nothing armed now" in str(document.one("svg", class_="chart").attributes["aria-label"])
    health = part(document, "health").text
    for text in ("not synchronised", "3 (table 2, rules 1)", "keeps changing", "1 broken", "wan1"):
        assert text in health


# --- the timeline ---------------------------------------------------------------------------------


def test_the_chart_has_a_row_for_each_window_and_a_bar_for_each_occurrence() -> None:
    chart = read(html()).one("svg", role="img")
    assert [t.text for t in chart.every("text", class_="name")] == [
        "ddos ddos", "exams exams", "works works", "standby standby", "swap swap",
    ]  # fmt: skip
    count = {s: len(chart.every("rect", class_=s)) for s in ("armed", "next", "provisional")}
    assert count == {"armed": 1, "next": 30 + 1, "provisional": 1}
    assert "armed now: ddos; 2 windows ahead" in (chart.attributes["aria-label"] or "")


def test_bars_stand_where_their_instants_are() -> None:
    chart = read(html(look(snapshot([once("half", 11.5 * DAY, 3.7 * DAY)], armed=())))).one(
        "svg", role="img"
    )
    (bar,) = chart.every("rect", class_="next")
    assert (bar.attributes["x"], bar.attributes["width"]) == ("50.00%", "10.00%")
    now = chart.one("line", class_="now")
    assert now.attributes["x1"] == f"{7 / 37:.2%}"


def test_many_short_occurrences_are_few_bars() -> None:
    every = [once("w", timedelta(minutes=20 * n + 20), timedelta(minutes=10)) for n in range(2000)]
    seen = look(snapshot(every[:1], armed=()))
    entries = tuple(e for w in every for e in look(snapshot([w], armed=())).rows[0].entries)
    row = replace(seen.rows[0], entries=entries)
    chart = read(html(replace(seen, rows=(row,)))).one("svg", role="img")
    bars = chart.every("rect", class_="next")
    assert len(bars) < 240
    assert "occurrences of w" in bars[0].text


def test_the_same_stands_in_a_table() -> None:
    table = part(read(html()), "timeline").one("table")
    found = tables(table)
    assert found[0] == ["Window", "State", "From, to"]
    assert found[1] == [
        "ddos guard, mark, reserve",
        "armed now",
        "2026-12-01 13:12:05 PKT (08:12:05Z) 2026-12-01 15:12:05 PKT (10:12:05Z)",
    ]
    assert len(found) <= 1 + MOST_LISTED + MOST_LISTED // 2
    assert ["swap mark", "over"] in [row[:2] for row in found]


SAMPLES = {"rate": 10, "problem": None, "seen": 1230, "lost": 2, "judged": 1200, "mismatches": 0}


def test_the_self_check_tells_what_it_has_seen() -> None:
    document = read(html(replace(look(), samples=SAMPLES)))
    told = part(document, "samples").text
    for text in (
        "while a window is armed at most 10 packets a second of each kind",
        "Seen 1,230 packets since the daemon began",
        "Judged again 1,200 packets",
        "Differ none",
        "2 times",
        "enforcer watch",
    ):
        assert text in told
    assert (
        "sampled packets" not in document.one("div", id="live").every("div", class_="tell")[0].text
    )
    assert "Nothing is known" in part(read(html()), "samples").text


def test_a_kernel_that_judges_otherwise_comes_first() -> None:
    document = read(html(replace(look(), samples={**SAMPLES, "mismatches": 3})))
    first = document.one("div", id="live").every("div", class_="tell")[0]
    assert "The kernel judged 3 of 1,200 sampled packets otherwise than the registry" in first.text
    assert "Differ 3" in part(document, "samples").text


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"problem": "sample: <b>somebody</b> else listens"}, "none sample: <b>somebody</b> else"),
        ({"rate": 0}, "switched off observe.sample: 0"),
    ],
)
def test_why_there_are_no_samples_is_told(more: dict[str, object], text: str) -> None:
    told = part(read(html(replace(look(), samples=SAMPLES | more))), "samples")
    assert text in told.text


# --- hostile and large ----------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e"


def test_no_name_reason_or_mistake_becomes_markup() -> None:
    evil = replace(DDOS, id=EVIL, reason=EVIL, declared_by=EVIL, reference=EVIL)
    base = snapshot([evil, once(EVIL + "2", DAY, HOUR)], armed=(EVIL,), categories=(EVIL,))
    gateway = replace(base.policy.gateway, name=EVIL, uplinks=(EVIL,))
    registry = replace(base.policy.registry, files=(EVIL,))
    policy = replace(base.policy, gateway=gateway, registry=registry)
    seen = replace(
        base, policy=policy, config_error=EVIL, problem=EVIL, missing_devices=(EVIL,),
        waiting_for_clock=(EVIL,), drift_kinds=((EVIL, 1),),
    )  # fmt: skip
    text = html(look(seen))
    document = read(text)
    assert document.every("img") == []
    (script,) = document.every("script")
    assert script.children == [style.SCRIPT]
    assert "\u202e" not in text
    assert not [a for e in document.every() for a in e.attributes if a.startswith("on")]
    assert text.count("&lt;script&gt;") >= 10


def test_the_page_stays_small_whatever_is_declared() -> None:
    many = [once(f"w{n:05}", HOUR + timedelta(minutes=n), HOUR) for n in range(10_000)]
    categories = [f"category-{n}" for n in range(1000)]
    armed = [once(f"armed{n:03}", -HOUR, 2 * HOUR) for n in range(100)]
    seen = snapshot([*armed, *many, EXAMS], [w.id for w in armed], categories)
    wrong = replace(seen, config_error="x: wrong\n" * 100_000)
    text = html(look(wrong))
    assert len(text) < 400_000
    document = read(text)
    assert len(tables(part(document, "registry"))) == MOST_CATEGORIES + 3
    assert f"{1000 - MOST_CATEGORIES:,} smaller ones" in part(document, "registry").text
    assert "76 more windows" in part(document, "armed").text
    assert "10,077 more windows" in part(document, "timeline").text


# --- for everybody --------------------------------------------------------------------------------


def test_there_are_landmarks_headings_labels_and_table_headers() -> None:
    document = read(html())
    for landmark in ("header", "main", "footer", "nav"):
        assert len(document.every(landmark)) == 1
    assert document.one("html").attributes["lang"] == "en"
    assert [h.name for h in document.every() if re.fullmatch("h[1-6]", h.name)][:2] == ["h1", "h2"]
    assert all(th.attributes.get("scope") in ("col", "row") for th in document.every("th"))
    labelled = {label.attributes["for"] for label in document.every("label")}
    assert {i.attributes["id"] for i in document.every("input")} == labelled
    ids = [e.attributes["id"] for e in document.every() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for section in document.every("section"):
        assert section.attributes["aria-labelledby"] in ids
    for svg in document.every("svg"):
        assert svg.attributes.get("aria-label") or svg.attributes.get("aria-hidden") == "true"


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


_TEXT_ON = [
    *((ink, ground) for ink in ("ink", "soft", "accent") for ground in ("paper", "card", "wash")),
    *((kind, f"{kind}-wash") for kind in ("good", "warn", "bad")),
    *(("ink", f"{kind}-wash") for kind in ("good", "warn", "bad")),
    ("bad", "card"), ("armed", "card"), ("card", "accent"),
]  # fmt: skip


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), _TEXT_ON)
def test_text_stands_out_from_its_ground(scheme: int, ink: str, ground: str) -> None:
    block = re.findall(r":root \{([^}]*)\}", style.STYLE)[scheme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
    bright, dull = sorted((_luminance(colours[ink]), _luminance(colours[ground])), reverse=True)
    assert (bright + 0.05) / (dull + 0.05) >= 4.5


def test_nothing_is_loaded_from_anywhere() -> None:
    text = html()
    for pattern in (r"url\(", r"@import", r"src=", r"https?://(?!www\.w3\.org/2000/svg)"):
        assert not re.search(pattern, text), pattern


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=1, seconds=5), "1 h"),
        (timedelta(days=2, hours=3, minutes=9), "2 d 3 h"),
        (timedelta(days=-1), "0 s"),
    ],
)
def test_lengths_have_their_two_largest_units(span: timedelta, text: str) -> None:
    assert length(span) == text


def test_instants_name_their_zone_and_another_day() -> None:
    assert (
        both(NOW.replace(hour=20, second=0), KARACHI) == "2026-12-02 01:12 PKT (2026-12-01 20:12Z)"
    )
    assert both(NOW, NOW.tzinfo or KARACHI) == "2026-12-01 09:12:05Z"


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123 kB"), (10**16, "10.0 PB")],
)
def test_sizes_are_decimal(octets: int, text: str) -> None:
    assert size(octets) == text
