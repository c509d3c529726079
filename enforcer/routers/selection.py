"""What a router is told of the registered set: minimal covers, by services, and how long they hold.

In: a registry and a day. Out: a `Selection`. What is registered for any service is one group,
each list of services in one of its own, without what the first one covers already. Text only: a
router's language needs no numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.aggregate import aggregate
from enforcer.policy.prefix import FAMILIES, Family, Prefix, Service, format_address
from enforcer.policy.registry import FOREVER, Columns, Registry, day_number
from enforcer.policy.registry_columns import Words, join_words, pick

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Group:
    """Prefixes in text, sorted by address, disjoint; `services` empty means any."""

    services: tuple[Service, ...]
    v4: tuple[str, ...]
    v6: tuple[str, ...]

    def of_family(self, family: Family) -> tuple[str, ...]:
        return self.v4 if family == 4 else self.v6


@dataclass(frozen=True, slots=True)
class Selection:
    """`groups[0]` is for any service, perhaps empty; the others are sorted by their services.

    `last_day` is the last day on which it holds, None for ever; `digest` names the registry.
    """

    digest: str
    day: date
    last_day: date | None
    groups: tuple[Group, ...]

    def count(self, family: Family) -> int:
        return sum(len(group.of_family(family)) for group in self.groups)


def select(registry: Registry, day: date) -> Selection:
    """What is registered on the day."""
    numbers = sorted(
        {0}.union(*(set(np.unique(_valid(c, day)[2]).tolist()) for c in _parts(registry)))
    )
    covers: dict[Family, list[tuple[str, ...]]] = {}
    for columns in _parts(registry):
        words, length, services = _valid(columns, day)
        any_ = aggregate(columns.family, pick(words, services == 0), length[services == 0])
        found = [_texts(columns.family, *any_)]
        for number in numbers[1:]:
            rows = np.flatnonzero(services == number)
            rows = rows[~_inside(columns.family, pick(words, rows), length[rows], any_)]
            found.append(
                _texts(columns.family, *aggregate(columns.family, pick(words, rows), length[rows]))
            )
        covers[columns.family] = found
    groups = [
        Group(registry.services[number], covers[4][i], covers[6][i])
        for i, number in enumerate(numbers)
    ]
    first, *rest = groups
    return Selection(
        registry.digest,
        day,
        _last_day(registry, day),
        (first, *(group for group in rest if group.v4 or group.v6)),
    )


def _parts(registry: Registry) -> list[Columns]:
    return [registry.of_family(family) for family in FAMILIES]


def _valid(columns: Columns, day: date) -> tuple[Words, NDArray[np.uint8], NDArray[np.uint16]]:
    rows = columns.valid(day)
    return pick(columns.words, rows), columns.length[rows], columns.services[rows]


def _texts(family: Family, words: Words, length: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(
        f"{format_address(family, join_words(words, i))}/{bits}"
        for i, bits in enumerate(length.tolist())
    )


def _inside(
    family: Family,
    words: Words,
    length: NDArray[np.uint8],
    cover: tuple[Words, NDArray[np.uint8]],
) -> NDArray[np.bool_]:
    """Which prefixes lie in one of a disjoint, sorted cover."""
    outer = [Prefix(family, join_words(cover[0], i), n) for i, n in enumerate(cover[1].tolist())]
    begins = [prefix.network for prefix in outer]
    found = np.zeros(len(length), np.bool_)
    for i, bits in enumerate(length.tolist()):
        network = join_words(words, i)
        place = bisect_right(begins, network) - 1
        found[i] = place >= 0 and outer[place].length <= bits and network in outer[place]
    return found


def _last_day(registry: Registry, day: date) -> date | None:
    """The last day before a registration begins or ends."""
    today = day_number(day)
    changes: list[int] = []
    for columns in _parts(registry):
        later = columns.valid_from[columns.valid_from > today]
        ending = columns.valid_until[
            (columns.valid_until >= today) & (columns.valid_until < FOREVER)
        ]
        changes += [int(later.min())] if len(later) else []
        changes += [int(ending.min()) + 1] if len(ending) else []
    return _EPOCH + timedelta(days=min(changes) - 1) if changes else None
