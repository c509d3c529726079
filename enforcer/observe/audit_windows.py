"""What the record tells of windows: which are open, what each did, how long guard was armed.

Records come in, in order; values go out. Pure, and as forgiving as a reader of old files must be: a
record that lacks what is asked of it is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from enforcer.observe.audit_chain import Record
from enforcer.schedule.past import PastGuard, PastGuards


@dataclass(frozen=True, slots=True)
class Closing:
    """Somebody's decision to end a window: `what` is `closed`, `disarmed` or `lapsed`."""

    at: datetime
    what: str
    who: str


@dataclass(frozen=True, slots=True)
class Opening:
    """A window from its arming on. `facts` are what its record says besides."""

    window: str
    starts_at: datetime
    ends_at: datetime
    armed_at: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)
    closing: Closing | None = None
    # Since when it has these measures; None: since it was armed.
    changed_at: datetime | None = None

    @property
    def guards(self) -> str | None:
        """The estate that is guarded; None when none is, or when nothing is held back."""
        estate = self.facts.get("estate")
        return estate if isinstance(estate, str) and not self.facts.get("stage") else None


# The words that it takes; whatever else is on record is not of windows.
WORDS = ("declared", "withdrawn", "armed", "changed", "closed", "disarmed", "lapsed", "ended")


class History:
    """Takes record after record. `open`: by window; `declared`: what each window's declaration was
    when it was last put on record.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.open: dict[str, Opening] = {}
        self.declared: dict[str, str] = {}
        self._guards: list[PastGuard] = []
        for record in records:
            self.take(record.what, record.values)

    def take(self, what: str, values: Mapping[str, Any]) -> None:
        """A record by its word and its keys, or an event that will be one."""
        window = _text(values, "window")
        match what:
            case "armed" | "changed":
                if (opening := _opening(values)) is not None:
                    self.open[window] = self._changed(opening, instant(values, "at"))
            case "closed" | "disarmed" | "lapsed":
                # `disarm` ends every window, those too that it did not know of.
                every = set(self.open) if what == "disarmed" and not window else {window}
                # `close --at` may be about an occurrence that is ahead.
                of = instant(values, "starts_at") if what == "closed" else None
                if (at := instant(values, "at")) is not None:
                    closing = Closing(at, what, _text(values, "who"))
                    for name in every & self.open.keys():
                        if of in (None, self.open[name].starts_at):
                            self.open[name] = replace(self.open[name], closing=closing)
            case "ended":
                known, opening = self.open.pop(window, None), _opening(values)
                if known and opening and known.armed_at == opening.armed_at:
                    opening = replace(opening, changed_at=known.changed_at)
                self._guards += _guarded(opening, instant(values, "ended_at"))
            case "declared":
                self.declared[window] = _text(values, "declaration")
            case "withdrawn":
                self.declared.pop(window, None)

    def _changed(self, opening: Opening, at: datetime | None) -> Opening:
        """What a window guarded before it was changed has been guarded all the same."""
        before = self.open.get(opening.window)
        if before is None or at is None:
            return opening
        if before.armed_at != opening.armed_at:
            # Its end is not on record.
            self._guards += _guarded(before, opening.armed_at)
            return opening
        if before.guards == opening.guards:
            return replace(opening, changed_at=before.changed_at)
        self._guards += _guarded(before, at)
        return replace(opening, changed_at=at)

    def guards(self, now: datetime, reach: timedelta) -> PastGuards:
        """What guard did in the `reach` before `now`, and what it does, to its end."""
        running = (g for o in self.open.values() for g in _guarded(o, o.ends_at))
        self._guards = [g for g in self._guards if g.ends_at > now - reach]
        return tuple(sorted({*self._guards, *running}))


def instant(values: Mapping[str, Any], key: str) -> datetime | None:
    """The instant that a key tells, in UTC; None when it tells none."""
    try:
        found = datetime.fromisoformat(_text(values, key))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _opening(values: Mapping[str, Any]) -> Opening | None:
    starts_at, ends_at = instant(values, "starts_at"), instant(values, "ends_at")
    armed_at = instant(values, "armed_at")
    if starts_at is None or ends_at is None or armed_at is None:
        return None
    return Opening(_text(values, "window"), starts_at, ends_at, armed_at, values)


def _guarded(opening: Opening | None, ended_at: datetime | None) -> Iterator[PastGuard]:
    if opening is None or opening.guards is None:
        return
    # The kernel ends a window by itself: whatever a late record says, it was not armed longer.
    end = min(opening.ends_at, ended_at or opening.ends_at)
    begin = opening.changed_at or opening.armed_at
    if end > begin:
        yield PastGuard(begin, end, opening.window, opening.guards)
