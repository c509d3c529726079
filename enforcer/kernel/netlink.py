"""A netlink socket: requests, dumps and batches, each with its replies.

In: messages of `wire`. Out: parsed replies, or OSError with the kernel's errno. The replies of
netfilter and rtnetlink stand in the receive buffer when `send` returns: nothing waits for long.
"""

from __future__ import annotations

import errno
import itertools
import select
import socket
import struct
from collections.abc import Callable, Sequence

from enforcer.kernel.series import Series
from enforcer.kernel.wire import (
    ACK,
    DUMP,
    DUMP_INTERRUPTED,
    NLMSG_DONE,
    Message,
    Reply,
    batch_edges,
    whole_replies,
)

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
_SOL_NETLINK, _ADD_MEMBERSHIP, _DROP_MEMBERSHIP, _CAP_ACK = 270, 1, 2, 10
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_RECEIVE_BYTES = 8 << 20
_READ_BYTES = 1 << 16
_PATIENCE_S = 5.0
_SMALL_BYTES = 1 << 16
# The kernel takes 1,024 pieces in one send (UIO_MAXIOV).
_MOST_PARTS = 1000


def _packed(parts: Sequence[Message | Series], first: int) -> list[bytes | memoryview]:
    """Each part with ACK and its sequence numbers, which run on from `first`."""
    found: list[bytes | memoryview] = []
    for part in parts:
        if isinstance(part, Series):
            found.append(part.packed(first))
            first += len(part)
        else:
            found.append(Message(part.kind, part.flags | ACK, part.body).packed(first))
            first += 1
    return found


def count(parts: Sequence[Message | Series]) -> int:
    """How many messages there are in all."""
    return sum(len(part) if isinstance(part, Series) else 1 for part in parts)


def open_socket(
    protocol: int, groups: tuple[int, ...] = (), receive_bytes: int = 0
) -> socket.socket:
    """A bound netlink socket, member of the multicast `groups`. Raises OSError."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        if receive_bytes:
            _force(sock, _SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_bytes)
        sock.bind((0, 0))
        for group in groups:
            join_group(sock, group)
    except BaseException:
        sock.close()
        raise
    return sock


def join_group(sock: socket.socket, group: int) -> None:
    sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)


def leave_group(sock: socket.socket, group: int) -> None:
    sock.setsockopt(_SOL_NETLINK, _DROP_MEMBERSHIP, group)


def _force(sock: socket.socket, forced: int, plain: int, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, plain, size)


class Netlink:
    """One socket for one protocol, used by one thread."""

    def __init__(self, protocol: int) -> None:
        self._socket = open_socket(protocol, receive_bytes=_RECEIVE_BYTES)
        # Errors without a copy of the message they answer, which may be 64 KiB long.
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._sequence = itertools.count(1)
        self._send_bytes = 0

    def close(self) -> None:
        self._socket.close()

    @property
    def port(self) -> int:
        """The port id by which the kernel names the maker of a change."""
        port: int = self._socket.getsockname()[0]
        return port

    def request(self, message: Message) -> list[Reply]:
        """Sends one request (with ACK, or one that answers by itself) and returns its answers."""
        sequence = next(self._sequence)
        self._discard()
        self._socket.send(message.packed(sequence))
        found: list[Reply] = []
        while True:
            for reply in self._receive():
                if reply.sequence != sequence:
                    continue
                if reply.error:
                    raise OSError(reply.error, "netlink")
                if reply.error is None:
                    found.append(reply)
                return found

    def gets(self, messages: list[Message]) -> list[Reply]:
        """Sends requests that answer with exactly one message each; their answers in order.

        A refusal is an answer too (`Reply.error`), not an exception.
        """
        first = next(self._sequence)
        self._sequence = itertools.count(first + len(messages))
        self._discard()
        self._grow(sum(len(message.body) + 20 for message in messages))
        for at, message in enumerate(messages):
            self._socket.send(message.packed(first + at))
        answers: dict[int, Reply] = {}
        while len(answers) < len(messages):
            for reply in self._receive():
                if 0 <= reply.sequence - first < len(messages):
                    answers[reply.sequence - first] = reply
        return [answers[at] for at in range(len(messages))]

    def dump(self, message: Message) -> list[Reply]:
        """All answers of a dump. Raises OSError, EINTR when the kernel says that it is torn."""
        sequence = next(self._sequence)
        self._discard()
        self._socket.send(
            Message(message.kind, message.flags | DUMP, message.body).packed(sequence)
        )
        found: list[Reply] = []
        torn = False
        while True:
            for reply in self._receive():
                if reply.sequence != sequence:
                    continue
                torn = torn or bool(reply.flags & DUMP_INTERRUPTED)
                if reply.error:
                    raise OSError(reply.error, "netlink dump")
                if reply.kind == NLMSG_DONE:
                    if len(reply.body) >= 4 and (
                        number := -struct.unpack_from("=i", reply.body)[0]
                    ):
                        raise OSError(number, "netlink dump")
                    if torn:
                        raise OSError(errno.EINTR, "netlink dump")
                    return found
                found.append(reply)

    def batch(
        self,
        generation: int,
        small: Callable[[int], list[Message]],
        bulk: Sequence[Message | Series],
    ) -> list[int | None]:
        """One transaction, `small` messages before `bulk`, in one send. The kernel's answers in
        that order, begin first (None: not refused): errno, 0 for acknowledged, None for lost.

        `small` is called with the bytes of the packed bulk at the last moment before sending, so
        that what it says about time is true. Lost answers (ENOBUFS on the receiving side) do not
        raise: the caller judges by what the kernel holds.
        """
        first, many = next(self._sequence), count(bulk)
        packed = _packed(bulk, first + 1)
        size = sum(map(len, packed))
        self._discard()
        self._grow(size + _SMALL_BYTES)
        messages = small(size)
        heads = b"".join(_packed(messages, first + 1 + many))
        self._grow(size + len(heads) + _SMALL_BYTES)
        last = first + 1 + many + len(messages)
        self._sequence = itertools.count(last + 1)
        begin, end = batch_edges(generation, first, last)
        if len(packed) > _MOST_PARTS:
            packed = [b"".join(packed)]
        self._socket.sendmsg([begin, heads, *packed, end])
        answers = self._answers()
        order = [first, *range(first + 1 + many, last), *range(first + 1, first + 1 + many)]
        return [answers.get(sequence) for sequence in order]

    def _answers(self) -> dict[int, int]:
        """Sequence number → errno of everything that waits. The first error of a message stays."""
        answers: dict[int, int] = {}
        while True:
            try:
                data = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return answers
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    continue
                raise
            for reply in whole_replies(data):
                if reply.error is not None:
                    answers[reply.sequence] = answers.get(reply.sequence) or reply.error

    def _grow(self, size: int) -> None:
        """Makes the send buffer hold one datagram of `size` bytes (with room for bookkeeping)."""
        if size > self._send_bytes:
            self._send_bytes = max(size + (size >> 3) + 4096, 1 << 18)
            _force(self._socket, _SO_SNDBUFFORCE, socket.SO_SNDBUF, self._send_bytes)

    def _receive(self) -> list[Reply]:
        if not select.select([self._socket], [], [], _PATIENCE_S)[0]:
            raise OSError(errno.ETIMEDOUT, "netlink")
        return whole_replies(self._socket.recv(_READ_BYTES))

    def _discard(self) -> None:
        """Throws away what an earlier, failed exchange left in the buffer."""
        while True:
            try:
                self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
