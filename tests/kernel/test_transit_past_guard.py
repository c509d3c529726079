"""Guard lets the kernel hand on what it cannot parse: docs/decisions/0010."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from socket import AF_INET6, inet_pton

import pytest

from enforcer.kernel.namespace import in_namespace
from tests.kernel.test_kernel_drift import Guarded

pytestmark = pytest.mark.kernel

FRAGMENT, AH = 44, 51
WITNESS = """\
table ip6 witness {
  counter seen { }
  chain after_guard { type filter hook prerouting priority -100; ip6 daddr 2001:db8:bbbb::1 counter name seen; }
}
"""  # noqa: E501 - nft's own language


@pytest.fixture
def guarded(namespace: str) -> Iterator[Guarded]:
    made = Guarded(namespace)
    made.real.nft(WITNESS)
    try:
        yield made
    finally:
        made.close()


def later_fragment_of_ah(destination: bytes) -> bytes:
    """A transit packet whose first fragment, with the head of its AH, went before it."""
    payload = struct.pack(">BBHI", AH, 0, 185 << 3, 7) + b"\xff" * 32
    ends = inet_pton(AF_INET6, "2001:db8:aaaa::1") + inet_pton(AF_INET6, "2001:db8:bbbb::1")
    header = struct.pack(">IHBB", 6 << 28, len(payload), FRAGMENT, 64) + ends
    return destination + b"\x02\0\0\0\0\1" + b"\x86\xdd" + header + payload


def seen_of_ten(guarded: Guarded) -> int:
    mac = guarded.real.run("cat", "/sys/class/net/wan0/address").strip().replace(":", "")
    frame = later_fragment_of_ah(bytes.fromhex(mac))
    with in_namespace(guarded.real.namespace):
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sender:
        sender.bind(("wan0-peer", 0))
        for _ in range(10):
            sender.send(frame)
    told = re.search(r"packets (\d+)", guarded.real.run("nft", "reset counter ip6 witness seen"))
    assert told is not None
    return int(told[1])


def test_later_fragments_of_ah_in_transit_pass_an_armed_guard(guarded: Guarded) -> None:
    """Seen to fail, none of ten passing, with a chain at ingress of wan0 on Linux 6.18."""
    assert "armed.ddos" in guarded.kernel.read().sets
    assert seen_of_ten(guarded) == 10
