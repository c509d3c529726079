"""Frames of every link type that is read, and the fields of their packets as a rule sees them."""

from __future__ import annotations

import pytest

from enforcer.policy.prefix import parse_address
from enforcer.ruleset.packets import EITHER, IN, NONE, OUT
from enforcer.sources.frames import Skipped
from tests.sources import captures as c
from tests.sources.reading import packets_of

V4 = c.ipv4("198.51.100.7", "203.0.113.5", 17, c.ports(4000, 51820))
V6 = c.ipv6("2001:db8:5::1", "2001:db8:10::1", 17, c.ports(4000, 51820))
END_4, END_6 = parse_address("203.0.113.5")[1], parse_address("2001:db8:10::1")[1]


@pytest.mark.parametrize(
    ("link", "wrap"),
    [
        (c.ETHERNET, c.ethernet),
        (c.ETHERNET, lambda p: c.ethernet(p, tags=[0x8100])),
        (c.ETHERNET, lambda p: c.ethernet(p, tags=[0x88A8, 0x8100])),
        (c.ETHERNET, lambda p: c.ethernet(p, tags=[0x9100, 0x8100])),
        (c.ETHERNET, lambda p: c.ethernet(p) + bytes(18)),
        (c.COOKED, lambda p: c.cooked(p, kind=0x86DD if p[0] >> 4 == 6 else 0x0800)),
        (c.COOKED, lambda p: c.cooked(c.ethernet(p)[12:14].join([b"\0\7", b""]) + p, kind=0x8100)),
        (c.COOKED_2, lambda p: c.cooked_2(p, kind=0x86DD if p[0] >> 4 == 6 else 0x0800)),
        (c.RAW, lambda p: p),
        (12, lambda p: p),
        (228, lambda p: p),
        (c.NULL, lambda p: b"\2\0\0\0" + p),
        (c.LOOP, lambda p: b"\0\0\0\x1e" + p),
    ],
)
def test_a_packet_is_the_same_on_every_link(link, wrap) -> None:  # type: ignore[no-untyped-def]
    packets = packets_of(c.pcap([wrap(V4), wrap(V6)], link=link))
    assert packets.family.tolist() == [4, 6]
    assert [int(h) << 64 | int(low) for h, low in zip(*packets.target, strict=True)] == [
        END_4,
        END_6,
    ]
    assert packets.source[1].tolist()[0] == parse_address("198.51.100.7")[1]
    assert (packets.protocol.tolist(), packets.sport.tolist()) == ([17, 17], [4000, 4000])
    assert packets.dport.tolist() == [51820, 51820]
    assert packets.size.tolist() == [len(V4), len(V6)], "of IP, without padding"
    assert packets.record.tolist() == [0, 1]
    assert not packets.cut.any()


def test_what_is_not_ip_is_named() -> None:
    skipped = Skipped()
    frames = [
        c.ethernet(b"\0\1", kind=0x0806),
        c.ethernet(V4, kind=0x8864),
        c.ethernet(V4, kind=0x8847, tags=[0x8100]),
        c.ethernet(V4, kind=0x1234),
        c.ethernet(V4, kind=60),
        c.ethernet(V4)[:13],
        c.ethernet(V4, tags=[0x8100])[:16],
    ]
    assert len(packets_of(c.pcap(frames), skipped=skipped)) == 0
    assert skipped.not_ip == {
        "ARP": 1, "PPPoE": 1, "MPLS": 1, "0x1234": 1, "802.3": 1, "cut off": 2
    }  # fmt: skip


@pytest.mark.parametrize(
    "packet",
    [
        b"\x44" + V4[1:],  # a header of 16 bytes
        b"\x65" + V4[1:],  # version 6 in a frame that says IPv4
        V4[:19],  # cut in the header
        V4[:2] + b"\0\x10" + V4[4:],  # shorter than its header
        V4[:2] + b"\1\0" + V4[4:],  # longer than its frame
    ],
)
def test_broken_headers_are_counted(packet: bytes) -> None:
    skipped = Skipped()
    packets = packets_of(c.pcap([c.ethernet(packet, kind=0x0800), c.ethernet(V6[:39])]),
                         skipped=skipped)  # fmt: skip
    assert (len(packets), skipped.malformed) == (0, 2)


def test_a_header_that_the_capture_cut_is_not_read_on_in_the_next_packet() -> None:
    skipped = Skipped()
    assert len(packets_of(c.pcap([V4, V4], link=c.RAW, snap=19), skipped=skipped)) == 0
    assert skipped.malformed == 2


def one(packet: bytes, *, snap: int = 1 << 18) -> dict[str, int]:
    packets = packets_of(c.pcap([packet], link=c.RAW, snap=snap))
    assert len(packets) == 1
    names = ("protocol", "sport", "dport", "starts", "later", "cut", "size")
    return {name: int(getattr(packets, name)[0]) for name in names}


def seen(
    protocol: int, ports: tuple[int, int] | None, *, starts: int = 0, later: int = 0, cut: int = 0
) -> dict[str, int]:
    sport, dport = ports or (NONE, NONE)
    return {"protocol": protocol, "sport": sport, "dport": dport, "starts": starts, "later": later,
            "cut": cut}  # fmt: skip


UDP = c.ports(1, 2) + bytes(8)
TWO = (1, 2)


