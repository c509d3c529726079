"""What `watch` is answered: bounded, both families as one, armed windows only."""

from __future__ import annotations

import json
from typing import Any

from enforcer.errors import KernelError
from enforcer.observe.watching import MOST_SAMPLED, MOST_WINDOWS, watch_view
from enforcer.ruleset.measures import CounterName

STATUS: dict[str, Any] = {"armed": ["ddos"], "gateway": "edge-1"}
AT = "2026-12-01T08:00:00Z"


def view(status: dict[str, Any], totals: Any, sampled: Any = ()) -> dict[str, Any]:
    return watch_view(status, lambda: totals, sampled, at=AT, monotonic_s=1.5)


def test_families_are_one_and_what_is_not_armed_is_left_out() -> None:
    totals = {
        CounterName("mark", "ddos", "marked", 4, "mission"): (3, 300),
        CounterName("mark", "ddos", "marked", 6, "mission"): (4, 400),
        CounterName("mark", "over", "marked", 6, "mission"): (9, 900),
    }
    sampled = [{"window": "over", "packets": 5}, {"window": "ddos", "packets": 1},
               {"window": "ddos", "packets": 7}]  # fmt: skip
    assert view(STATUS, totals, sampled) == {
        **STATUS,
        "at": AT,
        "monotonic_s": 1.5,
        "windows_left_out": 0,
        "totals": [{"window": "ddos", "measure": "mark", "verdict": "marked",
                    "category": "mission", "packets": 7, "bytes": 700}],
        "sampled": [{"window": "ddos", "packets": 7}, {"window": "ddos", "packets": 1}],
    }  # fmt: skip


def test_a_kernel_that_does_not_tell_is_no_zero() -> None:
    def refused() -> dict[CounterName, tuple[int, int]]:
        raise KernelError("counters", 1, "no")

    assert watch_view(STATUS, refused, (), at=AT, monotonic_s=1.5)["totals"] is None


def test_ten_thousand_windows_are_an_answer_that_a_socket_holds() -> None:
    names = [f"{'w' * 58}{n:06d}" for n in range(10_000)]
    totals = {
        CounterName("guard", name, verdict, 4, "c" * 32): (1 << 40, 1 << 50)
        for name in names
        for verdict in ("let_in", "held_back", "would_drop")
    }
    sampled = [
        {"window": name, "measure": "guard", "verdict": "held_back", "category": "c" * 32,
         "service": "udp/50000-60000", "packets": n, "bytes": n}
        for n, name in enumerate(names[:MOST_WINDOWS] * 40)
    ]  # fmt: skip
    answer = view({**STATUS, "armed": names}, totals, sampled)
    assert answer["windows_left_out"] == 10_000 - MOST_WINDOWS
    assert len(answer["sampled"]) == MOST_SAMPLED
    status_of_so_many = len(json.dumps({"armed": names}))
    assert len(json.dumps(answer)) - status_of_so_many < 150_000
