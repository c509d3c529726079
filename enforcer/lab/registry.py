"""Makes registries for laboratories and benchmarks: like a real one, of any size, always the same.

In: a count and a seed. Out: bytes of the CSV form. It never makes an address that a laboratory
uses for its hosts (private, shared, documentation, test ranges) nor one that the parser refuses.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.prefix import Family, format_address, parse_prefix
from enforcer.policy.registry_columns import MASKS
from enforcer.policy.registry_rows import HEADER

CATEGORIES = ("software-house", "call-centre", "freelancer", "mission")
IPV6_SHARE = 0.1
CLUSTERED_SLASH_16S = 300

_KEPT_OUT = [
    parse_prefix(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
]
# Shares of the lengths among registered VPN end points: mostly hosts and small ranges.
_LENGTHS_4 = {32: 40, 31: 3, 30: 8, 29: 10, 28: 9, 27: 5, 26: 4, 25: 3, 24: 14, 23: 1.5, 22: 1.2}
_LENGTHS_4 |= {21: 0.6, 20: 0.4, 19: 0.2, 18: 0.06, 17: 0.03, 16: 0.01}
_LENGTHS_6 = {64: 40, 56: 30, 48: 22, 60: 4, 44: 2, 40: 1.5, 32: 0.5}
_WORDS = ("udp/51820", "udp/500 udp/4500 esp", "udp/1194", "tcp/443 udp/443", "udp/5000-5100")


def generate(count: int, seed: int, *, clustered: bool = False) -> bytes:
    """A registry of `count` distinct prefixes in the CSV form, the same for the same arguments.

    One in ten is IPv6; some rows carry dates (all valid through 2026 to 2029) and services; some
    ids have several rows; some prefixes lie inside others. `clustered` puts all IPv4 into 300 /16s,
    as the registry of one country does.
    """
    random = np.random.default_rng(seed)
    six = round(count * IPV6_SHARE)
    prefixes = _ipv4(random, count - six, clustered) + _ipv6(random, six)
    order = random.permutation(count)
    owner = np.sort(random.integers(1, max(2, count * 4 // 5), count))
    category = random.choice(len(CATEGORIES), count, p=[0.35, 0.2, 0.4, 0.05])
    dated = random.random(count)
    since = random.integers(0, 1500, count)
    until = random.integers(0, 1500, count)
    service = np.where(random.random(count) < 0.15, random.integers(0, len(_WORDS), count), -1)
    first, last = date(2021, 11, 1), date(2029, 12, 31)
    begins = [(first + timedelta(days=n)).isoformat() for n in range(1500)]
    ends = [(last + timedelta(days=n)).isoformat() for n in range(1500)]
    tail = [*(f",{word}" for word in _WORDS), ","]
    rows = [HEADER]
    rows += [
        f"R-{owner_:06d},{prefixes[place]},{CATEGORIES[category_]},"
        f"{begins[since_] if dated_ < 0.5 else ''},{ends[until_] if dated_ < 0.4 else ''}"
        f"{tail[service_]}"
        for owner_, place, category_, dated_, since_, until_, service_ in zip(
            owner.tolist(),
            order.tolist(),
            category.tolist(),
            dated.tolist(),
            since.tolist(),
            until.tolist(),
            service.tolist(),
            strict=True,
        )
    ]
    return ("\n".join(rows) + "\n").encode()


def _chosen_lengths(
    random: np.random.Generator, shares: dict[int, Any], count: int
) -> NDArray[np.int64]:
    weights = np.array(list(shares.values()), float)
    return random.choice(np.array(list(shares)), count, p=weights / weights.sum())


def _distinct(keys: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    """The first `count` distinct keys, in the order they were made."""
    _, first = np.unique(keys, return_index=True)
    return keys[np.sort(first)[:count]]


def _ipv4(random: np.random.Generator, count: int, clustered: bool) -> list[str]:
    sixteens = random.permutation(1 << 16).astype(np.uint32)
    sixteens = sixteens[_outside(sixteens << 16, np.full(1 << 16, 16))][:CLUSTERED_SLASH_16S]
    keys = np.zeros(0, np.uint64)
    while len(keys) < count:
        more = count + count // 4 + 64
        address = random.integers(0, 1 << 32, more, np.uint32)
        if clustered:
            chosen = random.integers(0, len(sixteens), more)
            address = sixteens[chosen] << 16 | address & 0xFFFF
        length = _chosen_lengths(random, _LENGTHS_4, more)
        address &= MASKS[4][0][length]
        good = _outside(address, length)
        keys = np.concatenate(
            [keys, (address.astype(np.uint64) << 8 | length.astype(np.uint64))[good]]
        )
        keys = _distinct(keys, count)
    network = (keys >> np.uint64(8)).astype(">u4")
    octets = network.view(np.uint8).reshape(-1, 4).tolist()
    return [
        f"{a}.{b}.{c}.{d}/{length}"
        for (a, b, c, d), length in zip(octets, (keys & np.uint64(255)).tolist(), strict=True)
    ]


def _outside(address: NDArray[Any], length: NDArray[Any]) -> NDArray[np.bool_]:
    """Which prefixes neither lie in a range that is kept out nor contain one."""
    last = address | ~MASKS[4][0][length]
    good = np.ones(len(address), np.bool_)
    for out in _KEPT_OUT:
        good &= (last < out.network) | (address > out.last)
    return good


def _ipv6(random: np.random.Generator, count: int) -> list[str]:
    """Prefixes of 2400::/12 to 2a0f::/16, in some thousand /32s as providers have them."""
    family: Family = 6
    homes = random.integers(0x2400_0000, 0x2A10_0000, 1 + count // 40, np.uint64)
    keys = np.zeros(0, np.uint64)
    lengths: dict[int, int] = {}
    while len(keys) < count:
        more = count + count // 4 + 64
        high = homes[random.integers(0, len(homes), more)] << np.uint64(32)
        high |= random.integers(0, 1 << 32, more, np.uint64)
        length = _chosen_lengths(random, _LENGTHS_6, more)
        high &= MASKS[6][0][length]
        for key, bits in zip(high.tolist(), length.tolist(), strict=True):
            lengths.setdefault(key, bits)
        keys = _distinct(np.concatenate([keys, high]), count)
    return [f"{format_address(family, key << 64)}/{lengths[key]}" for key in keys.tolist()]
