"""What others do to the kernel, as they do it: ruleset transactions, links, qdiscs.

In: two multicast sockets. Out: `KernelEvent`s, one for each transaction. They are a hint to read
the kernel again, never a substitute for reading it: after `overflow` anything may have happened.

That nothing is missed is proven, not hoped: the kernel numbers its transactions (the generation),
so a number left out, or one that the kernel has reached and nobody told of, is an `overflow` too.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from enforcer.errors import KernelError
from enforcer.kernel import decode
from enforcer.kernel import numbers as n
from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.netlink import (
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    Netlink,
    join_group,
    leave_group,
    open_socket,
)
from enforcer.kernel.remedies import telling
from enforcer.kernel.shaping import read_devices
from enforcer.kernel.wire import (
    FAMILY_INET,
    MALFORMED,
    Reply,
    attributes,
    each_attribute,
    string,
    whole_replies,
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
# Port ids above this are not process ids: the kernel gives them to a process's second socket.
_LAST_PID = 1 << 22
_GENERATIONS = 1 << 32
_ELEMENTS = {n.Msg.NEW_ELEMENT, n.Msg.DEL_ELEMENT}
_SETS = {n.Msg.NEW_SET, n.Msg.DEL_SET} | _ELEMENTS


@dataclass(frozen=True, slots=True)
class KernelEvent:
    """Something changed. `kind` says what `detail` is about:

    `ours`: a ruleset transaction that touched our table; detail: which kinds of objects; `sets`:
    the sets and maps of ours that came, went or had their elements changed. `ruleset`: a
    transaction that did not. `link`: `wan0 up`, `wan0 down`, `wan0 deleted`, `wan0 is now wan1`.
    `qdisc`: `wan0 htb added`. Both name the `devices` they are about (empty: unknown). `overflow`:
    events were lost, read everything again. `generation`, `pid` and `program` tell of the maker,
    where the kernel says so; `by_us`: it was of our making (`Monitor.own`, `Monitor.own_ports`).
    """

    kind: Literal["ours", "ruleset", "link", "qdisc", "overflow"]
    detail: str
    generation: int | None = None
    pid: int | None = None
    program: str | None = None
    sets: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    by_us: bool = False


class Monitor:
    """Listens from construction on. `fileno` is readable when `drain` has something to tell."""

    def __init__(self, namespace: str | None = None) -> None:
        with telling("monitor"):
            with in_namespace(namespace):
                self._netfilter = open_socket(NETLINK_NETFILTER, (), _RECEIVE_BYTES)
                self._route = open_socket(NETLINK_ROUTE, (_GROUP_LINK, _GROUP_TC), _RECEIVE_BYTES)
                # An event of a new name tells nothing of the old one.
                route = Netlink(NETLINK_ROUTE)
            try:
                names = read_devices(route)
            finally:
                route.close()
            join_group(self._netfilter, _GROUP_NFTABLES)
        self._heard_nothing(names)
        self._poll = select.epoll()
        for sock in (self._netfilter, self._route):
            self._poll.register(sock, select.EPOLLIN)

    def _heard_nothing(self, names: dict[int, str]) -> None:
        """`names` are the devices that are there, by their index."""
        self._names = names
        self._up: dict[int, bool] = {}
        # Of our table, in the transaction whose end has not been read yet.
        self._touched: set[str] = set()
        self._sets: set[str] = set()
        # Kind and beginning of the last element event: of a set that is flushed come thousands that
        # begin alike and tell nothing new.
        self._told: tuple[int, bytes] | None = None
        self._own: deque[int] = deque(maxlen=256)
        self._own_ports = frozenset[int]()
        # The last generation that was told of, or is known to be ours; None: none yet.
        self._heard: int | None = None
        self._lost = False
        self._suspect: int | None = None

    def fileno(self) -> int:
        return self._poll.fileno()

    def close(self) -> None:
        self._poll.close()
        self._netfilter.close()
        self._route.close()

    @contextmanager
    def deaf(
        self, generation: Callable[[], int], made: Callable[[], Collection[int]]
    ) -> Iterator[None]:
        """Hears nothing of the ruleset inside the block: for a bulk load of our own, of which the
        kernel would otherwise report every element. `generation` asks the kernel for it: when it
        moved further than by the transactions that were `made` in the block, the next drain tells
        of an overflow.
        """
        before = generation()
        leave_group(self._netfilter, _GROUP_NFTABLES)
        try:
            yield
        finally:
            join_group(self._netfilter, _GROUP_NFTABLES)
            try:
                after = generation()
                self._lost |= _ahead(after, before) > len(made())
                self._advance(after)
            except KernelError:
                self._heard, self._lost = None, True

    def own(self, generation: int) -> None:
        """A transaction of ours made this generation. By number, not by process id: that is another
        one in a container than outside.
        """
        self._own.append(generation)

    def own_ports(self, ports: frozenset[int]) -> None:
        """By sockets of these port ids we change links and qdiscs. Only a process's first socket
        has its process id for a port.
        """
        self._own_ports = ports

    def missed(self, generation: int) -> bool:
        """Whether a generation that the kernel was at when this was last asked has not been told of
        since. Asked after a drain; not at once, because a number may be there before its event.
        """
        heard, suspect = self._heard, self._suspect
        self._suspect = generation
        if heard is None or suspect is None or not _is_after(suspect, heard):
            return False
        self._heard = suspect
        return True

    def _advance(self, generation: int) -> None:
        if self._heard is None or _is_after(generation, self._heard):
            self._heard = generation

    def drain(self) -> list[KernelEvent]:
        """Everything that waits, in order; never blocks, never raises."""
        events: list[KernelEvent] = []
        for sock, read in (
            (self._netfilter, self._ruleset_event),
            (self._route, self._route_event),
        ):
            for reply in self._waiting(sock, events):
                try:
                    events += read(reply)
                except MALFORMED:
                    # What it told is as lost as if it had not come.
                    self._overflow(events, "an event was not understood")
        if self._lost:
            events.append(KernelEvent("overflow", "somebody committed while we loaded"))
            self._lost = False
        return events

    def _waiting(self, sock: socket.socket, events: list[KernelEvent]) -> Iterator[Reply]:
        for _ in range(_DATAGRAMS_PER_DRAIN):
            try:
                data = sock.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                self._overflow(events)
                if error.errno == errno.ENOBUFS:
                    continue
                return
            try:
                yield from whole_replies(data)
            except OSError:
                self._overflow(events)

    def _overflow(self, events: list[KernelEvent], why: str = "events were lost") -> None:
        self._forget()
        self._heard = None
        events.append(KernelEvent("overflow", why))

    def _forget(self) -> None:
        self._touched.clear()
        self._sets.clear()
        self._told = None

    def _ruleset_event(self, reply: Reply) -> list[KernelEvent]:
        kind = reply.nft_kind
        if kind != n.Msg.NEW_GENERATION:
            if (
                self._told
                and kind == self._told[0]
                and reply.body[: len(self._told[1])] == self._told[1]
            ):
                return []
            if kind >= 0 and _is_ours(reply):
                self._touched.add(_kind_name(kind))
                if kind in _SETS:
                    self._sets.add(string(attributes(reply.body[4:])[2]))
                if kind in _ELEMENTS and (beginning := _beginning(reply)):
                    self._told = kind, beginning
            return []
        generation, pid, program = decode.generation(decode.body(reply))
        events = []
        if self._heard is not None and _is_after(generation, self._heard + 1):
            events.append(KernelEvent("overflow", "a transaction was not told of"))
        self._advance(generation)
        touched, sets = " ".join(sorted(self._touched)), frozenset(self._sets)
        self._forget()
        about: Literal["ours", "ruleset"] = "ours" if touched else "ruleset"
        by_us = generation in self._own
        events.append(KernelEvent(about, touched, generation, pid, program, sets, by_us=by_us))
        return events

    def _route_event(self, reply: Reply) -> list[KernelEvent]:
        if reply.kind in (_NEW_LINK, _DEL_LINK):
            return self._link_event(reply)
        if reply.kind in (_NEW_QDISC, _DEL_QDISC):
            index = struct.unpack_from("=Bxxxi", reply.body)[1]
            kind = string(attributes(reply.body[20:])[_TC_KIND])
            done = "added" if reply.kind == _NEW_QDISC else "deleted"
            name = self._names.get(index)
            about = frozenset({name}) if name else frozenset[str]()
            detail = f"{name or index} {kind} {done}"
            return [self._about_devices("qdisc", detail, about, reply)]
        return []

    def _link_event(self, reply: Reply) -> list[KernelEvent]:
        index, flags = struct.unpack_from("=BxHiI", reply.body)[2:4]
        name = string(attributes(reply.body[16:])[_IFNAME])
        before, was_up = self._names.get(index), self._up.get(index)
        up = bool(flags & _UP)
        detail = f"{name} {'up' if up else 'down'}"
        if reply.kind == _DEL_LINK:
            self._names.pop(index, None)
            self._up.pop(index, None)
            detail = f"{name} deleted"
        else:
            self._names[index], self._up[index] = name, up
            if before not in (None, name):
                detail = f"{before} is now {name}"
            elif was_up == up and before is not None:
                # Statistics, carrier, addresses of a bridge: nothing that rules or qdiscs ask.
                return []
        about = frozenset(each for each in (before, name) if each is not None)
        return [self._about_devices("link", detail, about, reply)]

    def _about_devices(
        self, kind: Literal["link", "qdisc"], detail: str, about: frozenset[str], reply: Reply
    ) -> KernelEvent:
        by_us = reply.port in self._own_ports
        return KernelEvent(kind, detail, pid=_pid(reply), devices=about, by_us=by_us)


def _is_ours(reply: Reply) -> bool:
    if reply.body[0] != FAMILY_INET:
        return False
    # Attribute 1, and the first to come, names the table in every kind of message.
    first = next(each_attribute(reply.body[4:]), None)
    return first is not None and first[0] == 1 and string(first[1]) == TABLE


def _beginning(reply: Reply) -> bytes | None:
    """An event of elements up to its second attribute: table and set come first, in this order."""
    first = list(islice(each_attribute(reply.body[4:]), 2))
    if [number for number, _ in first] != [1, 2]:
        return None
    return bytes(reply.body[: 4 + sum(4 + len(value) + 3 & ~3 for _, value in first)])


def _kind_name(kind: int) -> str:
    try:
        return n.Msg(kind).name.lower()
    except ValueError:
        return f"message_{kind}"


def _pid(reply: Reply) -> int | None:
    """The process that asked for the change, where its socket tells it."""
    return reply.port if 0 < reply.port <= _LAST_PID else None


def _is_after(generation: int, other: int) -> bool:
    return 0 < _ahead(generation, other) < _GENERATIONS // 2


def _ahead(generation: int, other: int) -> int:
    """How many transactions `generation` is ahead of `other`; it wraps at 32 bits."""
    return (generation - other) % _GENERATIONS
