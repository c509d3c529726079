"""What the page looks at: a snapshot and what else is known now → the windows worth showing.

However many windows are declared, only so many are laid out as the page has rows; of the others it
says how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from enforcer.observe.snapshot import RecordState, Shown, Snapshot, in_force
from enforcer.ruleset.measures import CounterName
from enforcer.schedule.agenda import Entry, entries
from enforcer.schedule.orders import Orders

PAST, AHEAD = timedelta(days=7), timedelta(days=30)
MOST_ROWS = 24

Totals = Mapping[CounterName, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Row:
    """A window and its occurrences between `PAST` and `AHEAD` of now, in order."""

    window: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """`totals` is None when the kernel's counters cannot be read. `more`: windows of the same span
    for which there is no row. `samples`: the counts of the self-check, where it is known.
    """

    snapshot: Snapshot
    totals: Totals | None
    now: datetime
    silent_s: float
    version: str
    rows: tuple[Row, ...] = ()
    more: int = 0
    record: RecordState | None = None
    samples: Mapping[str, Any] | None = None

    @property
    def due(self) -> list[Entry]:
        """What is on by the schedule and the orders, whether the kernel arms it or not."""
        return [e for row in self.rows for e in row.entries if e.state(self.now) == "armed"]

    def state(self, entry: Entry) -> Shown:
        """As the schedule and the orders say; `due` where the kernel does not arm what is on."""
        return in_force(entry.state(self.now), entry.activation.id, self.snapshot.armed)


def rows(snapshot: Snapshot, orders: Orders, now: datetime) -> tuple[tuple[Row, ...], int]:
    """The rows of the timeline: what is armed, then what is next, then what is over; and how many
    windows have none.
    """
    policy = snapshot.policy
    edges = {window: edge for window, edge in snapshot.edges if edge < now + AHEAD}
    armed = set(snapshot.armed)
    first = sorted(edges, key=lambda window: (window not in armed, edges[window], window))
    chosen = set(first[:MOST_ROWS])
    # Beside those with an edge in sight: what is over, closed, or waits to be confirmed.
    shown = [w for w in policy.windows if w.id in chosen or w.id not in edges]
    found: dict[str, list[Entry]] = {}
    for entry in entries(replace(policy, windows=tuple(shown)), orders, now - PAST, now + AHEAD):
        found.setdefault(entry.activation.id, []).append(entry)
    laid = [Row(window, tuple(e)) for window, e in found.items()]
    laid.sort(key=lambda row: _rank(row, armed, now))
    hidden = len(edges) - len(chosen) + max(0, len(laid) - MOST_ROWS)
    return tuple(laid[:MOST_ROWS]), hidden


def _rank(row: Row, armed: set[str], now: datetime) -> tuple[bool, bool, timedelta, str]:
    ahead = [e.activation.starts_at for e in row.entries if e.activation.ends_at > now]
    # The next one first; of those that are over, the newest.
    away = ahead[0] - now if ahead else now - row.entries[-1].activation.ends_at
    return row.window not in armed, not ahead, away, row.window
