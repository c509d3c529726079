"""Which registrations cover an address, without a tree: one pass over the columns.

The radix tree is for many questions; to build it for one would take a hundred times as long.
"""

from __future__ import annotations

from datetime import date

import numpy as np

from enforcer.policy.prefix import Prefix
from enforcer.policy.registry import Registry
from enforcer.policy.registry_columns import MASKS


def covering(registry: Registry, prefix: Prefix, day: date) -> list[int]:
    """The rows, valid on the UTC `day`, of all prefixes that cover `prefix` or equal it, from
    longest to shortest and then in the order of the files: as `RadixTree.covering`.
    """
    columns = registry.of_family(prefix.family)
    found = columns.valid(day) & (columns.length <= prefix.length)
    whole = (1 << 64) - 1
    parts = (
        (prefix.network,) if prefix.family == 4 else (prefix.network >> 64, prefix.network & whole)
    )
    for part, word, mask in zip(parts, columns.words, MASKS[prefix.family], strict=True):
        # The address cut to each length there is, then to that of each row.
        found &= (word.dtype.type(part) & mask)[columns.length] == word
    rows = np.flatnonzero(found)
    order = np.lexsort((rows, -columns.length[rows].astype(np.int16)))
    first: int = registry.first_row(prefix.family)
    return [first + row for row in rows[order].tolist()]
