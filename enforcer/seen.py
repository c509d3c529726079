"""What open windows had counted when they were last looked at: one small file, for the case that
the machine goes down with them. In: rows by window. Out: the same after a restart, or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from enforcer.observe.attribution import Rows
from enforcer.standing import write_synced

FILE = "last-seen.json"


@dataclass(frozen=True, slots=True)
class Seen:
    """`windows`: rows by (window, start as text). `at`: None when nothing was ever seen."""

    at: datetime | None = None
    windows: Mapping[tuple[str, str], Rows] = field(default_factory=dict)


def read_seen(directory: Path) -> Seen:
    """What was last written; nothing when that cannot be read, for it is a help and no more."""
    try:
        told = json.loads((directory / FILE).read_bytes())
        at = datetime.fromisoformat(told["at"]).astimezone(UTC)
        windows = {
            (str(w["window"]), str(w["starts_at"])): list(w["totals"]) for w in told["windows"]
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Seen()
    return Seen(at, windows)


def write_seen(directory: Path, seen: Seen) -> None:
    """Replaces the file at once. Raises OSError."""
    at = seen.at.isoformat() if seen.at else ""
    windows = [
        {"window": window, "starts_at": starts_at, "totals": totals}
        for (window, starts_at), totals in seen.windows.items()
    ]
    write_synced(directory / FILE, json.dumps({"at": at, "windows": windows}) + "\n")