def ext(following: int, size: int = 8) -> bytes:
    return bytes([following, size // 8 - 1]) + bytes(size - 2)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (c.ipv4("192.0.2.1", "192.0.2.2", 17, UDP, options=bytes(40)), seen(17, TWO)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 50, bytes(8)), seen(50, None)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 17, UDP, fragment=0x2000), seen(17, TWO)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 17, UDP, fragment=0x0010), seen(17, None, later=1)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 17, UDP, fragment=0x4000), seen(17, TWO)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 17, b"\0\1\0"), seen(17, (1, NONE))),
        (c.ipv4("192.0.2.1", "192.0.2.2", 17, b"\0"), seen(17, None)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 6, c.tcp(1, 2, c.SYN)), seen(6, TWO, starts=1)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 6, c.tcp(1, 2, c.SYN | 0xC4)), seen(6, TWO, starts=1)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 6, c.tcp(1, 2, c.SYN | c.ACK)), seen(6, TWO)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 6, c.tcp(1, 2, c.SYN)[:13]), seen(6, TWO)),
        (c.ipv6("::1", "::2", 17, UDP), seen(17, TWO)),
        (c.ipv6("::1", "::2", 0, ext(17) + UDP), seen(17, TWO)),
        (c.ipv6("::1", "::2", 0, ext(43) + ext(60, 24) + ext(17, 16) + UDP), seen(17, TWO)),
        (c.ipv6("::1", "::2", 44, c.fragment_header(17, 0, more=True) + UDP), seen(17, TWO)),
        (c.ipv6("::1", "::2", 44, c.fragment_header(17, 9) + UDP), seen(17, None, later=1)),
        (c.ipv6("::1", "::2", 44, c.fragment_header(60, 9) + UDP), seen(NONE, None, later=1)),
        (c.ipv6("::1", "::2", 60, ext(44) + c.fragment_header(6, 9)), seen(6, None, later=1)),
        # AH is a protocol to the rules, whatever it carries; so is "no next header".
        (c.ipv6("::1", "::2", 51, ext(17, 16) + UDP), seen(51, None)),
        (c.ipv6("::1", "::2", 0, ext(59)), seen(59, None)),
        (c.ipv6("::1", "::2", 0, b"\x11"), seen(NONE, None)),
        (c.ipv6("::1", "::2", 0, bytes(8 * 40)), seen(NONE, None)),
    ],
)
def test_the_fields_are_those_that_a_rule_finds(packet: bytes, expected: dict[str, int]) -> None:
    assert one(packet) == {**expected, "size": len(packet)}


@pytest.mark.parametrize(
    ("packet", "snap", "expected"),
    [
        (V4, 24, seen(17, (4000, 51820))),
        (V4, 23, seen(17, (4000, NONE), cut=1)),
        (V4, 21, seen(17, None, cut=1)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 6, c.tcp(1, 2, c.SYN)), 33, seen(6, TWO, cut=1)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 6, c.tcp(1, 2, c.SYN)), 34, seen(6, TWO, starts=1)),
        (c.ipv4("192.0.2.1", "192.0.2.2", 50, bytes(80)), 20, seen(50, None)),
        (c.ipv6("::1", "::2", 0, ext(17, 16) + UDP), 41, seen(NONE, None, cut=1)),
        (c.ipv6("::1", "::2", 0, ext(17, 16) + UDP), 50, seen(17, None, cut=1)),
    ],
)
def test_what_the_capture_cut_off_is_told(
    packet: bytes, snap: int, expected: dict[str, int]
) -> None:
    assert one(packet, snap=snap) == {**expected, "size": len(packet)}


def test_a_segment_that_the_card_was_to_cut_has_the_length_of_its_frame() -> None:
    packet = c.ipv4("192.0.2.1", "192.0.2.2", 6, c.tcp(1, 2, 0) + bytes(9000), total=0)
    assert one(packet)["size"] == 9040
    # And a jumbogram; but no payload is no payload.
    for following, size in ((0, 40 + 8 + 9000), (59, 40)):
        packet = c.ipv6("::1", "::2", following, ext(17) + bytes(9000))
        assert one(packet[:4] + b"\0\0" + packet[6:])["size"] == size


def test_where_packets_went_by_cooked_type_and_by_mac() -> None:
    cooked = c.pcap([c.cooked(V4, kind) for kind in range(5)], link=c.COOKED)
    assert packets_of(cooked).direction.tolist() == [IN, IN, IN, IN, OUT]
    cooked = c.pcap([c.cooked_2(V4, kind) for kind in range(5)], link=c.COOKED_2)
    assert packets_of(cooked).direction.tolist() == [IN, IN, IN, IN, OUT]
    other = bytes.fromhex("020000000009")
    frames = [
        c.ethernet(V4),
        c.ethernet(V4, to=c.THEIR_MAC, of=c.OUR_MAC),
        c.ethernet(V4, to=b"\xff" * 6),
        c.ethernet(V4, to=other),
    ]
    assert packets_of(c.pcap(frames)).direction.tolist() == [EITHER] * 4
    skipped = Skipped()
    macs = frozenset({int.from_bytes(c.OUR_MAC, "big")})
    packets = packets_of(c.pcap(frames), macs=macs, skipped=skipped)
    assert packets.direction.tolist() == [IN, OUT, IN]
    assert skipped.other_stations == 1


def test_headers_at_the_very_end_of_a_chunk_are_not_taken_from_beyond_it() -> None:
    """The last packet is cut where its ports would be: what is read there is nobody's."""
    first, last = c.ipv4("192.0.2.1", "192.0.2.2", 17, UDP), V4[:20]
    packets = packets_of(c.pcap([first, last + bytes(8)], link=c.RAW, snap=20))
    assert packets.sport.tolist() == [NONE, NONE]
