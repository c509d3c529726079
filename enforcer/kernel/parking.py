"""Where the packets of a device go round while its root qdisc is exchanged, so that none is lost.

The kernel exchanges the root qdisc of a device that is up between `dev_deactivate` and
`dev_activate`; what arrives meanwhile meets `noop` and is dropped (docs/decisions/0016). So for
that moment the egress hook of the device forwards its packets into one end of a pair of virtual
devices, the other end forwards them back to the device, and they go round, at no more than the
link's own rate, until the new root is there. A timeout in the kernel ends that should we be killed
in the middle: what is in the pair leaves then, and the next daemon takes the pair away.

In: an nfnetlink and an rtnetlink socket. Ethernet only: others have no header to carry along.
Source: net/netfilter/nft_fwd_netdev.c, nf_hook_egress (<linux/netfilter_netdev.h>), veth.c.
"""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from enforcer.kernel import decode, shaping
from enforcer.kernel import numbers as n
from enforcer.kernel.encode import expression
from enforcer.kernel.netlink import Netlink
from enforcer.kernel.wire import (
    ACK,
    APPEND,
    CREATE,
    EXCLUSIVE,
    MALFORMED,
    Message,
    attribute,
    be32,
    be64,
    nested,
    nftables,
    text,
)
from enforcer.ruleset.vocabulary import NFPROTO, TABLE, Shaper

# The two ends of the pair.
INWARD, BACKWARD = "enforcer-lot0", "enforcer-lot1"
DEVICES = frozenset({INWARD, BACKWARD})

_FAMILY_NETDEV = 5
_INGRESS, _EGRESS = 0, 1
_SET, _LEAVING, _COMING_BACK = "parked", "leaving", "coming_back"
_KEY = bytes([NFPROTO[4]])
_REGISTER = 1
# An exchange takes milliseconds, a few hundred on a busy machine.
_LONGEST_MS = 500
# What nothing is queued for any more may still wait for its turn on a processor.
_EMPTY_S, _POLL_S, _SETTLED_S = 0.2, 0.001, 0.02
_ATTEMPTS = 5
# On a slow link, too, a packet comes round in about a millisecond.
_SLOWEST_BPS = 10_000_000

_NEW_LINK, _DEL_LINK, _GET_LINK = 16, 17, 18
_IFINFO = struct.Struct("=BxHiII")
_IFNAME, _MTU, _QUEUE_LENGTH, _LINKINFO, _AF_SPEC = 3, 4, 13, 18, 26
_KIND, _DATA, _VETH_PEER = 1, 2, 1
_INET6, _ADDRESS_MODE, _NO_ADDRESSES = 10, 8, 1
_UP, _ETHERNET = 1, 1
# Any frame fits. The queue holds a tenth of a second of a gigabit in small packets.
_LONGEST_FRAME, _QUEUED_PACKETS = 65535, 20_000


