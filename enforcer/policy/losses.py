"""What an update of a registry takes from each category: prefixes, and services of those that stay.

In: the registrations before and after, and the day. Out: counts by category. Nothing is looked at
one by one but different lists of services, and prefixes with several rows that changed.
"""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.inclusion import Spans, holds, spans
from enforcer.policy.prefix import FAMILIES, Family, Service
from enforcer.policy.registry_columns import Registry, Words, pick, run_starts, sort_order

_Numbers = NDArray[np.uint32]


class Shrunk(NamedTuple):
    """Distinct prefixes of a category valid on a day, `before` and `after`. `removed` are those
    before that are not of the category any more, `narrowed` those that still are, but not for all
    the services that they were registered for.
    """

    category: str
    before: int
    after: int
    removed: int
    narrowed: int


def shrink(old: Registry, new: Registry, day: date) -> list[Shrunk]:
    """What each category loses that loses anything, in the order of `old.categories`.

    Several rows of one prefix and category are registered for what they say together. A prefix that
    changes its category is removed from the old one.
    """
    names = tuple(dict.fromkeys(old.categories + new.categories))
    counts = np.zeros((4, len(names)), np.int64)
    lists = _Lists(old, new)
    for family in FAMILIES:
        rows = [np.flatnonzero(r.of_family(family).valid(day)) for r in (old, new)]
        words, minor, order = _sorted(old, new, family, rows, names)
        # Of one prefix and category the rows before come first: they stand first, and stay so.
        is_new = order >= len(rows[0])
        begins = run_starts(*words, minor)
        # A group is the rows of one prefix and category on one side.
        groups = np.flatnonzero(begins | run_starts(is_new))
        category = minor[groups] >> 8
        is_new, stays = is_new[groups], np.flatnonzero(~begins[groups])
        after = _by_category(category[is_new], names)
        before = _by_category(category, names) - after
        counts[:3] += before, after, before - _by_category(category[stays], names)
        if new.of_family(family).services.any():
            numbers = lists.numbers(family, rows)[order]
            counts[3] += _by_category(
                category[stays[lists.narrowed(numbers, groups, stays)]], names
            )
    return [
        Shrunk(name, *counts[:, i].tolist())
        for i, name in enumerate(names)
        if counts[2, i] or counts[3, i]
    ]


def _by_category(categories: NDArray[Any], names: tuple[str, ...]) -> NDArray[np.int64]:
    return np.bincount(categories, minlength=len(names))


def _sorted(
    old: Registry,
    new: Registry,
    family: Family,
    rows: list[NDArray[np.intp]],
    names: tuple[str, ...],
) -> tuple[Words, NDArray[np.uint32], NDArray[np.intp]]:
    """The rows of both by address, category and length (`category << 8 | length`), and their order:
    numbers from `len(rows[0])` on are those of `new`.
    """
    sides = [
        (registry, registry.of_family(family), chosen)
        for registry, chosen in zip((old, new), rows, strict=True)
    ]
    minors = []
    for registry, columns, chosen in sides:
        number = np.array([names.index(n) for n in registry.categories] or [0], np.uint32)
        minors.append(number[columns.category[chosen]] << 8 | columns.length[chosen])
    parts = [pick(columns.words, chosen) for _, columns, chosen in sides]
    words = tuple(np.concatenate(pair) for pair in zip(*parts, strict=True))
    minor = np.concatenate(minors)
    order = sort_order(words, minor)
    return pick(words, order), minor[order], order


class _Lists:
    """The lists of services of two registries by common numbers; 0 is any service."""

    def __init__(self, old: Registry, new: Registry) -> None:
        self._sides = (old, new)
        index = {services: number for number, services in enumerate(old.services)}
        theirs = [index.setdefault(services, len(index)) for services in new.services]
        self._number_of = np.arange(len(old.services), dtype=np.uint32), np.array(theirs, np.uint32)
        self._lists: list[tuple[Service, ...]] = list(index)
        self._united: dict[frozenset[int], int] = {}

    def numbers(self, family: Family, rows: list[NDArray[np.intp]]) -> _Numbers:
        """Of the rows chosen of either side, one after the other."""
        return np.concatenate(
            [
                number[registry.of_family(family).services[chosen]]
                for registry, number, chosen in zip(self._sides, self._number_of, rows, strict=True)
            ]
        )

    def narrowed(
        self, numbers: _Numbers, groups: NDArray[np.intp], stays: NDArray[np.intp]
    ) -> NDArray[np.bool_]:
        """By each of `stays`, which are groups whose prefix and category the group before it had
        before: whether its lists do not include all of those. A group begins at `groups`.
        """
        if not len(stays):
            return np.zeros(0, np.bool_)
        low, high = (extreme.reduceat(numbers, groups) for extreme in (np.minimum, np.maximum))
        # One list only, or any service beside others: the rows are registered for the lowest.
        several = (low != high) & (low != 0)
        if several.any():
            self._unite(numbers, groups, stays, low, several)
        was, now = low[stays - 1], low[stays]
        differ = np.flatnonzero((was != now) & (now != 0))
        pairs, which = np.unique(
            now[differ].astype(np.uint64) << np.uint64(32) | was[differ], return_inverse=True
        )
        found = np.zeros(len(stays), np.bool_)
        found[differ] = self._lost(pairs)[which]
        return found

    def _unite(
        self,
        numbers: _Numbers,
        groups: NDArray[np.intp],
        stays: NDArray[np.intp],
        low: _Numbers,
        several: NDArray[np.bool_],
    ) -> None:
        """Puts the number of what several lists are together where `low` has one of them. Not where
        a group has the same lists in the same order as the one before: those are equal as it is.
        """
        sizes = np.diff(groups, append=len(numbers))
        look = stays[(several[stays - 1] | several[stays]) & (low[stays] != 0)]
        same = sizes[look - 1] == sizes[look]
        same[same] = _repeated(numbers, groups[look[same] - 1], sizes[look[same]])
        for group in np.concatenate([look[~same] - 1, look[~same]]).tolist():
            if several[group]:
                begin = int(groups[group])
                said = frozenset(numbers[begin : begin + int(sizes[group])].tolist())
                if said not in self._united:
                    self._united[said] = len(self._lists)
                    self._lists.append(tuple(s for n in sorted(said) for s in self._lists[n]))
                low[group] = self._united[said]

    def _lost(self, pairs: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Of each pair `number now << 32 | number before`, in order: whether now is less."""
        found = np.zeros(len(pairs), np.bool_)
        last, theirs = -1, Spans()
        for at, pair in enumerate(pairs.tolist()):
            now, was = pair >> 32, pair & 0xFFFFFFFF
            if now != last:
                last, theirs = now, spans(self._lists[now])
            found[at] = was == 0 or not holds(theirs, self._lists[was])
        return found


def _repeated(
    numbers: _Numbers, starts: NDArray[np.intp], sizes: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Of so many numbers from each start on: whether as many behind them are the same."""
    ends = np.cumsum(sizes)
    at = np.arange(sizes.sum()) + np.repeat(starts - (ends - sizes), sizes)
    equal = numbers[at] == numbers[at + np.repeat(sizes, sizes)]
    return np.logical_and.reduceat(equal, ends - sizes)
