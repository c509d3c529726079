"""Packet and byte totals that never go backward while the daemon lives.

The kernel counts in named counters that vanish with their window. Before one is deleted its last
value is read; a scrape adds what was closed and what still runs. Another program may delete or
reset counters as well (`nft flush ruleset`, `nft reset counters`): what one had when it was last
read is closed then, so that lost is only what it counted since.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from enforcer.ruleset.measures import CounterName, parse_counter

Counts = Mapping[str, tuple[int, int]]
_NOTHING = (0, 0)


class Totals:
    """`read` gives the kernel's running counters: name → (packets, bytes)."""

    def __init__(self, read: Callable[[], Counts]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._closed: dict[str, tuple[int, int]] = {}
        # As last read.
        self._running: dict[str, tuple[int, int]] = {}

    def take_over(self, read: Callable[[], Counts]) -> None:
        """Takes over the last values before counters are deleted. Raises what `read` does."""
        with self._lock:
            self._seen(read())

    def deleted(self, names: frozenset[str]) -> None:
        """The kernel no longer has them: what was taken over stands for good, and what has their
        names from now on counts from nothing.
        """
        with self._lock:
            self._close(name for name in names if name in self._running)

    def now(self) -> dict[CounterName, tuple[int, int]]:
        """All totals by their labels: (packets, bytes). Raises KernelError when the kernel does."""
        # Each read is inside the lock: one that comes in late would look like a counter that fell.
        # It also keeps scrapes at the same time off each other's socket.
        with self._lock:
            self._seen(self._read())
            names = self._closed.keys() | self._running.keys()
            sums = {name: self._sum(name) for name in sorted(names)}
        named = ((parse_counter(name), counts) for name, counts in sums.items())
        return {name: counts for name, counts in named if name is not None}

    def _seen(self, counts: Counts) -> None:
        """What fell or is gone began anew, or ended: what it had is closed."""
        self._close(
            [
                name
                for name, (packets, octets) in self._running.items()
                if (now := counts.get(name)) is None or now[0] < packets or now[1] < octets
            ]
        )
        self._running = dict(counts)

    def _close(self, names: Iterable[str]) -> None:
        for name in names:
            self._closed[name] = self._sum(name)
            self._running.pop(name, None)

    def _sum(self, name: str) -> tuple[int, int]:
        closed, running = self._closed.get(name, _NOTHING), self._running.get(name, _NOTHING)
        return closed[0] + running[0], closed[1] + running[1]
