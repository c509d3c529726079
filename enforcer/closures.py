"""Occurrences that were ended early (`disarm`, `close`) and must not open again, also not after a
restart: one small JSON file in the state directory, written whole and renamed into place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from enforcer.policy.model import Activation

FILE = "closed.json"


@dataclass(frozen=True, slots=True, order=True)
class Closure:
    """The occurrence of `window` that starts at `starts_at`; kept until it would have ended."""

    window: str
    starts_at: datetime
    ends_at: datetime
    by: str = ""


def closures_of(activations: Iterable[Activation], by: str) -> frozenset[Closure]:
    return frozenset(Closure(a.id, a.starts_at, a.ends_at, by) for a in activations)


def is_closed(activation: Activation, closures: Iterable[Closure]) -> bool:
    return any(c.window == activation.id and c.starts_at == activation.starts_at for c in closures)


def read_closures(directory: Path) -> frozenset[Closure]:
    """What is on disk; empty when there is nothing. Raises OSError, or ValueError when spoilt."""
    try:
        text = (directory / FILE).read_text("utf-8")
    except FileNotFoundError:
        return frozenset()
    rows = json.loads(text)
    if not isinstance(rows, list):
        raise ValueError("not a list")
    try:
        return frozenset(
            Closure(
                str(row["window"]),
                datetime.fromisoformat(row["starts_at"]).astimezone(UTC),
                datetime.fromisoformat(row["ends_at"]).astimezone(UTC),
                str(row.get("by", "")),
            )
            for row in rows
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a row lacks {error}") from error


def write_closures(directory: Path, closures: Iterable[Closure]) -> None:
    """Replaces the file at once: a reader, or a crash, sees the old one or the new one."""
    rows = [
        {
            "window": c.window,
            "starts_at": c.starts_at.isoformat(),
            "ends_at": c.ends_at.isoformat(),
            "by": c.by,
        }
        for c in sorted(closures)
    ]
    directory.mkdir(parents=True, exist_ok=True)
    scratch = directory / f".{FILE}.new"
    with scratch.open("w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(directory / FILE)
