"""Devices and addresses of the namespace as rtnetlink tells them, for `doctor`. Only reads.

In: an rtnetlink socket. Out: values. Source: <linux/rtnetlink.h>, <linux/if_link.h>, <net/if.h>.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Collection
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass

from enforcer.kernel.netlink import Netlink
from enforcer.kernel.shaping import Qdisc, read_roots
from enforcer.kernel.wire import Message, attributes, string
from enforcer.policy.prefix import Family

_GET_LINK, _GET_ADDRESS = 18, 22
_NAME, _MTU, _XDP = 3, 4, 43
_XDP_ATTACHED = 2
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_ADDRESS, _LOCAL = 1, 2
_FAMILY: dict[int, Family] = {socket.AF_INET: 4, socket.AF_INET6: 6}
_SIOCETHTOOL = 0x8946
_SET_INFO, _STRINGS, _FEATURES = 0x37, 0x1B, 0x3A
_FEATURE_NAMES, _NAME_BYTES = 4, 32


@dataclass(frozen=True, slots=True)
class Device:
    """`running`: it has a carrier. `xdp`: a program sees packets before any rule. `root`: its root
    qdisc, None where there is none. `features`: offloads that are on, empty where it tells none.
    """

    name: str
    up: bool = True
    running: bool = True
    mtu: int = 1500
    xdp: bool = False
    root: Qdisc | None = None
    features: frozenset[str] = frozenset()


def read_links(route: Netlink, asked_for: Collection[str] = ()) -> dict[str, Device]:
    """Name → device, with the features of those that are `asked_for`. Raises OSError."""
    roots = {root.device_index: root for root in read_roots(route)}
    found = {}
    for reply in route.dump(Message(_GET_LINK, 0, struct.pack("=BxHiII", 0, 0, 0, 0, 0))):
        index, flags = struct.unpack_from("=BxHiI", reply.body)[2:4]
        attrs = attributes(reply.body[16:])
        name = string(attrs[_NAME])
        xdp = attributes(attrs.get(_XDP, b"")).get(_XDP_ATTACHED, b"\0")
        found[name] = Device(
            name,
            bool(flags & _IFF_UP),
            bool(flags & _IFF_RUNNING),
            struct.unpack("=I", attrs[_MTU])[0],
            bool(xdp[0]),
            roots.get(index),
            read_features(name) if name in asked_for else frozenset(),
        )
    return found


def read_addresses(route: Netlink) -> frozenset[tuple[Family, int]]:
    """(family, number) of each address of this machine."""
    found = set()
    for reply in route.dump(Message(_GET_ADDRESS, 0, struct.pack("=BBBBI", 0, 0, 0, 0, 0))):
        attrs = attributes(reply.body[8:])
        packed = attrs.get(_LOCAL, attrs.get(_ADDRESS))
        if (family := _FAMILY.get(reply.body[0])) is not None and packed is not None:
            found.add((family, int.from_bytes(packed, "big")))
    return frozenset(found)


def read_features(device: str) -> frozenset[str]:
    """The offloads that are on, by their names in ethtool; empty where the driver tells none."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
            info = struct.pack("=IIQI", _SET_INFO, 0, 1 << _FEATURE_NAMES, 0)
            answer = _ethtool(asked, device, info)
            count = struct.unpack_from("=IIQI", answer)[3]
            strings = struct.pack("=III", _STRINGS, _FEATURE_NAMES, count)
            names = _ethtool(asked, device, strings + bytes(_NAME_BYTES * count))[12:]
            words = (count + 31) // 32
            bits = _ethtool(asked, device, struct.pack("=II", _FEATURES, words) + bytes(16 * words))
    except OSError:
        return frozenset()
    found = set()
    for at in range(count):
        # Of each word: available, requested, active, never changed (struct ethtool_get_features).
        active = struct.unpack_from("=I", bits, 8 + 16 * (at // 32) + 8)[0]
        if active >> at % 32 & 1:
            found.add(string(names[_NAME_BYTES * at : _NAME_BYTES * (at + 1)].split(b"\0")[0]))
    return frozenset(found)


def _ethtool(asked: socket.socket, device: str, request: bytes) -> bytes:
    buffer = create_string_buffer(request, len(request))
    name = device.encode()[:15]
    fcntl.ioctl(asked, _SIOCETHTOOL, struct.pack("@16sP16x", name, addressof(buffer)))
    return buffer.raw
