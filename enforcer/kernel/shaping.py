"""HTB on the links of `reserve`: packed, read back, put in place, taken away; and the devices.

In: `Shaper`s. Out: requests on an rtnetlink socket, and shapers as the kernel holds them. Never
replaces a root qdisc that somebody else configured: defaults only (they have the handle 0). Where
packets go while the kernel exchanges a root, the caller says (`Shelter`: that of `parking`).
Source: <linux/rtnetlink.h>, <linux/pkt_sched.h>, net/sched/sch_htb.c.
"""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from enforcer.kernel.netlink import Netlink
from enforcer.kernel.remedies import kernel_error
from enforcer.kernel.wire import (
    ACK,
    CREATE,
    EXCLUSIVE,
    MALFORMED,
    REPLACE,
    Message,
    attribute,
    attributes,
    nested,
    string,
    text,
)
from enforcer.ruleset.vocabulary import REGISTERED_MINOR, REST_MINOR, SHAPER_MAJOR, Shaper

_GET_LINK = 18
_NEW_QDISC, _DEL_QDISC, _GET_QDISC = 36, 37, 38
_NEW_CLASS, _GET_CLASS = 40, 42
_ROOT = 0xFFFFFFFF
_LINK_MINOR = 0x1
_HANDLE = SHAPER_MAJOR << 16
_IFNAME = 3
_KIND, _OPTIONS = 1, 2
_PARAMETERS, _INIT, _RATE64, _CEIL64 = 1, 2, 6, 7
_STATS2, _STATS_QUEUE = 7, 3
_INIT_STRUCT = struct.Struct("=5I")
_RATE = "BBHhHI"
_CLASS_STRUCT = struct.Struct(f"={_RATE}{_RATE}5I")
_TCMSG = struct.Struct("=BxxxiIII")
_ETHERNET = 1
_VERSION, _RATE_TO_QUANTUM = 3, 10
_U32 = 0xFFFFFFFF
# psched counts time in 64 ns (PSCHED_SHIFT).
_TICK_NS = 64
_MTU = 1600
_SHORTEST_BURST_BYTES = 2 * _MTU
_BURSTS_PER_S = 250
# What an HTB gets that is to be emptied: faster than any link, so the device itself is the limit.
_UNSHAPED_BPS = 800_000_000_000
# A device that is itself at its limit never empties it; the end of a window waits no longer.
_DRAIN_S, _DRAIN_POLL_S = 0.1, 0.001
_TAMPERED_BPS = 1_000_000_000

