"""Records by hand, and a directory of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from enforcer.observe.audit import Event, values
from enforcer.observe.audit_files import AuditLog

AT = datetime(2026, 12, 1, 8, tzinfo=UTC)


def event(number: int = 0, **more: Any) -> Event:
    return Event(
        AT + timedelta(minutes=number),
        "confirmed",
        "noc (uid 7)",
        f"w{number}",
        "PTA/2026/118 – zażółć",
        more,
    )


def fill(log: AuditLog, count: int, start: int = 0, **more: Any) -> None:
    for number in range(start, start + count):
        one = event(number, **more)
        log.append(one.at, values(one))


def lines(directory: Path, name: str = "audit.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / name).read_text("utf-8").splitlines()]
