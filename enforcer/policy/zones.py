"""Wall clocks → instants. Zones come in as a value, so that this room reads no zone files itself.

A wall time that does not exist (clocks set forward) or exists twice (clocks set back) is refused;
all arithmetic is in UTC, because subtracting wall times of one zone is an hour off on such days.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from enforcer.policy.times import Stamp
from enforcer.policy.words import nearest, shown


@dataclass(frozen=True, slots=True)
class Zones:
    """Where zones come from: `get(name)` raises for an unknown one; `names()` serves hints only."""

    get: Callable[[str], tzinfo]
    names: Callable[[], Collection[str]] = tuple


_AREA_CITY = re.compile(r"[A-Z][A-Za-z_]*(/[A-Za-z0-9_+-]+){1,2}", re.ASCII)
_UTC_BY_OTHER_NAMES = frozenset(
    ("Etc/UTC", "Etc/GMT", "Etc/UCT", "Etc/Zulu", "GMT", "UCT", "Zulu", "Z", "utc", "Etc/Universal")
)
_LIKE = "write Area/City, like Asia/Karachi, or UTC"


def find_zone(name: str, zones: Zones) -> tzinfo:
    """The zone called `name`: `Area/City` of the IANA database, or UTC. Raises ValueError.

    `EST` and its like are fixed offsets that ignore summer time, and `Etc/GMT+5` means UTC-5:
    neither is what the person who writes it means.
    """
    if name == "UTC":
        return UTC
    if name in _UTC_BY_OTHER_NAMES:
        raise ValueError(f"{shown(name)} is UTC by another name; write UTC")
    if name.startswith("Etc/"):
        raise ValueError(f"{shown(name)} is a fixed offset, with its sign turned round; {_LIKE}")
    if _AREA_CITY.fullmatch(name):
        try:
            return zones.get(name)
        except (LookupError, ValueError, OSError):
            pass
    names = zones.names()
    if name in names:
        raise ValueError(f"{shown(name)} is an abbreviation, not a place; {_LIKE}")
    close = nearest(name, (known for known in names if _AREA_CITY.fullmatch(known)), 0.8)
    hint = f'did you mean "{close}"?' if close else _LIKE
    raise ValueError(f"no time zone is named {shown(name)}; {hint}")


def instant(stamp: Stamp, zone: tzinfo, fold: int | None) -> tuple[datetime, bool]:
    """The instant in UTC, and whether `fold` was needed to tell it. Raises ValueError.

    `zone` is the zone of the wall clock where `stamp` carries no offset.
    """
    if stamp.offset is not None:
        return stamp.wall.replace(tzinfo=stamp.offset).astimezone(UTC), False
    first = stamp.wall.replace(tzinfo=zone, fold=0)
    second = stamp.wall.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first.astimezone(UTC), False
    after = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    if after != stamp.wall:
        fact = f"{shown(stamp.text)} does not exist in {zone}: clocks are set forward over it"
        raise ValueError(f'{fact}; write "{after.isoformat()}", or a time before the change')
    if fold is None:
        fact = f"{shown(stamp.text)} comes twice in {zone}: clocks are set back over it"
        raise ValueError(f"{fact}; add fold: 0 for the first, fold: 1 for the second")
    return (second if fold else first).astimezone(UTC), True


def offset_name(zone: tzinfo) -> str:
    """A fixed offset as text: `+05:00`, or `UTC`."""
    offset = zone.utcoffset(None) or timedelta()
    if not offset:
        return "UTC"
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