# (device, bits per second) → a block in which nothing reaches the root qdisc of the device.
Shelter = Callable[[str, int], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Qdisc:
    """The root qdisc of a device. `handle` 0: the kernel's default."""

    device_index: int
    kind: str
    handle: int
    default_class: int | None

    @property
    def ours(self) -> bool:
        return self.kind == "htb" and self.handle == _HANDLE

    @property
    def foreign(self) -> bool:
        return not self.ours and self.handle != 0 and self.kind != "noqueue"


def read_devices(route: Netlink) -> dict[int, str]:
    """Index → name of every device of the namespace."""
    found = {}
    for reply in route.dump(Message(_GET_LINK, 0, struct.pack("=BxHiII", 0, 0, 0, 0, 0))):
        index = struct.unpack_from("=BxHi", reply.body)[2]
        found[index] = string(attributes(reply.body[16:])[_IFNAME])
    return found


def read_roots(route: Netlink) -> list[Qdisc]:
    found = []
    for reply in route.dump(Message(_GET_QDISC, 0, _TCMSG.pack(0, 0, 0, 0, 0))):
        _, index, handle, parent, _ = _TCMSG.unpack_from(reply.body)
        attrs = attributes(reply.body[_TCMSG.size :])
        kind = string(attrs[_KIND])
        if parent != _ROOT:
            continue
        default = None
        if kind == "htb" and _INIT in (options := attributes(attrs[_OPTIONS])):
            default = _INIT_STRUCT.unpack_from(options[_INIT])[2]
        found.append(Qdisc(index, kind, handle, default))
    return found


def read_shaper(route: Netlink, root: Qdisc, device: str) -> Shaper:
    """Our HTB on `device` as the kernel holds it. One that was tampered with has the registered
    share 0, which no policy gives: it never equals, and the next diff replaces it.
    """
    rates = {}
    for reply in route.dump(Message(_GET_CLASS, 0, _TCMSG.pack(0, root.device_index, 0, 0, 0))):
        _, _, handle, parent, _ = _TCMSG.unpack_from(reply.body)
        attrs = attributes(reply.body[_TCMSG.size :])
        if string(attrs[_KIND]) == "htb":
            rates[handle & 0xFFFF] = parent, *_class_rates(attributes(attrs[_OPTIONS]))
    top = rates.get(_LINK_MINOR, (0, 0, 0))
    registered = rates.get(REGISTERED_MINOR, (0, 0, 0))
    shaper = Shaper(device, top[1], registered[1])
    whole = root.default_class == REST_MINOR and rates == {
        minor: (parent, rate_bps, shaper.rate_bps) for minor, parent, rate_bps in _classes(shaper)
    }
    return shaper if whole else Shaper(device, top[1], 0)


def _class_rates(options: dict[int, memoryview]) -> tuple[int, int]:
    """(rate, ceil) of a class in bits per second."""
    fields = _CLASS_STRUCT.unpack_from(options[_PARAMETERS])
    rate, ceil = fields[5], fields[11]
    if _RATE64 in options:
        rate = struct.unpack("=Q", options[_RATE64])[0]
    if _CEIL64 in options:
        ceil = struct.unpack("=Q", options[_CEIL64])[0]
    return rate * 8, ceil * 8


def _classes(shaper: Shaper) -> list[tuple[int, int, int]]:
    """(minor, parent handle, guaranteed rate); all of them may borrow up to the link's rate.

    The kernel says of a class below the root's that its parent is the root handle's.
    """
    top = _HANDLE | _LINK_MINOR
    return [
        (_LINK_MINOR, _ROOT, shaper.rate_bps),
        (REGISTERED_MINOR, top, shaper.registered_bps),
        (REST_MINOR, top, shaper.rest_bps),
    ]


def put(route: Netlink, shaper: Shaper, index: int, label: str, shelter: Shelter) -> None:
    """Puts our HTB on the device `index`, or brings one of ours up to date in place.

    Raises KernelError: EBUSY when the root qdisc is another program's.
    """
    root = next((each for each in read_roots(route) if each.device_index == index), None)
    if root is not None and root.foreign:
        raise kernel_error(label, errno.EBUSY, f"the root qdisc {root.kind} is not ours")
    fresh = root is None or not root.ours or root.default_class != REST_MINOR
    try:
        if fresh and root is not None and root.ours:
            remove(route, shaper.device, index, shelter)
        if fresh:
            with shelter(shaper.device, shaper.rate_bps):
                put_root(route, shaper, index)
        else:
            _put_classes(route, shaper, index)
    except OSError as error:
        if fresh and error.errno != errno.EEXIST:
            remove(route, shaper.device, index, shelter)
        number = errno.EBUSY if error.errno == errno.EEXIST else error.errno or errno.EIO
        raise kernel_error(label, number) from None


def put_root(route: Netlink, shaper: Shaper, index: int) -> None:
    """Our HTB in place of the kernel's default. Raises OSError, EEXIST where another stands."""
    init = _INIT_STRUCT.pack(_VERSION, _RATE_TO_QUANTUM, REST_MINOR, 0, 0)
    route.request(_htb(_NEW_QDISC, EXCLUSIVE, index, _HANDLE, _ROOT, attribute(_INIT, init)))
    _put_classes(route, shaper, index)


def _put_classes(route: Netlink, shaper: Shaper, index: int) -> None:
    for minor, parent, rate_bps in _classes(shaper):
        parent = _HANDLE if parent == _ROOT else parent
        options = _class_options(rate_bps, shaper.rate_bps)
        route.request(_htb(_NEW_CLASS, REPLACE, index, _HANDLE | minor, parent, *options))


def remove(route: Netlink, device: str, index: int, shelter: Shelter) -> None:
    """Takes our HTB off a device. Nothing to do when it is not there, or no longer ours.

    The kernel throws away what is queued in a qdisc that goes (dev_deactivate_many), so it is
    emptied first, and what comes in meanwhile waits in the shelter.
    """
    root = next((r for r in read_roots(route) if r.device_index == index and r.ours), None)
    if root is None:
        return
    rate_bps = 0
    # Going is what matters: an HTB that somebody tampered with goes with what is in it.
    with suppress(OSError, *MALFORMED):
        rate_bps = read_shaper(route, root, device).rate_bps
        _unshape(route, index)
        _drain(route, index)
    with shelter(device, rate_bps or _TAMPERED_BPS):
        with suppress(OSError, *MALFORMED):
            _drain(route, index)
        route.request(Message(_DEL_QDISC, ACK, _TCMSG.pack(0, index, _HANDLE, _ROOT, 0)))


def _unshape(route: Netlink, index: int) -> None:
    """Takes all limits off our HTB."""
    _put_classes(route, Shaper("", _UNSHAPED_BPS, _UNSHAPED_BPS // 2), index)


def _drain(route: Netlink, index: int) -> None:
    """Waits, not for long, until nothing is queued in it."""
    deadline = time.monotonic() + _DRAIN_S
    while queued(route, index) and time.monotonic() < deadline:
        time.sleep(_DRAIN_POLL_S)


def queued(route: Netlink, index: int) -> int:
    """Packets in our HTB (struct gnet_stats_queue, <linux/gen_stats.h>)."""
    for reply in route.dump(Message(_GET_QDISC, 0, _TCMSG.pack(0, 0, 0, 0, 0))):
        _, device, handle, parent, _ = _TCMSG.unpack_from(reply.body)
        if (device, handle, parent) == (index, _HANDLE, _ROOT):
            stats = attributes(attributes(reply.body[_TCMSG.size :])[_STATS2])
            return int(struct.unpack_from("=I", stats[_STATS_QUEUE])[0])
    return 0


def _htb(kind: int, flags: int, index: int, handle: int, parent: int, *options: bytes) -> Message:
    body = _TCMSG.pack(0, index, handle, parent, 0)
    return Message(
        kind, ACK | CREATE | flags, body + text(_KIND, "htb") + nested(_OPTIONS, *options)
    )


def _class_options(rate_bps: int, ceil_bps: int) -> list[bytes]:
    rate, ceil = rate_bps // 8, ceil_bps // 8
    # What a class may send at once when its turn comes, in proportion to its rate: 10 ms of the
    # link. Given always, because the kernel's own guess is far too big for fast links.
    turn = min(200_000, max(10 * _MTU, ceil // 100))
    quantum = max(_MTU, turn * rate // ceil)
    packed = _CLASS_STRUCT.pack(
        *(0, _ETHERNET, 0, -1, 0, min(rate, _U32)),
        *(0, _ETHERNET, 0, -1, 0, min(ceil, _U32)),
        *(_burst_ticks(rate), _burst_ticks(ceil), quantum, 0, 0),
    )
    options = [attribute(_PARAMETERS, packed)]
    if rate > _U32:
        options.append(attribute(_RATE64, struct.pack("=Q", rate)))
    if ceil > _U32:
        options.append(attribute(_CEIL64, struct.pack("=Q", ceil)))
    return options


def _burst_ticks(rate: int) -> int:
    """The time that the burst of a class takes at its rate (bytes per second)."""
    burst = max(_SHORTEST_BURST_BYTES, rate // _BURSTS_PER_S)
    return min(_U32, burst * 1_000_000_000 // max(rate, 1) // _TICK_NS)
