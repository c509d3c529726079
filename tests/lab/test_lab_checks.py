"""Window edges, steady beats, the share and the metrics, judged from what was measured."""

from __future__ import annotations

import pytest

from enforcer.lab import checks
from enforcer.lab.gateway import Span
from enforcer.lab.heartbeat import Beat, Silence, silences
from enforcer.lab.phases import Check
from enforcer.lab.witness import (
    Sample,
    Seen,
    ShaperClass,
    parse_classes,
    samples,
    source_and_dscp,
)

WINDOWS = (Span("lab-1", 100, 110), Span("lab-2", 120, 130))


def beats(*held_back: tuple[float, float], until: float = 140) -> list[Beat]:
    """A beat each 0.25 s from 90; lost from the first instant of a pair to before the second."""
    instants = [90 + step / 4 for step in range(int((until - 90) * 4))]
    return [Beat(at, not any(a <= at < b for a, b in held_back)) for at in instants]


def test_silences_run_from_the_first_lost_beat_to_the_next_echoed_one():
    assert silences(beats((100, 110), (120, 130))) == [Silence(100, 110), Silence(120, 130)]
    assert silences(beats((135, 200))) == [Silence(135, None)]
    assert silences(beats()) == []
    assert silences([]) == []


def test_windows_that_open_and_close_on_time_are_right():
    found = checks.edges("ipv4", "it", beats((100.25, 110), (120, 130.5)), WINDOWS)
    assert found == [
        Check(
            "edges-ipv4-lab-1",
            "lab-1 as it",
            "held back 250 ms after its start, let in 0 ms after its end",
            True,
        ),
        Check(
            "edges-ipv4-lab-2",
            "lab-2 as it",
            "held back 0 ms after its start, let in 500 ms after its end",
            True,
        ),
    ]


@pytest.mark.parametrize(
    "held_back",
    [
        ((100, 110), (120, 130.75)),  # outlasts its end
        ((100, 110), (120, 140)),  # never ends
        ((100, 109.5), (120, 130)),  # ends before the declared end
        ((99.5, 110), (120, 130)),  # holds back before the window
        ((100.75, 110), (120, 130)),  # opens late
        ((100, 110),),  # the second never opens
        ((100, 110), (114, 115), (120, 130)),  # something is lost between
    ],
)
def test_a_window_at_another_time_than_declared_is_wrong(held_back):
    found = checks.edges("ipv4", "it", beats(*held_back), WINDOWS)
    assert not all(check.ok for check in found)


def test_silences_close_together_are_one_when_asked_for():
    broken = beats((100, 110), (110.25, 110.75), (120, 130))
    assert silences(broken, 0.3) == [Silence(100, 110.75), Silence(120, 130)]
    assert len(silences(broken)) == 3
    assert silences([]) == silences([], 0.3) == []


def test_steady_traffic_that_loses_nothing_is_right():
    assert checks.steady("t", "transit", beats(), WINDOWS) == Check(
        "steady-t", "steady transit, whole run", "0 lost of 200", True
    )
    assert not checks.steady("t", "transit", [], WINDOWS).ok


@pytest.mark.parametrize(
    ("lost", "value"),
    [
        ((110.5, 110.75), "1 lost of 200: 0.50 s after the end of lab-1 for 250 ms"),
        ((119.75, 120), "1 lost of 200: 0.25 s before the start of lab-2 for 250 ms"),
        ((139.75, 140), "1 lost of 200: 9.75 s after the end of lab-2 for ever"),
    ],
)
def test_steady_traffic_that_loses_anything_is_wrong_and_says_where(lost, value):
    check = checks.steady("t", "transit", beats(lost), WINDOWS)
    assert (check.value, check.ok) == (value, False)


TC = """\
class htb e4f0:10 parent e4f0:1 prio 0 rate 400Mbit ceil 1Gbit burst 1600b cburst 1375b 
 Sent 31842 bytes 241 pkt (dropped 0, overlimits 0 requeues 0) 
 backlog 0b 0p requeues 0
 lended: 241 borrowed: 0 giants: 0
 tokens: 480 ctokens: 184

class htb e4f0:20 parent e4f0:1 prio 0 rate 600Mbit ceil 1Gbit burst 1500b cburst 1375b 
 Sent 5120 bytes 64 pkt (dropped 0, overlimits 0 requeues 0) 
"""  # noqa: W291 - tc ends its lines with a space


