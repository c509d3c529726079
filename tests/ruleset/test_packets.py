"""A prefix, a service and a service's name, asked for many packets at a time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.policy.prefix import Prefix
from enforcer.ruleset.packets import Packets, PrefixSet, ServiceNames
from tests.ruleset.builders import prefixes_of, services_of
from tests.ruleset.strategies import FAMILY, prefixes
from tests.sources import captures as c
from tests.sources.reading import packets_of


def udp(sport: int, dport: int, *, fragment: int = 0) -> bytes:
    return c.ipv4("192.0.2.1", "192.0.2.2", 17, c.ports(sport, dport), fragment=fragment)


def read(*frames: bytes, snap: int = 1 << 18) -> Packets:
    return packets_of(c.pcap(frames, link=c.RAW, snap=snap))


@settings(max_examples=100, deadline=None)
@given(st.lists(prefixes(), max_size=8), st.lists(prefixes(), min_size=1, max_size=8), FAMILY)
def test_a_set_holds_what_one_of_its_prefixes_holds(
    held: list[Prefix], asked: list[Prefix], family: int
) -> None:
    ends = [(p.family, a) for p in (*held, *asked) for a in (p.network, p.last)]
    ends = [(f, a) for f, a in ends if f == family] or [(4, 1)]
    frames = [
        c.ipv4("0.0.0.0", ".".join(map(str, a.to_bytes(4, "big"))), 50, b"")
        if f == 4
        else c.ipv6("::", ":".join(f"{a >> 112 - 16 * i & 0xFFFF:x}" for i in range(8)), 50, b"")
        for f, a in ends
    ]
    packets = read(*frames)
    found = PrefixSet(held).holds(packets.family, packets.target).tolist()
    assert found == [any(p.family == f and a in p for p in held) for f, a in ends]


def test_a_service_is_named_by_the_operators_word() -> None:
    names = ServiceNames(services_of("udp/51820 udp/500 udp/5000-5100 udp/1-1000 tcp/443 esp"))
    packets = read(
        udp(40000, 51820),
        udp(51820, 40000),
        udp(51820, 500),
        udp(500, 999),
        udp(5050, 2000),
        udp(2000, 2001),
        udp(1, 2, fragment=9),
        c.ipv4("192.0.2.1", "192.0.2.2", 50, b""),
        c.ipv4("192.0.2.1", "192.0.2.2", 1, bytes(8)),
        c.ipv6("::1", "::2", 58, bytes(8)),
        c.ipv4("192.0.2.1", "192.0.2.2", 89, bytes(8)),
        c.ipv6("::1", "::2", 44, c.fragment_header(60, 9) + bytes(8)),
    )
    # In the order of families: IPv6 comes last.
    assert [names.text(n) for n in names.of(packets).tolist()] == [
        "udp/51820",
        "udp/51820",
        "udp/500",
        "udp/1-1000",
        "udp/5000-5100",
        "udp, other ports",
        "udp, later fragment",
        "esp",
        "icmp",
        "protocol 89",
        "icmpv6",
        "protocol not seen",
    ]
    assert names.text(int(names.of(read(udp(1, 2), snap=22))[0])) == "udp, ports cut off"


def test_an_empty_set_holds_nothing() -> None:
    packets = read(udp(1, 2))
    assert not PrefixSet(()).holds(packets.family, packets.source).any()
    assert PrefixSet(prefixes_of("192.0.2.1/32")).holds(packets.family, packets.source).all()
