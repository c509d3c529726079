"""What the files mean: the contract's as one whole value, and what is just within each bound."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.errors import PolicyError, Problem
from enforcer.policy.load import digest
from enforcer.policy.model import (
    Calendar,
    Estate,
    Event,
    Gateway,
    Guard,
    Hijri,
    Link,
    Mark,
    Metrics,
    Once,
    Policy,
    Recurring,
    RegistrySpec,
    Reserve,
    Window,
)
from enforcer.policy.prefix import parse_prefix, parse_service
from enforcer.schedule.load import load
from tests.examples import examples
from tests.policy.documents_by_hand import MAIN, ZONES, policy_of, window

CONTRACT = Path(__file__).parent / "contract"
CONFIG = Path(__file__).parent.parent.parent / "config"
KARACHI = ZoneInfo("Asia/Karachi")


def contract_documents() -> dict[str, bytes]:
    names = ("enforcer.yaml", "windows.d/examples.yaml")
    return {name: (CONTRACT / name).read_bytes() for name in names}


def test_the_files_of_the_contract_load_as_they_are() -> None:
    documents = contract_documents()

    def declared(window_id: str, reason: str, reference: str, **rest: object) -> Window:
        record = (window_id, reason, "noc@isp.example", reference)
        return Window(*record, zone=KARACHI, zone_name="Asia/Karachi", **rest)  # type: ignore[arg-type]

    assert load(documents, "enforcer.yaml", ZONES) == Policy(
        gateway=Gateway("edge-1", ("wan0",), 600, True, "keep"),
        categories=("software-house", "call-centre", "freelancer", "mission"),
        registry=RegistrySpec(("registry.csv",), 0.2, 256 * 1024**2),
        lifelines=(parse_prefix("192.0.2.53/32"), parse_prefix("2001:db8::53/128")),
        estates=(
            Estate(
                "concentrators",
                (parse_prefix("203.0.113.0/28"), parse_prefix("2001:db8:10::/64")),
                tuple(map(parse_service, ("udp/51820", "udp/500", "udp/4500", "esp", "tcp/443"))),
            ),
        ),
        links=(Link("wan", "wan0", 1_000_000_000),),
        windows=(
            declared(
                "ddos-2026-12-01",
                "volumetric attack on the VPN concentrators",
                "NOC-4711",
                form=Once(
                    datetime(2026, 12, 1, 3, tzinfo=UTC), datetime(2026, 12, 1, 15, tzinfo=UTC)
                ),
                mark=Mark(0x51, 40),
                guard=Guard("concentrators"),
            ),
            declared(
                "maintenance",
                "core maintenance, one of two uplinks is down",
                "CHG-1201",
                form=Recurring(
                    "FREQ=MONTHLY;BYDAY=1SU",
                    datetime(2026, 12, 6, 2),  # noqa: DTZ001
                    timedelta(hours=4),
                ),
                reserve=Reserve("wan", 0.4),
            ),
            declared(
                "ashura",
                "mass congestion during the processions",
                "NOC-5000",
                form=Hijri(1, 9, 2, 360, 1320, ((1449, 1),)),
                mark=Mark(0x51),
                reserve=Reserve("wan", 0.4),
            ),
        ),
        metrics=Metrics("127.0.0.1", 9435),
        digest=digest(documents),
    )


def test_a_window_remembers_where_it_was_declared() -> None:
    policy = load(contract_documents(), "enforcer.yaml", ZONES)
    assert [window.source for window in policy.windows] == [
        "windows.d/examples.yaml:1:3",
        "windows.d/examples.yaml:12:3",
        "windows.d/examples.yaml:23:3",
    ]


def test_the_examples_that_an_operator_copies_load() -> None:
    names = ("enforcer.yaml", "windows.d/examples.yaml")
    documents = {name: (CONFIG / name).read_bytes() for name in names}
    assert load(documents, "enforcer.yaml", ZONES).windows


def test_a_file_of_windows_without_content_holds_no_windows() -> None:
    assert policy_of("# none today\n").windows == ()


def test_what_is_left_out_has_the_defaults_of_the_model() -> None:
    policy = policy_of()
    assert policy.gateway == Gateway("edge-1", ("wan0",))
    assert policy.metrics == Metrics()
    assert policy.registry == RegistrySpec(("registry.csv",))


# --- time forms --------------------------------------------------------------------------------


def test_an_offset_in_a_time_is_the_zone_it_is_shown_in() -> None:
    times = 'start: "2026-12-01T08:00+05:00", duration: 1h30m'
    only = policy_of(window(times=times)).windows[0]
    assert only.form == Once(
        datetime(2026, 12, 1, 3, tzinfo=UTC), datetime(2026, 12, 1, 4, 30, tzinfo=UTC)
    )
    assert (only.zone, only.zone_name) == (timezone(timedelta(hours=5)), "+05:00")


def test_a_duration_over_a_change_of_clocks_is_elapsed_time() -> None:
    times = 'start: "2026-03-28T12:00:00", duration: 24h, timezone: Europe/Berlin'
    assert policy_of(window(times=times)).windows[0].form == Once(
        datetime(2026, 3, 28, 11, tzinfo=UTC), datetime(2026, 3, 29, 11, tzinfo=UTC)
    )


@pytest.mark.parametrize(("fold", "hour"), [(0, 0), (1, 1)])
def test_fold_tells_which_of_two_equal_wall_times_is_meant(fold: int, hour: int) -> None:
    times = f'start: "2026-10-25T02:30:00", duration: 1h, timezone: Europe/Berlin, fold: {fold}'
    form = policy_of(window(times=times)).windows[0].form
    assert isinstance(form, Once)
    assert form.starts_at == datetime(2026, 10, 25, hour, 30, tzinfo=UTC)


def test_a_day_alone_leaves_out_the_occurrence_of_that_day() -> None:
    times = (
        'rrule: "FREQ=WEEKLY;BYDAY=SU", start: "2026-12-06T02:00:00", duration: 4h, '
        'timezone: UTC, except: ["2026-12-13", "2026-12-20T02:00:00"]'
    )
    form = policy_of(window(times=times, measures="mark: {dscp: cs5}")).windows[0].form
    assert form == Recurring(
        "FREQ=WEEKLY;BYDAY=SU",
        datetime(2026, 12, 6, 2),  # noqa: DTZ001
        timedelta(hours=4),
        (datetime(2026, 12, 13, 2), datetime(2026, 12, 20, 2)),  # noqa: DTZ001
    )


def test_a_calendar_lies_beside_the_file_that_names_it() -> None:
    text = (
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:VPN\r\nDTSTART:20261201T080000Z\r\n"
        "DTEND:20261201T120000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    only = policy_of(
        window(times="calendar: outages.ics, match: VPN"),
        calendars={"windows.d/outages.ics": text},
    ).windows[0]
    start = datetime(2026, 12, 1, 8)  # noqa: DTZ001
    event = Event("VPN", start, UTC, 0, timedelta(hours=4))
    assert only.form == Calendar("windows.d/outages.ics", "VPN", (event,))


# --- just within the ceilings ------------------------------------------------------------------


def test_a_guard_window_of_exactly_72_hours_is_accepted() -> None:
    assert policy_of(window(times='start: "2026-12-01T08:00:00Z", duration: 72h')).windows


def guards(days: list[int], length: str) -> list[str]:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        window(
            f"g{day}",
            f'start: "{first + timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}", duration: {length}',
        )
        for day in days
    ]


def test_guard_may_be_armed_half_of_any_30_days_and_not_a_second_more() -> None:
    assert policy_of(*guards([0, 6, 12, 18, 24], "72h")).windows
    # The sixth begins as the first leaves the period: still 15 days of any 30.
    assert policy_of(*guards([0, 6, 12, 18, 24, 30], "72h")).windows
    with pytest.raises(PolicyError, match="guard is armed for 360 h 1 s of the 30 days"):
        policy_of(*guards([0, 6, 12, 18, 24], "72h"), *guards([28], "1s"))


def test_overlapping_guard_windows_count_once() -> None:
    twice = [
        text.replace("id: g", f"id: {n}g") for n in "ab" for text in guards([0, 6, 12, 18], "72h")
    ]
    assert len(policy_of(*twice).windows) == 8


def test_staged_and_provisional_windows_do_not_use_up_the_guard_budget() -> None:
    for more in (", stage: true", ", provisional: true"):
        quiet = [text.replace("}}\n", "}" + more + "}\n") for text in guards([3, 9, 15], "72h")]
        assert len(policy_of(*guards([0, 6, 12, 18, 24], "72h"), *quiet).windows) == 8


def test_shares_of_a_link_may_add_up_to_80_percent_and_follow_each_other_freely() -> None:
    def reserving(window_id: str, start: str, share: str) -> str:
        times = f'start: "{start}", duration: 4h'
        return window(window_id, times, f"reserve: {{link: wan, share: {share}}}")

    noon, four = "2026-12-01T12:00:00Z", "2026-12-01T16:00:00Z"
    assert policy_of(*(reserving(f"w{n}", noon, "10%") for n in range(8))).windows
    assert policy_of(reserving("a", noon, "80%"), reserving("b", four, "80%")).windows
    # 0.07 + 0.56 + 0.17 is a little over 0.8 in binary, and not over 80%.
    shares = ("7%", "56%", "17%")
    assert policy_of(*(reserving(f"w{n}", noon, s) for n, s in enumerate(shares))).windows


def test_windows_that_agree_or_mark_different_fields_may_overlap() -> None:
    marks = ("fwmark: 0x51", "dscp: cs5", "fwmark: 0x51, dscp: 40")
    windows = [
        window(f"w{n}", measures=f"mark: {{{mark}}}", more="") for n, mark in enumerate(marks)
    ]
    assert len(policy_of(*windows).windows) == 3


def test_estates_may_hold_exactly_the_ceiling_and_overlaps_count_once() -> None:
    sixteen = ", ".join(f'"2001:db8:{n:x}::/112"' for n in range(16))
    main = MAIN.replace(
        "203.0.113.0/28", f'10.0.0.0/21, 10.0.8.0/21, {sixteen}, "2001:db8:0:0:1::/112"'
    )
    second = "  second: {prefixes: [10.0.4.0/22], services: [tcp/1-4096]}\nlinks:\n  wan:"
    assert len(policy_of(main=main.replace("links:\n  wan:", second)).estates) == 2


# --- the record and properties -----------------------------------------------------------------


def test_the_digest_names_bytes_and_names() -> None:
    one = {"a": b"1", "b": b"2"}
    assert digest(one) == digest(dict(reversed(one.items())))
    others = ({"a": b"12", "b": b""}, {"a": b"1", "c": b"2"}, {"a": b"1"}, {"a": b"1", "b": b"3"})
    assert len({digest(one), *map(digest, others)}) == 5


def shuffled(value: object, chance: random.Random) -> str:
    """`value` as YAML in braces, the entries of each mapping in an order of chance."""
    if isinstance(value, dict):
        entries = [f"{key}: {shuffled(inner, chance)}" for key, inner in value.items()]
        chance.shuffle(entries)
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shuffled(inner, chance) for inner in value) + "]"
    return json.dumps(value)


def two_of_each() -> dict[str, bytes]:
    documents = contract_documents()
    more = (
        b"  second: {prefixes: [192.0.2.9/32], services: [esp]}\n"
        b"\nlinks:\n  lan: {device: lan0, rate: 1gbit}\n"
    )
    documents["enforcer.yaml"] = documents["enforcer.yaml"].replace(b"\nlinks:\n", more)
    return documents


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_entries_in_a_mapping_changes_nothing(chance: random.Random) -> None:
    documents = two_of_each()
    again = {
        name: shuffled(yaml.safe_load(data), chance).encode() for name, data in documents.items()
    }
    left, right = (load(d, "enforcer.yaml", ZONES) for d in (documents, again))
    assert replace(left, digest="") == replace(right, digest="")


def accepted_or_refused(documents: dict[str, bytes]) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        assert isinstance(load(documents, "enforcer.yaml", ZONES), Policy)
    except PolicyError as error:
        problems = error.problems
        str(error).encode("utf-8")
    assert all("; " in problem.message for problem in problems)


@examples(100)
@given(st.binary(max_size=200), st.text(max_size=200))
def test_no_bytes_raise_anything_but_a_policy_error(junk: bytes, text: str) -> None:
    accepted_or_refused({"enforcer.yaml": junk, "w.yaml": text.encode("utf-8", "replace")})


OWN_WORDS = """
    id reason start end duration timezone rrule except hijri calendar from to sighting match
    measures mark reserve guard fwmark dscp link share estate lease stage provisional fold version
    gateway categories registry lifelines estates links metrics listen name uplinks file sources
    1 -1 0x51 40% 1gbit 4h 12:30 yes 2026-12-01 08 1e400 .inf ~ << &a *a !!str "2026-12-01T08:00:00"
    "2026-13-01T08:00:00" Asia/Karachi Asia/ Europe EST 0.0.0.0/0 ::/0 10.0.0.0/8 udp/500 esp
    FREQ=DAILY true
"""
WORDS = st.sampled_from(OWN_WORDS.split())
VALUES = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: "[" + ", ".join(parts) + "]"),
        st.lists(st.tuples(WORDS, inner), max_size=5).map(
            lambda parts: "{" + ", ".join(f"{k}: {v}" for k, v in parts) + "}"
        ),
    ),
    max_leaves=12,
)


@examples(100)
@given(VALUES, VALUES, st.lists(st.tuples(WORDS, VALUES), max_size=4))
def test_no_yaml_of_the_files_own_words_raises_anything_but_a_policy_error(
    main: str, entry: str, more: list[tuple[str, str]]
) -> None:
    good = window().rstrip("}\n") + "}}"
    extra = "".join(f", {key}: {value}" for key, value in more)
    windows = f"{good}{extra}}}\n- {entry}\n"
    accepted_or_refused({"enforcer.yaml": main.encode(), "w.yaml": windows.encode()})
    accepted_or_refused({"enforcer.yaml": MAIN.encode(), "w.yaml": windows.encode()})