class Parking:
    """For one commit; `close` leaves nothing behind. To `made` come the generations that its own
    transactions make.
    """

    def __init__(self, netfilter: Netlink, route: Netlink, made: list[int]) -> None:
        self._netfilter, self._route, self._made = netfilter, route, made
        self._stands = False

    @contextmanager
    def parked(self, device: str, rate_bps: int) -> Iterator[None]:
        """Nothing that leaves by `device` meets its root qdisc inside the block, for as long as
        `_LONGEST_MS`; or all does as ever, where the kernel or the device does not allow this.
        """
        ready = False
        with suppress(OSError, *MALFORMED):
            self.close()
            self._stands = True
            ready = self._open(device, rate_bps)
        try:
            yield
        finally:
            if ready:
                with suppress(OSError, *MALFORMED):
                    self._commit([released()])

    def close(self) -> None:
        """Takes away what stands of this commit. Raises OSError."""
        if self._stands:
            self.clear()
            self._stands = False

    def clear(self) -> None:
        """Takes it away whoever made it, when it is empty, for which it does not wait for long.
        Raises OSError.
        """
        pair = {name: index for index, name in shaping.read_devices(self._route).items()}
        if INWARD in pair:
            deadline = time.monotonic() + _EMPTY_S
            while shaping.queued(self._route, pair[INWARD]) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            time.sleep(_SETTLED_S)
        if self._is_ours():
            self._commit([gone()])
        for name in sorted(DEVICES & pair.keys())[:1]:
            self._route.request(pair_gone(pair[name]))

    def _open(self, device: str, rate_bps: int) -> bool:
        """Whether it stands and everything is parked. Raises OSError."""
        index = self._index(device)
        if index is not None:
            self._make_pair()
            self._forward(device, index, max(rate_bps, _SLOWEST_BPS))
        return index is not None

    def refusal(self) -> int | None:
        """The errno with which this kernel refuses it, None: it takes it. Tried on the pair itself,
        in a namespace where nothing leaves by it; takes it away again.
        """
        try:
            self._stands = True
            self._make_pair()
            self._forward(BACKWARD, self._index(BACKWARD) or 0, _SLOWEST_BPS)
            self.close()
        except OSError as error:
            with suppress(OSError):
                self.close()
            return error.errno
        return None

    def _forward(self, device: str, index: int, rate_bps: int) -> None:
        """From now on all that leaves by `device` goes round. Raises OSError."""
        inward = self._index(INWARD) or 0
        shaping.put_root(self._route, Shaper(INWARD, rate_bps, rate_bps // 2), inward)
        self._commit(forwarding(device, index, inward))

    def _index(self, device: str) -> int | None:
        """The index of a device, if it is an Ethernet one."""
        (reply,) = self._route.request(asked_for(device))
        _, hardware, index, _, _ = _IFINFO.unpack_from(reply.body)
        return index if hardware == _ETHERNET else None

    def _make_pair(self) -> None:
        made, *looks = pair()
        self._route.request(made)
        for message in looks:
            try:
                self._route.request(message)
            except OSError as error:
                # No IPv6 here, so nothing to keep silent.
                if error.errno != errno.EAFNOSUPPORT:
                    raise

    def _is_ours(self) -> bool:
        try:
            (reply,) = self._netfilter.request(asked_for_table())
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        userdata = decode.body(reply).get(n.Table.USERDATA, b"")
        return n.comment_text(bytes(userdata)) == n.OUR_COMMENT

    def _commit(self, messages: list[Message]) -> None:
        """One transaction against whatever generation is there. Raises OSError."""
        refused = errno.ERESTART
        for _ in range(_ATTEMPTS):
            generation = self._generation()
            answers = self._netfilter.batch(generation, lambda _: messages, [])
            refused = next((answer for answer in answers if answer), 0)
            if not refused:
                if self._generation() != generation:
                    self._made.append(n.next_generation(generation))
                return
            if refused != errno.ERESTART:
                break
        raise OSError(refused, "netlink")

    def _generation(self) -> int:
        (reply,) = self._netfilter.request(nftables(n.Msg.GET_GENERATION, 0))
        return decode.generation(decode.body(reply))[0]


def asked_for(device: str) -> Message:
    return Message(_GET_LINK, 0, _IFINFO.pack(0, 0, 0, 0, 0) + text(_IFNAME, device))


def asked_for_table() -> Message:
    return _netdev(n.Msg.GET_TABLE, 0)


def pair_gone(index: int) -> Message:
    """Of one end; the other goes with it."""
    return Message(_DEL_LINK, ACK, _IFINFO.pack(0, 0, index, 0, 0))


def pair() -> list[Message]:
    """The virtual devices, on rtnetlink: made, kept silent, up."""
    nothing, up = _IFINFO.pack(0, 0, 0, 0, 0), _IFINFO.pack(0, 0, 0, _UP, _UP)
    size = attribute(_MTU, struct.pack("=I", _LONGEST_FRAME))
    size += attribute(_QUEUE_LENGTH, struct.pack("=I", _QUEUED_PACKETS))
    peer = attribute(_VETH_PEER, nothing + text(_IFNAME, BACKWARD) + size)
    info = nested(_LINKINFO, text(_KIND, "veth"), nested(_DATA, peer))
    # No address of its own: nothing that the kernel says by itself may go this way.
    silent = nested(_AF_SPEC, nested(_INET6, attribute(_ADDRESS_MODE, bytes([_NO_ADDRESSES]))))
    made = Message(
        _NEW_LINK, ACK | CREATE | EXCLUSIVE, nothing + text(_IFNAME, INWARD) + size + info
    )
    ends = [text(_IFNAME, INWARD), text(_IFNAME, BACKWARD)]
    return [
        made,
        *(Message(_NEW_LINK, ACK, nothing + end + silent) for end in ends),
        *(Message(_NEW_LINK, ACK, up + end) for end in ends),
    ]


def forwarding(device: str, index: int, inward: int) -> list[Message]:
    """One nf_tables transaction, in force at once: `index` is the device's, `inward` the pair's."""
    parked = be32(n.Set.KEY_TYPE, n.KEY_TYPES["nf_proto"]), be32(n.Set.KEY_LENGTH, len(_KEY))
    one = nested(n.Set.DESCRIPTION, be32(n.SET_DESCRIPTION_SIZE, 1))
    ours = attribute(n.Table.USERDATA, n.comment(n.OUR_COMMENT))
    kind = be32(n.Set.FLAGS, n.SET_TIMEOUT)
    name = text(n.Set.NAME, _SET)
    asked = [
        expression(("immediate", _REGISTER, _KEY)),
        expression(("lookup", _SET, _REGISTER)),
    ]
    return [
        _netdev(n.Msg.NEW_TABLE, CREATE | EXCLUSIVE, ours),
        _netdev(n.Msg.NEW_SET, CREATE | EXCLUSIVE, name, kind, *parked, one, be32(n.Set.ID, 1)),
        _element(n.Msg.NEW_ELEMENT, be64(n.Element.TIMEOUT, _LONGEST_MS)),
        *_chain(_COMING_BACK, _INGRESS, BACKWARD, index, []),
        *_chain(_LEAVING, _EGRESS, device, inward, asked),
    ]


def released() -> Message:
    """What leaves by the device leaves by it again."""
    return _element(n.Msg.DEL_ELEMENT)


def gone() -> Message:
    return _netdev(n.Msg.DEL_TABLE, 0)


def _netdev(kind: n.Msg, flags: int, *more: bytes) -> Message:
    return nftables(kind, flags, text(n.Table.NAME, TABLE), *more, family=_FAMILY_NETDEV)


def _element(kind: n.Msg, *more: bytes) -> Message:
    key = nested(n.Element.KEY, attribute(n.DATA_VALUE, _KEY))
    listed = nested(n.Elements.LIST, nested(n.LIST_ENTRY, key, *more))
    flags = CREATE if kind == n.Msg.NEW_ELEMENT else 0
    return _netdev(kind, flags, text(n.Elements.SET, _SET), listed)


def _chain(chain: str, hook: int, device: str, to: int, asked: list[bytes]) -> list[Message]:
    """A chain on `device` that sends everything that is `asked` for on by the device `to`."""
    place = [
        be32(n.HookAttr.NUMBER, hook),
        be32(n.HookAttr.PRIORITY, 0),
        text(n.HookAttr.DEVICE, device),
    ]
    where = expression(("immediate", _REGISTER, struct.pack("=I", to)))
    forward = nested(n.LIST_ENTRY, text(1, "fwd"), nested(2, be32(1, _REGISTER)))
    return [
        _netdev(
            n.Msg.NEW_CHAIN,
            CREATE | EXCLUSIVE,
            text(n.Chain.NAME, chain),
            nested(n.Chain.HOOK, *place),
            be32(n.Chain.POLICY, n.POLICY_ACCEPT),
            text(n.Chain.TYPE, "filter"),
        ),
        _netdev(
            n.Msg.NEW_RULE,
            CREATE | APPEND,
            text(n.Rule.CHAIN, chain),
            nested(n.Rule.EXPRESSIONS, *asked, where, forward),
        ),
    ]