def test_the_classes_of_a_shaper_are_read_from_tc():
    assert parse_classes(TC) == {
        0x10: ShaperClass("400Mbit", 241),
        0x20: ShaperClass("600Mbit", 64),
    }
    assert parse_classes("") == {}


@pytest.mark.parametrize(
    ("classes", "value", "ok"),
    [
        ({0x10: ShaperClass("400Mbit", 1)}, "400Mbit", True),
        ({0x10: ShaperClass("800Mbit", 1)}, "800Mbit", False),
        ({}, "no class :10", False),
    ],
)
def test_the_share_must_be_the_declared_one(classes, value, ok):
    check = checks.share(classes)
    assert (check.value, check.ok) == (value, ok)


def packets(window: str, measure: str, verdict: str, family: str, value: str) -> str:
    labels = f'window="{window}",measure="{measure}",verdict="{verdict}",family="{family}"'
    return f"enforcer_packets_total{{{labels}}} {value}"


PAGE = "\n".join(
    [
        "# HELP enforcer_packets_total Packets by what became of them.",
        "# TYPE enforcer_packets_total counter",
        packets("lab-1", "guard", "held_back", "ipv4", "12.0"),
        packets("lab-1", "guard", "held_back", "ipv6", "3.0"),
        packets("lab-1", "guard", "let_in", "ipv6", "0.0"),
        packets("lab-2", "guard", "let_in", "ipv6", "9.0"),
        packets("lab-1", "mark", "marked", "ipv4", "1e3"),
        'enforcer_window_active{window="lab-1"} 1.0',
        "enforcer_clock_synchronised 0.0",
    ]
)


def test_samples_of_the_metrics_page_are_read_with_their_labels():
    assert samples(PAGE)[-2:] == [
        Sample("enforcer_window_active", {"window": "lab-1"}, 1.0),
        Sample("enforcer_clock_synchronised", {}, 0.0),
    ]
    assert len(samples(PAGE)) == 7


def test_each_measure_must_have_counted_in_the_window_itself():
    found = checks.window_metrics("lab-1", samples(PAGE))
    assert [(check.id, check.value, check.ok) for check in found] == [
        ("metrics-active", "1", True),
        ("metrics-guard-held_back", "15 packets", True),
        ("metrics-guard-let_in", "0 packets", False),
        ("metrics-mark-marked", "1,000 packets", True),
        ("metrics-reserve-reserved", "0 packets", False),
    ]
    assert not any(check.ok for check in checks.window_metrics("lab-1", []))


def test_the_metrics_shown_are_those_of_the_window_that_counted():
    assert checks.shown_lines("lab-1", PAGE) == (
        PAGE.splitlines()[2],
        PAGE.splitlines()[3],
        PAGE.splitlines()[6],
        PAGE.splitlines()[7],
    )


def test_dscp_is_read_from_both_families():
    cs5 = 40 << 2
    ipv4 = bytes([0x45, cs5]) + bytes(10) + bytes([198, 51, 100, 5]) + bytes(4)
    ipv6 = bytes([0x60 | cs5 >> 4, (cs5 & 15) << 4]) + bytes(6) + bytes(range(16)) + bytes(16)
    assert source_and_dscp(ipv4, 0x0800) == (bytes([198, 51, 100, 5]), 40)
    assert source_and_dscp(ipv6, 0x86DD) == (bytes(range(16)), 40)
    assert source_and_dscp(ipv4[:12], 0x0800) is None
    assert source_and_dscp(ipv4, 0x0806) is None


def test_what_was_seen_in_a_phase_is_the_difference_of_two_readings():
    assert Seen(5, 9, 0, 20) - Seen(2, 4, 0, 20) == Seen(3, 5, 0, 0)
