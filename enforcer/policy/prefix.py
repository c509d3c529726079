"""Prefixes and services as values. Strict text forms in, one canonical form out."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Literal

Family = Literal[4, 6]
FAMILIES: tuple[Family, Family] = (4, 6)
BITS: dict[Family, int] = {4: 32, 6: 128}
_AF = {4: socket.AF_INET, 6: socket.AF_INET6}

# IANA protocol numbers of the service tokens (https://www.iana.org/assignments/protocol-numbers).
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "esp": 50, "ah": 51, "gre": 47}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
PORT_PROTOCOLS = frozenset({"tcp", "udp", "sctp"})


@dataclass(frozen=True, slots=True, order=True)
class Prefix:
    """An IP prefix: `network` is the address as an integer, host bits clear."""

    family: Family
    network: int
    length: int

    def __post_init__(self) -> None:
        if not 0 <= self.length <= BITS[self.family]:
            raise ValueError(f"prefix length {self.length} is not in 0..{BITS[self.family]}")
        if self.network & ~self.mask:
            raise ValueError("host bits are set")

    @property
    def mask(self) -> int:
        bits = BITS[self.family]
        return ((1 << bits) - 1) ^ ((1 << (bits - self.length)) - 1)

    @property
    def packed(self) -> bytes:
        return self.network.to_bytes(BITS[self.family] // 8, "big")

    @property
    def packed_mask(self) -> bytes:
        return self.mask.to_bytes(BITS[self.family] // 8, "big")

    @property
    def last(self) -> int:
        """The prefix's last address as an integer."""
        return self.network | ((1 << (BITS[self.family] - self.length)) - 1)

    def __contains__(self, address: int) -> bool:
        return address & self.mask == self.network

    def covers(self, other: Prefix) -> bool:
        """True when `other` is this prefix or lies inside it."""
        return (
            self.family == other.family
            and self.length <= other.length
            and other.network & self.mask == self.network
        )

    def overlaps(self, other: Prefix) -> bool:
        return self.covers(other) or other.covers(self)

    def __str__(self) -> str:
        return f"{format_address(self.family, self.network)}/{self.length}"


def format_address(family: Family, address: int) -> str:
    return socket.inet_ntop(_AF[family], address.to_bytes(BITS[family] // 8, "big"))


_V4 = re.compile(r"(0|[1-9][0-9]{0,2})(?:\.(0|[1-9][0-9]{0,2})){3}", re.ASCII)
_V6 = re.compile(r"[0-9A-Fa-f:.]+", re.ASCII)
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)


def parse_address(text: str) -> tuple[Family, int]:
    """`(family, integer)` of an address in text. No leading zeros, no zone id, no hostmask form.

    Raises ValueError with the fact and the remedy.
    """
    if ":" in text:
        if "%" in text:
            raise ValueError(f"{text!r} has a zone id; leave out everything from the % sign")
        if _V6.fullmatch(text):
            try:
                return 6, int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
            except OSError:
                pass
        raise ValueError(f"{text!r} is not an IPv6 address; write it like 2001:db8::1")
    if _V4.fullmatch(text):
        try:
            return 4, int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
        except OSError:
            pass
    raise ValueError(f"{text!r} is not an IP address; write it like 192.0.2.1 or 2001:db8::1")


def parse_prefix(text: str, *, bare_address: bool = False) -> Prefix:
    """A prefix in text, `192.0.2.0/24`. With `bare_address` an address alone is its host prefix.

    Raises ValueError with the fact and the remedy.
    """
    address_text, slash, length_text = text.partition("/")
    family, address = parse_address(address_text)
    bits = BITS[family]
    if not slash:
        if bare_address:
            return Prefix(family, address, bits)
        raise ValueError(f"{text!r} has no prefix length; write {text}/{bits} for one address")
    if not _LENGTH.fullmatch(length_text) or int(length_text) > bits:
        raise ValueError(f"{text!r} has no length from 0 to {bits} after the slash; write one")
    length = int(length_text)
    host = (1 << (bits - length)) - 1
    if address & host:
        right = Prefix(family, address & ~host, length)
        raise ValueError(f"{text!r} has host bits set; write {right}, or a longer length")
    return Prefix(family, address, length)


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """An IP protocol and, for tcp, udp and sctp, a port range (both ends included)."""

    protocol: int
    first_port: int | None = None
    last_port: int | None = None

    @property
    def has_ports(self) -> bool:
        return self.first_port is not None

    @property
    def ports(self) -> range:
        """The ports of the service; empty for a protocol without ports."""
        if self.first_port is None or self.last_port is None:
            return range(0)
        return range(self.first_port, self.last_port + 1)

    def __str__(self) -> str:
        name = PROTOCOL_NAMES[self.protocol]
        if self.first_port is None:
            return name
        if self.first_port == self.last_port:
            return f"{name}/{self.first_port}"
        return f"{name}/{self.first_port}-{self.last_port}"


_SERVICE = re.compile(r"([a-z]+)(?:/(0|[1-9][0-9]{0,4})(?:-(0|[1-9][0-9]{0,4}))?)?", re.ASCII)
_SEVERAL = re.compile(r"[a-z0-9][,;|][a-z]")
_MORE_THAN_ONE = (
    "is more than one service; in a registry put spaces between them, in YAML make it a list"
)
_SERVICE_FORMS = "write tcp/443, udp/51820, sctp/36412, udp/5000-5100, esp, ah or gre"


def parse_service(text: str) -> Service:
    """A service token of the contract. Raises ValueError with the fact and the remedy."""
    match = _SERVICE.fullmatch(text)
    if not match or match[1] not in PROTOCOLS:
        fact = _MORE_THAN_ONE if _SEVERAL.search(text) else "is not a service"
        raise ValueError(f"{text!r} {fact}; {_SERVICE_FORMS}")
    name, first, last = match[1], match[2], match[3]
    if (name in PORT_PROTOCOLS) != (first is not None):
        fact = "needs a port" if name in PORT_PROTOCOLS else "has no ports"
        raise ValueError(f"{text!r}: {name} {fact}; {_SERVICE_FORMS}")
    if first is None:
        return Service(PROTOCOLS[name])
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        raise ValueError(f"{text!r} is not a range of ports from 1 to 65535; {_SERVICE_FORMS}")
    return Service(PROTOCOLS[name], low, high)
