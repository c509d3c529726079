"""The record: who decided what, when, and on whose reference. One JSON object a line.

In: events, as values. Out: lines at the end of `audit.jsonl`, synced before `record` returns, so
that what was acknowledged is on the record. It only ever appends. Lines are canonical (sorted keys,
no spaces, UTF-8), so that each can carry the digest of the one before. It never holds an address or
a registrant: only the operator's own names.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

FILE = "audit.jsonl"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Event:
    """`what` is one word (`declared`, `confirmed`, `closed`, `lapsed`); `who` as the kernel tells
    it (the peer of the control socket), or `enforcer` itself. `more` are further plain values.
    """

    at: datetime
    what: str
    who: str
    window: str
    reference: str
    more: dict[str, str | int | bool | None] = field(default_factory=dict)


def line(event: Event) -> str:
    """The event as it stands in the file, without the end of line."""
    values = {
        **event.more,
        "v": VERSION,
        "at": event.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "what": event.what,
        "who": event.who,
        "window": event.window,
        "reference": event.reference,
    }
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def count(directory: Path) -> int:
    """How many records there are; 0 when there is no record yet, or it cannot be read."""
    try:
        with (directory / FILE).open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 16), b""))
    except OSError:
        return 0


def record(directory: Path, event: Event) -> None:
    """Appends the event to the record in `directory`. Raises OSError: then it is not on record."""
    directory.mkdir(parents=True, exist_ok=True)
    data = line(event).encode() + b"\n"
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(directory / FILE, flags, 0o640)
    try:
        # A crash, or a full disk, may have left half a line: ours begins on one of its own.
        end = os.lseek(descriptor, 0, os.SEEK_END)
        if end and os.pread(descriptor, 1, end - 1) != b"\n":
            data = b"\n" + data
        if os.write(descriptor, data) != len(data):
            raise OSError(None, "the disk took half a line only")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
