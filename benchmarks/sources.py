"""Source addresses as the bench draws them, exactly.

In: the IPv4 prefixes of a registry and a random generator. Out: addresses (uint32, host order).

* A *registered* address: a prefix is chosen, then a host uniformly inside it. *Uniform*: each
  distinct prefix is as likely as any other. *Zipf*: the prefixes get ranks 1, 2, … in a random
  order, and rank r is chosen with a probability proportional to r ** -1.2.
* An *unregistered* address: uniform over 1.0.0.0 to 223.255.255.255 without 10.0.0.0/8,
  127.0.0.0/8 and everything registered. *Zipf*: 200,000 such addresses are drawn, ranked, and
  chosen with the same probabilities.
* `share` of the addresses are registered; both kinds are shuffled together. A registered row counts
  as registered here whatever its services say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Addresses = NDArray[np.uint32]
ZIPF_EXPONENT = 1.2
ZIPF_STRANGERS = 200_000
_FIRST, _END = 1 << 24, 224 << 24
_RESERVED = (10, 127)


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Distinct IPv4 prefixes, sorted by address: networks and lengths."""

    networks: Addresses
    lengths: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.networks)

    def holds(self, addresses: Addresses) -> NDArray[np.bool_]:
        """Which addresses lie in any of the prefixes."""
        if not len(self):
            return np.zeros(len(addresses), np.bool_)
        size = (np.uint64(1) << (32 - self.lengths.astype(np.uint64))) - np.uint64(1)
        furthest = np.maximum.accumulate(self.networks.astype(np.uint64) + size)
        before = np.searchsorted(self.networks, addresses, side="right")
        found: NDArray[np.bool_] = before > 0
        found[found] = furthest[before[found] - 1] >= addresses[found]
        return found


def zipf_choice(random: np.random.Generator, ranks: int, count: int) -> NDArray[np.intp]:
    """`count` ranks from 0 on, rank r with a probability proportional to (r + 1) ** -1.2."""
    edges = np.cumsum(np.arange(1, ranks + 1, dtype=np.float64) ** -ZIPF_EXPONENT)
    chosen: NDArray[np.intp] = np.searchsorted(edges, random.random(count) * edges[-1])
    return chosen


def strangers(random: np.random.Generator, prefixes: Prefixes, count: int) -> Addresses:
    """Unregistered addresses, uniform."""
    found = np.zeros(0, np.uint32)
    while len(found) < count:
        more = random.integers(_FIRST, _END, count - len(found) + 1024, np.uint32)
        more = more[~np.isin(more >> np.uint32(24), _RESERVED)]
        found = np.concatenate([found, more[~prefixes.holds(more)]])
    return found[:count]


def draw(
    random: np.random.Generator, prefixes: Prefixes, count: int, *, share: float, zipf: bool
) -> Addresses:
    """`count` addresses, of which `share` registered."""
    registered = round(count * share)
    if zipf:
        ranked = random.permutation(len(prefixes))
        chosen = ranked[zipf_choice(random, len(prefixes), registered)]
        pool = strangers(random, prefixes, min(ZIPF_STRANGERS, max(count, 1)))
        others = pool[zipf_choice(random, len(pool), count - registered)]
    else:
        chosen = random.integers(0, len(prefixes), registered)
        others = strangers(random, prefixes, count - registered)
    size = np.uint64(1) << (32 - prefixes.lengths[chosen].astype(np.uint64))
    hosts = (random.random(registered) * size).astype(np.uint32)
    both = np.concatenate([prefixes.networks[chosen] + hosts, others])
    random.shuffle(both)
    return both
