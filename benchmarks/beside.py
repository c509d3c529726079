"""Variants by turns, each held against the path without rules right before and right after it.

In: an open sender, frames, and what puts each variant in force. Out: costs in ns of processor time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import cores
from benchmarks.wire import Frames, cost_ns

_LEAST_ROUNDS = 3
_STEADY = 0.1


@dataclass(frozen=True, slots=True)
class Beside:
    """A packet's cost in ns, and what one without rules cost right before and right after."""

    cost: float
    before: float
    after: float

    @property
    def ratio(self) -> float:
        return 2 * self.cost / (self.before + self.after)

    @property
    def steady(self) -> bool:
        """Whether the machine was as fast after it as before. A neighbour on the same processor
        halves a virtual machine's speed for seconds: what spans such a change compares nothing.
        """
        return abs(self.after - self.before) <= _STEADY * self.before


def alternate(
    sock: socket.socket,
    frames: Frames,
    without: Callable[[], None],
    variants: Sequence[tuple[str, Callable[[], None]]],
    *,
    rounds: int,
    packets: int,
    within_s: float = 60.0,
) -> dict[str, list[Beside]]:
    """Costs of each variant, round by round, each between two without rules; `variants` are names
    and what puts them in force, `without` takes out what is. After three rounds none begins later
    than `within_s`. What was not steady is left out, if three others are there.

    Slices are short (tens of ms) and many. Sent from the sender's core, put in force from the
    other. Every second round goes backwards, so that nobody always comes after the same one.
    """
    start = 0

    def slice_of(count: int) -> float:
        nonlocal start
        with cores.sending():
            _, start = cost_ns(sock, frames, count // 4, start)
            cost, start = cost_ns(sock, frames, count, start)
        return cost

    found: dict[str, list[Beside]] = {name: [] for name, _ in variants}
    begun = time.monotonic()
    for number in range(rounds):
        if number >= _LEAST_ROUNDS and time.monotonic() - begun > within_s:
            break
        without()
        before = slice_of(packets // 2)
        for name, put in variants if number % 2 == 0 else variants[::-1]:
            put()
            cost = slice_of(packets)
            without()
            after = slice_of(packets // 2)
            found[name].append(Beside(cost, before, after))
            before = after
    return {name: steady_ones(values) for name, values in found.items()}


def steady_ones(values: list[Beside]) -> list[Beside]:
    steady = [value for value in values if value.steady]
    return steady if len(steady) >= _LEAST_ROUNDS else values
