"""The kernel's answers, spoilt: a `NftKernel` whose sockets answer from an input.

An input is a bag of netlink messages. Whoever asks for objects of a kind is given the messages of
that kind in the bag, so that a change of one byte stays a change of one answer.
"""

from __future__ import annotations

import contextlib
import itertools
import struct
from typing import Any

from enforcer.errors import KernelError
from enforcer.kernel import numbers as n
from enforcer.kernel.events import Monitor
from enforcer.kernel.netlink import Netlink
from enforcer.kernel.nft import NftKernel
from enforcer.kernel.wire import SUBSYSTEM_NFTABLES, Message, Reply, replies
from enforcer.ruleset.transaction import ChainState, SetState

# Requests of rtnetlink are two above the messages that answer them.
_ROUTE_GET, _ROUTE_NEW = 2, 0
_ANSWERS = {
    n.Msg.GET_GENERATION: n.Msg.NEW_GENERATION,
    n.Msg.GET_TABLE: n.Msg.NEW_TABLE,
    n.Msg.GET_RULE: n.Msg.NEW_RULE,
    n.Msg.GET_CHAIN: n.Msg.NEW_CHAIN,
    n.Msg.GET_SET: n.Msg.NEW_SET,
    n.Msg.GET_ELEMENT: n.Msg.NEW_ELEMENT,
    n.Msg.GET_OBJECT: n.Msg.NEW_OBJECT,
}


class Bag(Netlink):
    """A socket that answers from the bag."""

    def __init__(self, messages: list[Reply]) -> None:
        self._messages = messages

    def _for(self, message: Message) -> list[Reply]:
        if message.kind >> 8:
            kind = message.kind & 0xFF00 | _ANSWERS[n.Msg(message.nft_kind)]
        else:
            kind = message.kind - _ROUTE_GET + _ROUTE_NEW
        return [reply for reply in self._messages if reply.kind == kind]

    def request(self, message: Message) -> list[Reply]:
        found = self._for(message)
        if not found and message.nft_kind != n.Msg.GET_GENERATION:
            raise OSError(2, "netlink")
        return found[:1] or [Reply(0, 0, 0, memoryview(b"\0\0\0\x0a\x08\0\x01\0\0\0\0\x07"))]

    def dump(self, message: Message) -> list[Reply]:
        return self._for(message)

    def gets(self, messages: list[Message]) -> list[Reply]:
        return [(self._for(message) or self._messages)[0] for message in messages]


class _Datagrams:
    """A socket with datagrams waiting in it."""

    def __init__(self, *datagrams: bytes) -> None:
        self._waiting = itertools.chain(datagrams)

    def recv(self, size: int, flags: int = 0) -> bytes:
        for datagram in self._waiting:
            return datagram[:size]
        raise BlockingIOError


def kernel(data: bytes) -> None:
    """Read, counters and elements of a kernel that answers with the messages in `data`."""
    bag = Bag(list(replies(data)))
    made = NftKernel.__new__(NftKernel)
    made._netfilter = made._route = bag
    try:
        state = made.read()
        for chain in state.chains.values():
            assert isinstance(chain, ChainState)
        for held in state.sets.values():
            assert isinstance(held, SetState)
    except KernelError:
        pass
    with contextlib.suppress(KernelError):
        made.counters()
    if bag.dump(Message(SUBSYSTEM_NFTABLES << 8 | n.Msg.GET_ELEMENT, 0, b"")):
        with contextlib.suppress(KernelError):
            made.elements("reg4-24-16", [b"\1\2\3\0"])


def events(data: bytes) -> None:
    """The monitor hears `data` on both of its sockets."""
    monitor: Any = Monitor.__new__(Monitor)
    monitor._netfilter, monitor._route = _Datagrams(data), _Datagrams(data)
    monitor._heard_nothing({1: "wan0"})
    for event in monitor.drain():
        assert "\n" not in event.kind


def packed(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body + bytes(-len(body) % 4)
