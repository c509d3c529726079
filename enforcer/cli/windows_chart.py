"""Occurrences → a picture: one line a window, from left to right what is ahead of it.

Values in, lines of text out, as wide as they are asked to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from enforcer.observe.snapshot import Occurrence

MOST_LINES = 40
# Later ones are drawn over earlier ones.
_SIGNS = {"past": "-", "closed": "x", "provisional": "?", "next": "#", "armed": "#", "due": "!"}
_IDLE, _LONGEST_NAME = ".", 24
LEGEND = "# armed   ? provisional, once confirmed   x closed   - past   times in UTC"
DUE = "! due, and not in force: enforcer status says why"


def chart(
    occurrences: Sequence[Occurrence], after: datetime, before: datetime, columns: int
) -> list[str]:
    """A scale, then the windows in order of their next occurrence. `columns` is the whole width."""
    rows: dict[str, list[Occurrence]] = {}
    for occurrence in occurrences:
        rows.setdefault(occurrence.activation.id, []).append(occurrence)
    if not rows:
        return []
    shown = list(rows)[:MOST_LINES]
    label = min(max(len(name) for name in shown), _LONGEST_NAME)
    cells = max(columns - label - 2, 20)
    lines = [" " * (label + 2) + _scale(after, before, cells)]
    for name in shown:
        cut = name if len(name) <= label else f"{name[: label - 1]}~"
        lines.append(f"{cut:<{label}}  {_row(rows[name], after, before, cells)}")
    if len(rows) > len(shown):
        lines.append(f"and {len(rows) - len(shown):,} windows more")
    due = any(occurrence.state == "due" for occurrence in occurrences)
    return [*lines, LEGEND, *([DUE] if due else [])]


def _scale(after: datetime, before: datetime, cells: int) -> str:
    """A date at each quarter, standing above the column it names."""
    form = "%m-%d %H:%M" if before - after <= timedelta(days=4) else "%Y-%m-%d"
    text = ""
    for quarter in range(4):
        at = quarter * cells // 4
        if len(text) > at:
            continue
        mark = (after + (before - after) * quarter / 4).astimezone(UTC).strftime(form)
        text = text.ljust(at) + f"|{mark}"
    return text[:cells]


def _row(occurrences: Iterable[Occurrence], after: datetime, before: datetime, cells: int) -> str:
    """A cell shows a window that is on in any part of its time: none is too short to be seen."""
    row = [_IDLE] * cells
    cell = (before - after) / cells
    order = list(_SIGNS)
    for occurrence in sorted(occurrences, key=lambda o: order.index(o.state)):
        begins = max(occurrence.activation.starts_at, after)
        ends = min(occurrence.activation.ends_at, before)
        first = min((begins - after) // cell, cells - 1)
        last = min(-((after - ends) // cell), cells)
        row[first : max(last, first + 1)] = _SIGNS[occurrence.state] * (
            max(last, first + 1) - first
        )
    return "".join(row)
