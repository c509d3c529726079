"""One lookup in the radix tree, from a packed address.

In: the extent. Out: microseconds, the loop around it included. Half of the addresses registered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.case import Case, size_text
from benchmarks.figures import Figure
from benchmarks.packets import OURS
from benchmarks.plan import Extent
from benchmarks.sources import draw

LOOKUP = "A lookup in the tree"
_COUNT, _ROUNDS = 200_000, 5


def what_lookup(count: int) -> str:
    return f"one lookup, {size_text(count)}"


def measure(extent: Extent, said: Callable[[str], None]) -> Iterator[Figure]:
    for count in extent.sizes:
        said(what_lookup(count))
        case = Case.make(count)
        random = np.random.default_rng(1)
        sources = draw(random, case.prefixes, _COUNT, share=0.5, zipf=False)
        packed = [address.to_bytes(4, "big") for address in sources.tolist()]
        find, times = case.tree.longest_packed, []
        for _ in range(_ROUNDS):
            begun = time.thread_time()
            for address in packed:
                find(address)
            times.append((time.thread_time() - begun) / _COUNT * 1e6)
        yield Figure(LOOKUP, what_lookup(count), OURS, "µs", tuple(times))
