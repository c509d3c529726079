"""What `watch` asks the daemon for: the status, the totals of armed windows, and what was sampled.

In: values. Out: JSON of bounded size, from the operator's own names. Counts run from the daemon's
start; whoever asks twice makes rates of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from enforcer.errors import KernelError
from enforcer.ruleset.measures import CounterName

# Each is some dozen rows; an answer must fit what the kernel holds for a socket.
MOST_WINDOWS, MOST_SAMPLED = 50, 300


def watch_view(
    status: dict[str, Any],
    totals: Callable[[], Mapping[CounterName, tuple[int, int]]],
    sampled: Iterable[dict[str, Any]],
    *,
    at: str,
    monotonic_s: float,
) -> dict[str, Any]:
    """`totals` of None: the kernel does not tell. `monotonic_s`: when these counts were read."""
    shown = set(status["armed"][:MOST_WINDOWS])
    rows = [row for row in sampled if row["window"] in shown]
    rows.sort(key=lambda row: -row["packets"])
    return {
        **status,
        "at": at,
        "monotonic_s": monotonic_s,
        "totals": _summed(totals, shown),
        "windows_left_out": max(0, len(status["armed"]) - MOST_WINDOWS),
        "sampled": rows[:MOST_SAMPLED],
    }


def _summed(
    totals: Callable[[], Mapping[CounterName, tuple[int, int]]], windows: set[str]
) -> list[dict[str, Any]] | None:
    """Both families as one."""
    try:
        read = totals()
    except KernelError:
        return None
    packets: Counter[tuple[str, str, str, str]] = Counter()
    octets: Counter[tuple[str, str, str, str]] = Counter()
    for name, counts in read.items():
        if name.window in windows:
            key = name.window, name.measure, name.verdict, name.category
            packets[key] += counts[0]
            octets[key] += counts[1]
    return [
        {
            "window": window,
            "measure": measure,
            "verdict": verdict,
            "category": category,
            "packets": packets[window, measure, verdict, category],
            "bytes": octets[window, measure, verdict, category],
        }
        for window, measure, verdict, category in sorted(packets)
    ]
