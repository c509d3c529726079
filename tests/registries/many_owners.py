"""Registries drawn by hypothesis in which ids, prefixes and categories meet again and again."""

from __future__ import annotations

from dataclasses import replace

from drawn_registries import CATEGORIES, Drawn, registries
from hypothesis import strategies as st

from enforcer.policy.registry import Registration, parse_registry
from enforcer.policy.registry_rows import HEADER


def csv_of(rows: list[Registration]) -> bytes:
    lines = [
        f"{r.id},{r.prefix},{r.category},{r.valid_from or ''},{r.valid_until or ''},"
        f"{' '.join(map(str, r.services))}"
        for r in rows
    ]
    return "\n".join([HEADER, *lines, ""]).encode()


@st.composite
def owned(draw: st.DrawFn, *, max_size: int = 24) -> Drawn:
    """As `registries`, with three owners, and some rows twice."""
    drawn = draw(registries(max_size=max_size))
    rows = [replace(row, id=draw(st.sampled_from(["A", "B", "C"]))) for row in drawn.rows]
    rows += [row for row in rows if draw(st.integers(0, 4)) == 0]
    return Drawn(parse_registry("drawn.csv", csv_of(rows), CATEGORIES), rows)
