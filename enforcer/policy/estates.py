"""How large estates are, measured against the ceilings of promise 7."""

from __future__ import annotations

from collections.abc import Sequence

from enforcer.policy import limits
from enforcer.policy.model import Estate
from enforcer.policy.prefix import BITS, Prefix


def ipv4_addresses(prefixes: Sequence[Prefix]) -> int:
    """How many IPv4 addresses the prefixes hold together, overlaps counted once."""
    return _distinct(prefixes, 4, 32)


def ipv6_slash_64s(prefixes: Sequence[Prefix]) -> int:
    """How many /64s the IPv6 prefixes touch together; a longer prefix touches one."""
    return _distinct(prefixes, 6, 64)


def _distinct(prefixes: Sequence[Prefix], family: int, unit_length: int) -> int:
    total, past = 0, -1
    shift = BITS[4 if family == 4 else 6] - unit_length
    for prefix in sorted(p for p in prefixes if p.family == family):
        first, last = prefix.network >> shift, prefix.last >> shift
        first = max(first, past + 1)
        total += max(0, last - first + 1)
        past = max(past, last)
    return total


def estate_ceiling_violations(estates: Sequence[Estate]) -> list[str]:
    """What of all estates together is over a ceiling; empty when nothing is."""
    prefixes = [prefix for estate in estates for prefix in estate.prefixes]
    found = []
    addresses, nets = ipv4_addresses(prefixes), ipv6_slash_64s(prefixes)
    if addresses > limits.ESTATE_IPV4_ADDRESSES:
        found.append(
            f"estates hold {addresses:,} IPv4 addresses, over the ceiling of "
            f"{limits.ESTATE_IPV4_ADDRESSES:,}"
        )
    if nets > limits.ESTATE_IPV6_SLASH_64S:
        found.append(
            f"estates hold {nets:,} IPv6 /64s, over the ceiling of {limits.ESTATE_IPV6_SLASH_64S}"
        )
    for estate in estates:
        for service in estate.services:
            if len(service.ports) > limits.ESTATE_PORTS_PER_SERVICE:
                found.append(
                    f"estate {estate.name}: service {service} spans {len(service.ports):,} ports, "
                    f"over the ceiling of {limits.ESTATE_PORTS_PER_SERVICE:,}"
                )
    return found
