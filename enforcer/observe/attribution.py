"""Which packets belong to which opening of a window, out of totals that only ever grow.

Totals of the daemon's life come in (`Totals.now`), with what was seen before a restart; the share
of one opening goes out, as plain rows. It reads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from enforcer.ruleset.measures import CounterName, parse_counter

Sums = Mapping[CounterName, tuple[int, int]]
Rows = list[dict[str, Any]]


class Attribution:
    """`told` is what earlier openings were given; the rest is the present one's."""

    def __init__(self) -> None:
        self._told: dict[CounterName, tuple[int, int]] = {}

    def begin(self, sums: Sums, seen: Mapping[str, Sums]) -> None:
        """At the start of a daemon: `sums` are what the kernel's counters still hold, `seen` what
        each window that was open had when it was last looked at. Counters of other windows were
        told before. Counters that have begun anew since (a reboot) add to what was seen.
        """
        for name, counts in sums.items():
            if name.window not in seen:
                self._told[name] = counts
        for before in seen.values():
            if any(sums.get(name, (0, 0))[0] < counts[0] for name, counts in before.items()):
                for name, (packets, octets) in before.items():
                    self._told[name] = -packets, -octets

    def share(self, window: str, sums: Sums) -> dict[CounterName, tuple[int, int]]:
        """What the present opening of a window has counted so far."""
        names = {n for n in (*sums, *self._told) if n.window == window}
        zero = (0, 0)
        parts = {n: (sums.get(n, zero), self._told.get(n, zero)) for n in sorted(names)}
        return {n: (now[0] - told[0], now[1] - told[1]) for n, (now, told) in parts.items()}

    def close(self, window: str, sums: Sums) -> None:
        """From now on only what comes is the next opening's."""
        for name in [n for n in self._told if n.window == window]:
            del self._told[name]
        self._told |= {name: counts for name, counts in sums.items() if name.window == window}


def rows(sums: Sums) -> Rows:
    """As they stand in a record: only what was counted at all."""
    return [
        {
            "measure": name.measure,
            "verdict": name.verdict,
            "family": f"ipv{name.family}",
            "category": name.category,
            "packets": packets,
            "bytes": octets,
        }
        for name, (packets, octets) in sorted(sums.items())
        if packets or octets
    ]


def sums_of(window: str, told: Iterable[Any]) -> dict[CounterName, tuple[int, int]]:
    """Back from rows; what is no row is passed over."""
    found: dict[CounterName, tuple[int, int]] = {}
    for row in told:
        try:
            parts = row["measure"], window, row["verdict"], row["family"], row["category"]
            name = parse_counter("/".join(parts).replace("/ipv", "/ip", 1))
            counts = int(row["packets"]), int(row["bytes"])
        except (KeyError, TypeError, ValueError):
            continue
        if name is not None:
            found[name] = counts
    return found
