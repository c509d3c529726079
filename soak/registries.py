"""Registries to change between: two of any size that hold the streams' addresses in different ways,
and each of them with one row changed. Pure.

The first has the registered peers as single hosts; the second inside wider prefixes, one with
services: a swap moves them to another stage and another class while their packets come in.
"""

from __future__ import annotations

import random
from ipaddress import IPv4Address

from soak.streams import REGISTERED4, REGISTERED6

HEADER = "id,prefix,category,valid_from,valid_until,services\n"
CATEGORIES = ("software-house", "call-centre", "freelancer")
_SIXTEENS = 200
_PEERS = (
    f"P-1,{REGISTERED4}/32,freelancer,,,\nP-2,{REGISTERED6}/128,freelancer,,,\n",
    (
        "P-1,198.51.100.0/28,call-centre,,,udp/51820 udp/40000-50000\n"
        "P-2,2001:db8:100::/56,software-house,,,\n"
    ),
)


class Registries:
    """`rows` prefixes in each of two registries, a tenth of them IPv6, most of them different."""

    def __init__(self, rows: int, seed: int) -> None:
        self._bodies = tuple(_body(rows, random.Random(f"{seed}/{n}")) for n in (0, 1))
        self._which = self._extra = 0

    def text(self) -> str:
        """The registry as it is now."""
        extra = f"X-1,192.0.2.{self._extra % 200}/32,freelancer,,,\n" if self._extra else ""
        return HEADER + _PEERS[self._which] + extra + self._bodies[self._which]

    def one_row(self) -> str:
        """The same with another row."""
        self._extra += 1
        return self.text()

    def swap(self) -> str:
        """The other one."""
        self._which = 1 - self._which
        return self.text()


def _body(rows: int, draw: random.Random) -> str:
    sixteens = draw.sample(range(256), _SIXTEENS)
    lines = []
    for n in range(rows):
        category = CATEGORIES[n % len(CATEGORIES)]
        if n % 10 == 0:
            prefix = f"2001:db9:{draw.getrandbits(16):x}:{draw.getrandbits(8) << 8:x}::/56"
        else:
            base = (10 << 24) | (draw.choice(sixteens) << 16)
            length = (32, 32, 28, 24)[n % 4] if rows <= 100_000 else (32, 32, 32, 30)[n % 4]
            offset = draw.getrandbits(16) >> (32 - length) << (32 - length)
            prefix = f"{IPv4Address(base | offset)}/{length}"
        lines.append(f"R-{n},{prefix},{category},,,\n")
    return "".join(lines)
