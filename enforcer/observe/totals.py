"""Packet and byte totals that never go backward while the daemon lives.

The kernel counts in named counters that vanish with their window. Before one is deleted its last
value is taken over here; a scrape adds what is taken over and what still runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from enforcer.ruleset.measures import CounterName, parse_counter

Counts = Mapping[str, tuple[int, int]]


class Totals:
    """`read` gives the kernel's running counters: name → (packets, bytes)."""

    def __init__(self, read: Callable[[], Counts]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._closed: dict[str, tuple[int, int]] = {}
        self._retired: dict[str, tuple[int, int]] = {}

    def take_over(self, names: frozenset[str], counts: Counts) -> None:
        """Takes over the last values of counters about to be deleted (again if they still run)."""
        with self._lock:
            for name in names:
                if name in counts:
                    self._retired[name] = counts[name]

    def deleted(self, names: frozenset[str]) -> None:
        """The kernel no longer has them: what was taken over stands for good."""
        with self._lock:
            for name in names:
                packets, octets = self._retired.pop(name, (0, 0))
                before = self._closed.get(name, (0, 0))
                self._closed[name] = before[0] + packets, before[1] + octets

    def now(self) -> dict[CounterName, tuple[int, int]]:
        """All totals by their labels: (packets, bytes). Raises KernelError when the kernel does."""
        # The read is inside the lock: a counter deleted between the two would be told twice. It
        # also keeps scrapes at the same time off each other's socket.
        with self._lock:
            running = self._read()
            sums = dict(self._closed)
            waiting = {n: c for n, c in self._retired.items() if n not in running}
        for counts in (running, waiting):
            for name, (packets, octets) in counts.items():
                before = sums.get(name, (0, 0))
                sums[name] = before[0] + packets, before[1] + octets
        named = ((parse_counter(name), counts) for name, counts in sums.items())
        return {name: counts for name, counts in named if name is not None}
