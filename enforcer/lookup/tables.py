"""What the planner hands to the ruleset: hash stages of masked addresses, each with a class.

A *class* says for which categories and services an address is registered. A *stage* is one hash
map of the kernel: all its keys are masked to one prefix length. A packet's address is looked up
stage by stage in the order given; the first hit is the answer (the planner orders them so that
this equals the longest match in the radix tree).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.prefix import BITS, Family, Service

Keys = NDArray[np.uint32] | NDArray[np.void]
_A = TypeVar("_A")


@dataclass(frozen=True, slots=True, order=True)
class Term:
    """One reason why an address is registered. No services means any service."""

    category: str
    services: tuple[Service, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class LookupClass:
    """The data of an element: `id` (1..0xfffffffe) is derived from `terms` alone, so that it never
    moves when other classes come and go. `terms` run from the longest match to the shortest and
    stop at the first term for any service.
    """

    id: int
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One hash map: `keys[i]`, an address masked to `length`, has class `classes[i]`.

    `keys` is sorted and unique: uint32 in host order for IPv4, `V16` (packed, network order) for
    IPv6. `classes` is uint32. `digest` (16 hexadecimal digits) names the content; stages are equal
    when family, length and digest are equal.
    """

    family: Family
    length: int
    keys: Keys
    classes: NDArray[np.uint32]
    digest: str
    # What was found out about this content once and is asked at every step; never part of it.
    _known: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        family: Family,
        length: int,
        keys: Keys,
        classes: NDArray[np.uint32],
        uses: Mapping[int, int] | None = None,
    ) -> Stage:
        """A stage with the digest of its content; `uses` when they are known already."""
        digest = hashlib.blake2b(b"%d/%d" % (family, length), digest_size=8)
        digest.update(np.ascontiguousarray(keys).view(np.uint8).data)
        digest.update(np.ascontiguousarray(classes).data)
        stage = cls(family, length, keys, classes, digest.hexdigest())
        if uses is not None:
            stage._known["uses"] = dict(uses)
        return stage

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stage) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[int, int, str]:
        return self.family, self.length, self.digest

    def __len__(self) -> int:
        return len(self.keys)

    def class_ids(self) -> frozenset[int]:
        """The classes that occur."""
        if "class_ids" not in self._known:
            self._known["class_ids"] = frozenset(self.uses())
        ids: frozenset[int] = self._known["class_ids"]
        return ids

    def uses(self) -> Mapping[int, int]:
        """How many elements are of each class that occurs. Found once: a million take 50 ms."""
        if "uses" not in self._known:
            ids, counts = np.unique(self.classes, return_counts=True)
            self._known["uses"] = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        uses: Mapping[int, int] = self._known["uses"]
        return uses

    def within(self, front: Stage) -> bool:
        """Whether `front` (see `Tables.front`) has every /16 that this IPv4 stage touches. Found
        once for each front.
        """
        if front.digest not in self._known:
            blocks = front.keys.astype(np.uint32) >> np.uint32(16)
            keys = self.keys.astype(np.uint32)
            first = keys >> np.uint32(16)
            last = (keys | np.uint32((1 << (32 - self.length)) - 1)) >> np.uint32(16)
            # All blocks from the first to the last are there when as many lie between the two.
            inside = np.searchsorted(blocks, last, "right") - np.searchsorted(blocks, first, "left")
            self._known[front.digest] = bool((inside == last - first + 1).all())
        return bool(self._known[front.digest])

    @property
    def packed_mask(self) -> bytes:
        bits = BITS[self.family]
        mask = ((1 << bits) - 1) ^ ((1 << (bits - self.length)) - 1)
        return mask.to_bytes(bits // 8, "big")


@dataclass(frozen=True, slots=True)
class Tables:
    """The compiled registry of one day: stages in lookup order, and the classes they refer to.

    `prefixes` counts the registered prefixes by (family, category), for the metrics. `front` is a
    stage of length 16 without classes (all 0) whose keys are the /16s in which anything IPv4 is
    registered: most unregistered addresses miss there at once. None where it would not pay.
    """

    stages: tuple[Stage, ...] = ()
    classes: tuple[LookupClass, ...] = ()
    prefixes: tuple[tuple[Family, str, int], ...] = ()
    front: Stage | None = None
    # What follows from the classes alone, found once for all registries that have just these.
    _known: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of_classes(self, question: str, answer: Callable[[tuple[LookupClass, ...]], _A]) -> _A:
        """What `answer` says of the classes, found once: it must depend on them alone."""
        if question not in self._known:
            self._known[question] = answer(self.classes)
        found: _A = self._known[question]
        return found

    def like(self, other: Tables) -> Tables:
        """These tables, sharing what is known of their classes with `other` when both have the
        same: one row more or less seldom changes what there are.
        """
        if self.classes != other.classes:
            return self
        shared = replace(self, classes=other.classes)
        object.__setattr__(shared, "_known", other._known)
        return shared

    def of_family(self, family: Family) -> tuple[Stage, ...]:
        return tuple(stage for stage in self.stages if stage.family == family)
