"""What an address is registered for: a class for each node of the tree.

In: the radix tree. Out: for each node the number of its class, and the classes. A class lists the
reasons (`Term`) from the longest covering prefix to the shortest and ends at the first that holds
for any service. `registered` is the one meaning of a class; rules and commands agree with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from enforcer.errors import PolicyError, Problem
from enforcer.lookup.tables import LookupClass, Term
from enforcer.lookup.tree import FamilyTree, RadixTree
from enforcer.policy.prefix import Family, Service
from enforcer.policy.registry import Registry

_IDS = 0xFFFFFFFE


def registered(
    lookup_class: LookupClass, protocol: int, sport: int | None = None, dport: int | None = None
) -> str | None:
    """The category for which a packet of this protocol and these ports is registered, or None.

    The first term that matches decides: it names no services, or one of the packet's protocol
    that has no ports or has one of the packet's two ports in its range. Ports are None where the
    packet has none.
    """
    for term in lookup_class.terms:
        if not term.services or any(
            _serves(service, protocol, sport, dport) for service in term.services
        ):
            return term.category
    return None


def _serves(service: Service, protocol: int, sport: int | None, dport: int | None) -> bool:
    if service.protocol != protocol:
        return False
    return not service.has_ports or sport in service.ports or dport in service.ports


def class_of(terms: tuple[Term, ...]) -> LookupClass:
    """The class of these terms, its id derived from them alone."""
    text = "\n".join(f"{t.category}\t{' '.join(map(str, t.services))}" for t in terms)
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return LookupClass(1 + number % _IDS, terms)


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """`v4[i]` and `v6[i]`: which of `classes` node i of the tree belongs to. Sorted by id."""

    classes: tuple[LookupClass, ...]
    v4: NDArray[np.int32]
    v6: NDArray[np.int32]

    def of_family(self, family: Family) -> NDArray[np.int32]:
        return self.v4 if family == 4 else self.v6

    @property
    def ids(self) -> NDArray[np.uint32]:
        return np.array([entry.id for entry in self.classes], np.uint32)


def classify_nodes(tree: RadixTree) -> Classes:
    """The class of every node. Raises PolicyError when two classes share an id (not seen yet)."""
    numbers: dict[tuple[Term, ...], int] = {}
    columns = [_node_terms(tree.registry, part, numbers) for part in (tree.v4, tree.v6)]
    classes = [class_of(terms) for terms in numbers]
    order = order_by_id(classes)
    rank = np.zeros(len(classes), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    v4, v6 = (rank[column] if len(column) else column for column in columns)
    return Classes(tuple(classes[i] for i in order), v4, v6)


def order_by_id(classes: list[LookupClass]) -> list[int]:
    """The places of the classes by id. Raises PolicyError when two of them share one."""
    order = sorted(range(len(classes)), key=lambda i: classes[i].id)
    for one, other in pairwise(order):
        if classes[one].id == classes[other].id:
            raise PolicyError([Problem("registry", 0, 0, "", _collision(classes, one, other))])
    return order


def _collision(classes: list[LookupClass], one: int, other: int) -> str:
    first, second = (
        " then ".join(f"{t.category} {' '.join(map(str, t.services))}".strip() for t in c.terms)
        for c in (classes[one], classes[other])
    )
    return (
        f"two lists of services get the same number {classes[one].id} ({first}; {second}); "
        "change one of them a little"
    )


def _node_terms(
    registry: Registry, tree: FamilyTree, numbers: dict[tuple[Term, ...], int]
) -> NDArray[np.int32]:
    """For each node the number, in `numbers`, of its terms."""
    if not len(tree):
        return np.zeros(0, np.int32)
    columns = registry.of_family(tree.family)
    place = tree.rows - registry.first_row(tree.family)
    width = len(registry.services)
    code = columns.category[place].astype(np.int64) * width + columns.services[place]
    texts: list[tuple[Term, ...]] = []
    own = _own_terms(registry, tree, code, texts)
    # Any-service terms come first and stand alone, so one look tells whether the parent matters.
    ends = np.array([not terms[0].services for terms in texts])
    result = np.full(len(tree), -1, np.int32)
    known = np.array([numbers.setdefault(t, len(numbers)) for t in texts], np.int32)
    alone = ends[own] | (tree.parent < 0)
    result[alone] = known[own[alone]]
    waiting = np.flatnonzero(~alone)
    while len(waiting):
        above = result[tree.parent[waiting]]
        ready = above >= 0
        nodes = waiting[ready]
        by_number = list(numbers)
        pairs, inverse = np.unique(
            own[nodes].astype(np.int64) << 32 | above[ready], return_inverse=True
        )
        merged = []
        for pair in pairs.tolist():
            terms = tuple(dict.fromkeys(texts[pair >> 32] + by_number[pair & 0xFFFFFFFF]))
            merged.append(numbers.setdefault(terms, len(numbers)))
        result[nodes] = np.array(merged, np.int32)[inverse]
        waiting = waiting[~ready]
    return result


def _own_terms(
    registry: Registry,
    tree: FamilyTree,
    code: NDArray[np.int64],
    texts: list[tuple[Term, ...]],
) -> NDArray[np.int32]:
    """For each node the number, in `texts`, of the terms of its own rows; fills `texts`."""
    width = len(registry.services)

    def terms(codes: tuple[int, ...]) -> tuple[Term, ...]:
        made = sorted(
            {Term(registry.categories[c // width], registry.services[c % width]) for c in codes},
            key=lambda term: (bool(term.services), term.category, str(term.services)),
        )
        return tuple(made[:1]) if not made[0].services else tuple(made)

    found: dict[tuple[Term, ...], int] = {}
    first = code[tree.row_starts[:-1]]
    number_of = np.zeros(len(registry.categories) * width, np.int32)
    seen = np.zeros(len(number_of), np.bool_)
    seen[first] = True
    for c in np.flatnonzero(seen).tolist():
        number_of[c] = found.setdefault(terms((c,)), len(found))
    own = number_of[first]
    if len(code) > len(tree):
        node = np.repeat(np.arange(len(tree)), np.diff(tree.row_starts))
        mixed = np.unique(node[code != first[node]])
        sets: dict[tuple[int, ...], int] = {}
        starts = tree.row_starts
        for i in mixed.tolist():
            key = tuple(sorted(set(code[starts[i] : starts[i + 1]].tolist())))
            if key not in sets:
                sets[key] = found.setdefault(terms(key), len(found))
            own[i] = sets[key]
    texts.extend(found)
    return own
