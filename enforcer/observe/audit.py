"""The record: who decided what, when, on whose reference, and what became of it.

In: events, as values. Out: records at the end of the hash-chained `audit.jsonl` (`audit_chain` has
the form, `audit_files` the disk), synced before `record` returns, so that what was acknowledged is
on the record. It never holds an address of a subscriber or a registrant: only the operator's own
names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from enforcer.observe.audit_chain import Link
from enforcer.observe.audit_files import FILE, AuditLog
from enforcer.observe.views import utc_text

__all__ = ["FILE", "AuditLog", "Event", "record", "values"]


@dataclass(frozen=True, slots=True)
class Event:
    """`what` is one word:

    of people: `declared`, `withdrawn`, `confirmed`, `closed`, `disarmed`, `accepted`;
    of the daemon: `armed`, `changed`, `ended`, `lapsed`, `repaired`, `stood_down`,
    `stood_up`, `refused`, `late`;
    of the record itself: `adopted`, `mended`, `cut`, `pruned`.

    `who` as the kernel tells it (the peer of the control socket), or `enforcer` itself. `more` are
    further plain values (text, numbers, lists and mappings of such).
    """

    at: datetime
    what: str
    who: str
    window: str
    reference: str
    more: Mapping[str, Any] = field(default_factory=dict)


# Names, reasons and references are shorter (`policy`); what a refusal says need not be.
MOST_CHARACTERS = 4000


def values(event: Event) -> dict[str, Any]:
    """The keys of the event's record; what is `more` cannot pose as one of the common ones."""
    every = {
        **event.more,
        "at": utc_text(event.at),
        "what": event.what,
        "who": event.who,
        "window": event.window,
        "reference": event.reference,
    }
    return {key: _short(value) for key, value in every.items()}


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        return value[:MOST_CHARACTERS] + "…"
    return value


def record(directory: Path, event: Event) -> Link:
    """Puts one event on the record in `directory`. Raises OSError: then it is not on record."""
    return AuditLog(directory).append(event.at, values(event))
