"""A range of addresses as the fewest prefixes that hold just these addresses.

In: first and last address as integers. Out: prefixes in order.
"""

from __future__ import annotations

from enforcer.policy.prefix import BITS, Family, Prefix, parse_address, parse_prefix


def cover(family: Family, first: int, last: int) -> list[Prefix]:
    """The fewest prefixes that hold `first` to `last` (included) and nothing else: at most twice
    the family's bits. Raises ValueError when the range is empty or leaves the address space.
    """
    bits = BITS[family]
    if not 0 <= first <= last < 1 << bits:
        raise ValueError("is no range of addresses: it ends before it begins")
    found = []
    while first <= last:
        # As large as the alignment of the first address and what is left of the range allow.
        aligned = (first & -first).bit_length() - 1 if first else bits
        size = min(aligned, (last - first + 1).bit_length() - 1)
        found.append(Prefix(family, first, bits - size))
        first += 1 << size
    return found


def parse_range(text: str) -> list[Prefix]:
    """`192.0.2.0 - 192.0.2.79` as prefixes. Raises ValueError with the fact and the remedy."""
    first, _, last = text.partition("-")
    try:
        (family, begin), (other, end) = parse_address(first.strip()), parse_address(last.strip())
    except ValueError:
        fact = f"{text!r} is no range of addresses"
        raise ValueError(f"{fact}; write it like 192.0.2.0-192.0.2.79") from None
    if family != other or end < begin:
        raise ValueError(f"{text!r} is no range; write the lower address first, of one family")
    return cover(family, begin, end)


def with_netmask(address: str, mask: str) -> Prefix:
    """`192.0.2.0` and `255.255.255.0` as a prefix. Raises ValueError."""
    family, bits = parse_address(mask)
    hosts = bits ^ 0xFFFFFFFF
    if family != 4 or hosts & (hosts + 1):
        raise ValueError(f"{mask!r} is no netmask; write the length, like /24")
    return parse_prefix(f"{address}/{bits.bit_count()}")
