"""One registry of the bench: as a file, as prefixes, as the tree, as tables for the kernel.

In: a size and whether it is clustered. Out: values, made once. The packets of the bench are UDP
from and to port 51820; what the tree says of them is the oracle for our counters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache

import numpy as np

from benchmarks.sources import Addresses, Prefixes
from enforcer.clock import SystemClock
from enforcer.lab.registry import CATEGORIES, generate
from enforcer.lookup.classes import classify_nodes, registered
from enforcer.lookup.planner import plan
from enforcer.lookup.tables import Tables
from enforcer.lookup.tree import RadixTree
from enforcer.policy.model import RegistrySpec
from enforcer.policy.prefix import FAMILIES
from enforcer.policy.registry import parse_registry

BUDGET_BYTES = RegistrySpec().kernel_memory_bytes
SEED = 1
UDP, PORT = 17, 51820


def now() -> datetime:
    return datetime.fromtimestamp(SystemClock().now_ns() / 1e9, UTC)


def size_text(count: int) -> str:
    """20,000 as `20 k`, 1,000,000 as `1 M`."""
    return f"{count // 10**6} M" if count >= 10**6 else f"{count // 1000} k"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A registry of `count` rows, one in ten IPv6."""

    count: int
    clustered: bool
    data: bytes
    tree: RadixTree
    tables: Tables

    @classmethod
    @cache
    def make(cls, count: int, *, clustered: bool = False) -> Case:
        """Made once for each size: several parts of a run use the same."""
        data = generate(count, SEED, clustered=clustered)
        return cls(count, clustered, data, *compiled(data, now().date()))

    @property
    def name(self) -> str:
        return size_text(self.count) + (" clustered" if self.clustered else "")

    @property
    def prefixes(self) -> Prefixes:
        """The distinct IPv4 prefixes that are valid today."""
        part = self.tree.v4
        return Prefixes(part.words[0].astype(np.uint32), part.length)

    def category(self, address: int) -> str | None:
        """The category that a packet of the bench from this address is registered in, if any."""
        node = self.tree.v4.node_of(address)
        return None if node < 0 else _node_categories(self)[node]

    def expected(self, sources: Addresses) -> Counter[str]:
        """How many packets, one from each source, are registered in each category, by the tree."""
        distinct, packets = np.unique(sources, return_counts=True)
        counts: Counter[str] = Counter()
        for address, count in zip(distinct.tolist(), packets.tolist(), strict=True):
            if (category := self.category(address)) is not None:
                counts[category] += count
        return counts


@cache
def prefix_lines(case: Case) -> dict[int, list[str]]:
    """The distinct prefixes valid today as text, by family: what a peer is given."""
    return {
        family: [
            str(case.tree.of_family(family).prefix(node))
            for node in range(len(case.tree.of_family(family)))
        ]
        for family in FAMILIES
    }


@cache
def _node_categories(case: Case) -> list[str | None]:
    classes = classify_nodes(case.tree)
    by_class = [registered(each, UDP, PORT, PORT) for each in classes.classes]
    return [by_class[number] for number in classes.v4.tolist()]


def compiled(data: bytes, day: date) -> tuple[RadixTree, Tables]:
    """From the file's bytes to what the kernel gets."""
    tree = RadixTree.build(parse_registry("registry.csv", data, CATEGORIES), day)
    return tree, plan(tree, BUDGET_BYTES)
