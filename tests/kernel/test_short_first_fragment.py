"""A TCP SYN whose first fragment ends before the flags: guard sees no SYN, and lets it pass."""

from __future__ import annotations

import re
import socket
import struct

import pytest

from enforcer.kernel.namespace import in_namespace
from tests.kernel.daemon_process import Gateway, eventually

pytestmark = pytest.mark.kernel
STRANGER, ESTATE = "192.0.2.99", "203.0.113.5"
# Behind guard: what it let pass to the estate.
SEEN = """
table ip seen {
  chain pre { type filter hook prerouting priority 0; ip daddr 203.0.113.5 counter; }
}
"""
SYN = struct.pack("!HHIIBBHHH", 40000, 443, 1, 0, 0x50, 0x02, 1024, 0, 0)
MORE_FRAGMENTS = 0x2000


def ip(payload: bytes, fragment: int = 0) -> bytes:
    addresses = b"".join(map(socket.inet_aton, (STRANGER, ESTATE)))
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, fragment, 64, 6, 0) + addresses
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack("!H", checksum) + head[12:] + payload


def send(gateway: Gateway, *packets: bytes) -> None:
    with in_namespace(gateway.namespace):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with wire:
        wire.bind(("wan0-peer", 0))
        for packet in packets:
            wire.send(b"\xff" * 6 + b"\x02" + bytes(5) + b"\x08\x00" + packet)


def passed(gateway: Gateway) -> int:
    found = re.search(
        r"counter packets (\d+)", gateway.inside("nft", "list", "table", "ip", "seen")
    )
    assert found
    return int(found[1])


def test_it_passes_and_a_whole_one_does_not(gateway: Gateway) -> None:
    gateway.start()
    eventually(gateway.armed)
    gateway.inside("sh", "-c", f"echo '{SEEN}' | nft -f -")
    send(gateway, ip(SYN))
    assert passed(gateway) == 0
    # Eight bytes: both ports and the sequence number, not the flags.
    send(gateway, ip(SYN[:8], MORE_FRAGMENTS), ip(SYN[8:], 1))
    assert passed(gateway) == 2
    # The flags are in the first one: held back, and the rest of it makes no connection.
    send(gateway, ip(SYN[:16], MORE_FRAGMENTS), ip(SYN[16:], 2))
    assert passed(gateway) == 3
