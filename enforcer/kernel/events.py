"""What others do to the kernel, as they do it: ruleset transactions, links, qdiscs.

In: two multicast sockets. Out: `KernelEvent`s, one for each transaction. They are a hint to read
the kernel again, never a substitute for reading it: after `overflow` anything may have happened.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from enforcer.kernel import decode
from enforcer.kernel import numbers as n
from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.netlink import (
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    join_group,
    leave_group,
    open_socket,
)
from enforcer.kernel.remedies import kernel_error
from enforcer.kernel.wire import (
    FAMILY_INET,
    MALFORMED,
    Reply,
    attributes,
    each_attribute,
    replies,
    string,
)
from enforcer.ruleset.vocabulary import TABLE

_GROUP_NFTABLES, _GROUP_LINK, _GROUP_TC = 7, 1, 4
# A load of 10,000 elements overflows the default; the kernel takes memory only as it is needed.
_RECEIVE_BYTES = 32 << 20
# One drain ends in bounded time even while another program floods us; the rest stays readable.
_DATAGRAMS_PER_DRAIN = 4096
_READ_BYTES = 1 << 16
_NEW_LINK, _DEL_LINK = 16, 17
_NEW_QDISC, _DEL_QDISC = 36, 37
_IFNAME, _TC_KIND = 3, 1
_UP = 1


@dataclass(frozen=True, slots=True)
class KernelEvent:
    """Something changed. `kind` says what `detail` is about:

    `ours`: a ruleset transaction that touched our table; detail: which kinds of objects.
    `ruleset`: a transaction that did not. `link`: `wan0 up`, `wan0 down`, `wan0 deleted`.
    `qdisc`: `7 htb added` (device index). `overflow`: events were lost, read everything again.
    `generation`, `pid` and `program` tell of a transaction's maker, where the kernel says so.
    """

    kind: Literal["ours", "ruleset", "link", "qdisc", "overflow"]
    detail: str
    generation: int | None = None
    pid: int | None = None
    program: str | None = None


class Monitor:
    """Listens from construction on. `fileno` is readable when `drain` has something to tell."""

    def __init__(self, namespace: str | None = None) -> None:
        try:
            with in_namespace(namespace):
                self._netfilter = open_socket(NETLINK_NETFILTER, (), _RECEIVE_BYTES)
                self._route = open_socket(NETLINK_ROUTE, (_GROUP_LINK, _GROUP_TC), _RECEIVE_BYTES)
            join_group(self._netfilter, _GROUP_NFTABLES)
        except OSError as error:
            raise kernel_error("monitor", error.errno or errno.EIO) from None
        # Kinds of objects of our table in the transaction whose end has not been read yet.
        self._touched: set[str] = set()
        self._poll = select.epoll()
        for sock in (self._netfilter, self._route):
            self._poll.register(sock, select.EPOLLIN)

    def fileno(self) -> int:
        return self._poll.fileno()

    def close(self) -> None:
        self._poll.close()
        self._netfilter.close()
        self._route.close()

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Hears nothing of the ruleset inside the block: for bulk loads of our own, of which the
        kernel would otherwise report every element. Read the kernel afterwards.
        """
        leave_group(self._netfilter, _GROUP_NFTABLES)
        try:
            yield
        finally:
            join_group(self._netfilter, _GROUP_NFTABLES)

    def drain(self) -> list[KernelEvent]:
        """Everything that waits, in order; never blocks."""
        events: list[KernelEvent] = []
        for sock, read in ((self._netfilter, self._ruleset_event), (self._route, _route_event)):
            for reply in self._waiting(sock, events):
                try:
                    event = read(reply)
                except MALFORMED:
                    # What it told is as lost as if it had not come.
                    event = KernelEvent("overflow", "an event was not understood")
                if event is not None:
                    events.append(event)
        return events

    def _waiting(self, sock: socket.socket, events: list[KernelEvent]) -> Iterator[Reply]:
        for _ in range(_DATAGRAMS_PER_DRAIN):
            try:
                data = sock.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise kernel_error("monitor", error.errno or errno.EIO) from None
                self._touched.clear()
                events.append(KernelEvent("overflow", "events were lost"))
                continue
            yield from replies(data)

    def _ruleset_event(self, reply: Reply) -> KernelEvent | None:
        kind = reply.nft_kind
        if kind != n.Msg.NEW_GENERATION:
            if kind >= 0 and _is_ours(reply):
                self._touched.add(_kind_name(kind))
            return None
        generation, pid, program = decode.generation(decode.body(reply))
        touched = " ".join(sorted(self._touched))
        self._touched.clear()
        return KernelEvent("ours" if touched else "ruleset", touched, generation, pid, program)


def _is_ours(reply: Reply) -> bool:
    if reply.body[0] != FAMILY_INET:
        return False
    # Attribute 1, and the first to come, names the table in every kind of message.
    first = next(each_attribute(reply.body[4:]), None)
    return first is not None and first[0] == 1 and string(first[1]) == TABLE


def _kind_name(kind: int) -> str:
    try:
        return n.Msg(kind).name.lower()
    except ValueError:
        return f"message_{kind}"


def _route_event(reply: Reply) -> KernelEvent | None:
    if reply.kind in (_NEW_LINK, _DEL_LINK):
        flags = struct.unpack_from("=BxHiI", reply.body)[3]
        name = string(attributes(reply.body[16:])[_IFNAME])
        state = "deleted" if reply.kind == _DEL_LINK else "up" if flags & _UP else "down"
        return KernelEvent("link", f"{name} {state}")
    if reply.kind in (_NEW_QDISC, _DEL_QDISC):
        index = struct.unpack_from("=Bxxxi", reply.body)[1]
        kind = string(attributes(reply.body[20:])[_TC_KIND])
        done = "added" if reply.kind == _NEW_QDISC else "deleted"
        return KernelEvent("qdisc", f"{index} {kind} {done}")
    return None
