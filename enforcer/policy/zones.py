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
_ZERO, _ZERO_UTC = datetime(2000, 1, 1), datetime(2000, 1, 1, tzinfo=UTC)  # noqa: DTZ001
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
    found = readings(stamp.wall, zone)
    if len(found) == 1:
        return found[0], False
    if not found:
        after = read(stamp.wall, zone, 0).astimezone(zone).replace(tzinfo=None)
        fact = f"{shown(stamp.text)} does not exist in {zone}: clocks are set forward over it"
        raise ValueError(f'{fact}; write "{after.isoformat()}", or a time before the change')
    if fold is None:
        fact = f"{shown(stamp.text)} comes twice in {zone}: clocks are set back over it"
        raise ValueError(f"{fact}; add fold: 0 for the first, fold: 1 for the second")
    return found[fold], True


def read(wall: datetime, zone: tzinfo, fold: int) -> datetime:
    """The instant that PEP 495 gives `wall`: by the clock before a change, or (1) the one after."""
    return _utc(wall, zone.utcoffset(wall.replace(fold=fold)))


def readings(wall: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """The instants at which clocks of `zone` show `wall`: one; none, where they are set forward
    over it; two, in order, where they are set back over it.
    """
    offset, other = zone.utcoffset(wall), zone.utcoffset(wall.replace(fold=1))
    first = _utc(wall, offset)
    if offset == other:
        return (first,)
    second = _utc(wall, other)
    return (first, second) if first < second else ()


def _utc(wall: datetime, offset: timedelta | None) -> datetime:
    # Sums are several times cheaper than `replace`, and a horizon holds many occurrences.
    return _ZERO_UTC + (wall - _ZERO - (offset or timedelta()))


def day_begins(wall: datetime, zone: tzinfo) -> datetime:
    """The first instant at which clocks of `zone` show `wall` or, where they never do, a later
    time: for midnight, the instant at which that day begins.
    """
    found = readings(wall, zone)
    if found:
        return found[0]
    # The clock jumps over `wall` somewhere between the two readings of PEP 495.
    low, high = sorted((read(wall, zone, 0), read(wall, zone, 1)))
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).replace(tzinfo=None) < wall:
            low = middle
        else:
            high = middle
    return high


def offset_name(zone: tzinfo) -> str:
    """A fixed offset as text: `+05:00`, or `UTC`."""
    offset = zone.utcoffset(None) or timedelta()
    if not offset:
        return "UTC"
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
