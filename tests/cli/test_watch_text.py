"""Answers of the daemon as rates, screens of any size, lines and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from enforcer.cli.watch_text import History, View, as_json, plain, screen

NOW = datetime(2026, 12, 1, 8, 0, 3, tzinfo=UTC)


def row(verdict: str, packets: int, category: str = "freelancer") -> dict[str, Any]:
    measure = {"marked": "mark", "reserved": "reserve"}.get(verdict, "guard")
    return {
        "window": "ddos", "measure": measure, "verdict": verdict, "category": category,
        "packets": packets, "bytes": packets * 125,
    }  # fmt: skip


def sample(service: str, verdict: str, packets: int, category: str) -> dict[str, Any]:
    return {**row(verdict, packets, category), "service": service}


def answer(
    seconds: float, packets: int, *, taken: int | None = None, **more: Any
) -> dict[str, Any]:
    """As the daemon gives it: `packets` let in, three times as many held back."""
    some = packets if taken is None else taken
    return {
        "version": "0.1.0",
        "gateway": "edge-1",
        "at": "2026-12-01T08:00:03Z",
        "monotonic_s": 1000.0 + seconds,
        "armed": ["ddos"],
        "windows": [
            {"id": "ddos", "state": "armed", "starts_at": "2026-12-01T06:00:00Z",
             "ends_at": "2026-12-01T10:00:00Z", "measures": ["guard"]},
            {"id": "cut", "state": "next", "starts_at": "2026-12-02T06:00:00Z",
             "ends_at": "2026-12-02T10:00:00Z", "measures": ["mark"]},
            {"id": "maybe", "state": "provisional", "starts_at": "2026-12-03T06:00:00Z",
             "ends_at": "2026-12-03T10:00:00Z", "measures": ["mark"]},
        ],
        "problem": None,
        "waiting_for_clock": [],
        "missing_devices": [],
        "totals": [
            row("let_in", packets),
            row("let_in", 2 * packets, "mission"),
            row("held_back", 3 * packets, "unregistered"),
            row("marked", 4 * packets),
        ],
        "samples": {"rate": 10, "problem": None, "seen": some, "lost": 0, "judged": some,
                    "mismatches": 0},
        "sampled": [
            sample("udp/51820", "let_in", some, "freelancer"),
            sample("udp/51820", "held_back", 2 * some, "unregistered"),
            sample("tcp, other ports", "marked", 0, "freelancer"),
        ],
        **more,
    }  # fmt: skip


def view(*answers: dict[str, Any], **more: Any) -> View:
    history = History()
    for one in answers:
        history.add(one)
    return replace(
        View(NOW, 1.0, answers[-1] if answers else None),
        rates=history.rates(),
        sampled=history.sampled(),
        **more,
    )


def text(seen: View, columns: int = 100, rows: int = 40) -> list[str]:
    return [line for line, _ in screen(seen, columns, rows)]


# --- rates ---------------------------------------------------------------------------------------


def test_a_rate_is_of_the_daemons_own_seconds() -> None:
    (let_in, mission, held, marked) = view(answer(0, 100), answer(2, 300)).rates
    assert (let_in.packets_s, let_in.bytes_s, let_in.packets) == (100.0, 12_500.0, 300)
    assert (mission.packets_s, held.packets_s, marked.packets_s) == (200.0, 300.0, 400.0)


def test_what_is_new_had_counted_nothing() -> None:
    opened = view(answer(0, 0, totals=[], armed=[]), answer(1, 50))
    assert [r.packets_s for r in opened.rates] == [50, 100, 150, 200]


def test_the_first_answer_has_no_rate() -> None:
    history = History()
    history.add(answer(0, 100))
    assert not history.ready
    assert {r.packets_s for r in history.rates()} == {0.0}


@pytest.mark.parametrize("later", [answer(5, 50), answer(-500, 200), answer(5, 200, taken=1)])
def test_another_daemon_begins_anew(later: dict[str, Any]) -> None:
    history = History()
    history.add(answer(0, 100))
    history.add(later)
    assert not history.ready
    assert {r.packets_s for r in history.rates()} == {0.0}
    history.add(answer(later["monotonic_s"] - 1000 + 1, later["totals"][0]["packets"] + 10))
    assert history.rates()[0].packets_s == 10


def test_samples_are_told_of_a_minute_and_what_is_kept_is_bounded() -> None:
    history = History()
    for second in range(600):
        history.add(answer(second, second * 10))
    assert len(history.answers) <= 62
    assert dict(history.sampled()) == {
        ("udp/51820", "freelancer", "let_in"): 600,
        ("udp/51820", "unregistered", "held_back"): 1200,
    }
    # Most first.
    assert [key[2] for key, _ in history.sampled()] == ["held_back", "let_in"]


# --- the screen ----------------------------------------------------------------------------------


def test_a_screen_of_everything() -> None:
    assert text(view(answer(0, 0), answer(1, 1500)), 92, 30) == [
        "edge-1, enforcer 0.1.0" + " " * 50 + "2026-12-01 08:00:03Z",
        "armed   ddos  1h 59m more, until 2026-12-01 10:00:00Z",
        "next    cut  in 21h 59m",
        "next    maybe  in 1d 21h, once it is confirmed",
        "",
        "window  measure  verdict    packets/s        rate  packets",
        "ddos    guard    let in         4,500  4.5 Mbit/s    4,500",
        "ddos    guard    held back      4,500  4.5 Mbit/s    4,500",
        "ddos    mark     marked         6,000  6.0 Mbit/s    6,000",
        "",
        "sampled headers of the last minute: 4,500 (1,500 judged again, 0 differ)",
        "service    category      verdict    samples",
        "udp/51820  unregistered  held back    3,000",
        "udp/51820  freelancer    let in       1,500",
    ]


@pytest.mark.parametrize("columns", [20, 33, 60, 80, 200])
@pytest.mark.parametrize("rows", [1, 2, 5, 12, 24, 60])
def test_no_line_is_longer_and_no_screen_higher_than_the_terminal(columns: int, rows: int) -> None:
    many = [sample(f"udp/{n}", "let_in", n, "freelancer") for n in range(1, 200)]
    seen = view(
        answer(0, 0, taken=0),
        answer(1, 10**9, taken=9, armed=["ddos", *(f"w-{n}" for n in range(40))],
               problem="p" * 300, missing_devices=["wan0"], sampled=many),
    )  # fmt: skip
    lines = text(seen, columns, rows)
    assert len(lines) <= max(1, rows - 1)
    assert max(map(len, lines)) <= columns


def test_sixty_columns_keep_what_matters() -> None:
    lines = text(view(answer(0, 0), answer(1, 123_456_789)), 60, 30)
    assert lines[0] == "edge-1, enforcer 0.1.0                  2026-12-01 08:00:03Z"
    table = [line for line in lines if line.startswith("ddos ")]
    assert len(table) == 3
    assert all(line.endswith("bit/s") for line in table), "the sum goes first"


def test_what_does_not_fit_is_said() -> None:
    many = [sample(f"udp/{n}", "let_in", 0, "freelancer") for n in range(1, 100)]
    more = [{**row, "packets": 100 - n} for n, row in enumerate(many)]
    first, second = answer(0, 0, taken=0), answer(1, 0, taken=1)
    seen = view({**first, "sampled": many}, {**second, "sampled": more})
    lines = text(seen, 80, 24)
    assert lines[-1] == "and 89 kinds more"
    assert lines[-2].startswith("udp/10 ")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "no samples in the last minute (0 judged again, 0 differ)"),
        ({"rate": 0}, "no samples: switched off (observe.sample)"),
        ({"problem": "sample: another program listens"},
         "no samples: sample: another program listens"),
        ({"lost": 3}, "no samples in the last minute (0 judged again, 0 differ, lost 3 times)"),
    ],
)  # fmt: skip
def test_no_samples_has_a_reason(more: dict[str, Any], said: str) -> None:
    one = answer(0, 0)
    one["samples"] = {**one["samples"], **more}
    assert said in text(view(one, {**one, "monotonic_s": 1001.0}))


def test_differences_are_the_first_thing_to_see() -> None:
    one = answer(0, 100)
    one["samples"] = {**one["samples"], "mismatches": 7}
    lines = screen(view(one), 120, 30)
    told = "the kernel judged 7 of 100 sampled packets otherwise than the registry; "
    assert lines[1] == (f"{told}see kernel_mismatch in the daemon's log", "red")
    assert "otherwise than the registry" in plain(view(one))[-1]


def test_nothing_armed_is_said() -> None:
    quiet = answer(0, 0, armed=[], windows=[], totals=[], sampled=[])
    lines = text(view(quiet))
    assert lines[1] == "armed   nothing"
    assert "no packets are counted: no window is armed" in lines
    assert plain(view(quiet)) == ["2026-12-01 08:00:03Z  nothing armed"]
    quiet |= {"waiting_for_clock": ["ddos"], "due": ["ddos"]}
    (line,) = plain(view(quiet))
    assert line == "2026-12-01 08:00:03Z  nothing armed; due, not armed: ddos"
    assert "due, not armed until the clock is right: ddos" in text(view(quiet))


def test_a_kernel_that_does_not_tell_is_no_zero() -> None:
    silent = view(answer(0, 0), answer(1, 0, totals=None))
    assert "the kernel does not tell its counters" in text(silent)
    assert as_json(silent)["rates"] is None


# --- a daemon that is gone -----------------------------------------------------------------------

GONE = "/run/enforcer/control.sock: no daemon answers (Connection refused); run: systemctl start e"


def test_a_daemon_that_is_gone_is_said_above_what_it_said_last() -> None:
    seen = view(answer(0, 0), answer(1, 10), error=GONE, gone_at=NOW)
    lines = screen(seen, 100, 30)
    assert lines[1] == ("the daemon does not answer since 08:00:03Z; asked again and again", "red")
    fact, remedy = GONE.split("; ")
    assert lines[2:5] == [
        (f"  {fact}", "red"), (f"  {remedy}", "red"), ("  what it said last:", "yellow")
    ]  # fmt: skip
    assert lines[5][0].startswith("armed   ddos")
    assert not any("packets" in line for line, _ in lines), "rates of now there are none"
    assert plain(seen) == [f"2026-12-01 08:00:03Z  the daemon does not answer: {GONE}; asked again"]
    told = as_json(seen)
    assert (told["daemon"], told["error"]) == (False, GONE)
    assert "rates" not in told


def test_a_daemon_that_never_was() -> None:
    seen = view(error=GONE, gone_at=NOW)
    assert text(seen, 100, 30)[0].startswith("enforcer watch ")
    assert len(text(seen, 100, 30)) == 4


# --- lines and JSON ------------------------------------------------------------------------------


def test_a_line_a_window_for_whoever_reads_lines() -> None:
    guard = "guard let in 4,500/s 4.5 Mbit/s, guard held back 4,500/s 4.5 Mbit/s"
    assert plain(view(answer(0, 0), answer(1, 1500))) == [
        f"2026-12-01 08:00:03Z  ddos: {guard}, mark marked 6,000/s 6.0 Mbit/s"
    ]


def test_json_has_stable_keys() -> None:
    told = json.loads(json.dumps(as_json(view(answer(0, 0), answer(1, 1500)))))
    assert list(told) == [
        "at", "daemon", "error", "armed", "windows", "problem", "rates", "samples", "sampled",
    ]  # fmt: skip
    assert told["rates"][2] == {
        "window": "ddos", "measure": "guard", "verdict": "held_back", "category": "unregistered",
        "packets": 4500, "bytes": 562_500, "packets_per_second": 4500.0,
        "bytes_per_second": 562_500.0,
    }  # fmt: skip
    assert told["sampled"][0] == {
        "service": "udp/51820", "category": "unregistered", "verdict": "held_back", "packets": 3000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("octets", "said"),
    [(0, "0 bit/s"), (10, "80 bit/s"), (125, "1.0 kbit/s"), (124.9, "999 bit/s"),
     (125_000_000, "1.0 Gbit/s"), (12_499_999, "100 Mbit/s"), (1.3e14, "1040 Tbit/s")],
)  # fmt: skip
def test_a_rate_is_told_in_bits(octets: float, said: str) -> None:
    line = plain(view(answer(0, 0), answer(1, 0, totals=[{**row("marked", 1), "bytes": octets}])))
    assert line[0].endswith(f" {said}")
