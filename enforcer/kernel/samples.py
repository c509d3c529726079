"""Sampled headers as the kernel tells of them: the one listener of our NFLOG group.

In: a netlink socket. Out: `Heard`, label and bytes as the rules said them. The kernel gathers what
it tells for up to a second (or a hundred packets), so listening costs a wake-up a second. What
nobody fetches in time the kernel throws away and says so: that is counted, and nobody waits for it.
Source: <linux/netfilter/nfnetlink_log.h>, net/netfilter/nfnetlink_log.c.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from contextlib import ExitStack, closing
from dataclasses import dataclass

from enforcer.errors import KernelError
from enforcer.kernel import netlink
from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.wire import MALFORMED, Message, attribute, attributes, string, whole_replies
from enforcer.ruleset.vocabulary import SAMPLE_GROUP, SAMPLED_BYTES

_NETFILTER = netlink.NETLINK_NETFILTER
_SUBSYSTEM, _PACKET, _CONFIG = 4, 0, 1
_CONFIG_COMMAND, _CONFIG_MODE = 1, 2
_BIND, _COPY_PACKET = 1, 2
_PAYLOAD, _PREFIX = 9, 10
_ACK = 4
# Some thousand samples: what a second brings, many times over.
_RECEIVE_BYTES = 4 << 20
# One drain ends in bounded time; the rest stays readable.
_DATAGRAMS_PER_DRAIN = 64
_READ_BYTES = 1 << 17


@dataclass(frozen=True, slots=True)
class Sampled:
    """`header`: the first bytes of a packet from its IP header on."""

    label: str
    header: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """`lost`: how often the kernel threw some away, or told what nobody understands."""

    samples: tuple[Sampled, ...] = ()
    lost: int = 0


class SampleListener:
    """Listens from construction on. Raises KernelError when the kernel has no NFLOG, when this
    process may not listen, and when another one does. `fileno` is readable when there is something.
    """

    def __init__(self, namespace: str | None = None) -> None:
        with ExitStack() as opened:
            try:
                with in_namespace(namespace):
                    self._socket = opened.enter_context(
                        closing(netlink.open_socket(_NETFILTER, (), _RECEIVE_BYTES))
                    )
                self._stopped = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                opened.callback(os.close, self._stopped)
                self._configure(attribute(_CONFIG_COMMAND, bytes([_BIND])))
                # No more than this, whatever a rule of the group says.
                most = max(SAMPLED_BYTES.values())
                self._configure(attribute(_CONFIG_MODE, struct.pack(">IBx", most, _COPY_PACKET)))
            except OSError as error:
                number = error.errno or errno.EIO
                raise KernelError("sample", number, _why(number)) from error
            self._poll = select.poll()
            for descriptor in (self._socket.fileno(), self._stopped):
                self._poll.register(descriptor, select.POLLIN)
            self._opened = opened.pop_all()

    def _configure(self, setting: bytes) -> None:
        body = struct.pack(">BBH", socket.AF_UNSPEC, 0, SAMPLE_GROUP) + setting
        # The answer stands in the buffer when `send` returns.
        self._socket.send(Message(_SUBSYSTEM << 8 | _CONFIG, _ACK, body).packed(1))
        for reply in whole_replies(self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)):
            if reply.error:
                raise OSError(reply.error, "nfnetlink_log")

    def fileno(self) -> int:
        return self._socket.fileno()

    def wait(self, longest_s: float | None) -> bool:
        """Until there is something to drain, or so long; False when it is to stop."""
        ready = self._poll.poll(None if longest_s is None else longest_s * 1000)
        return all(descriptor != self._stopped for descriptor, _ in ready)

    def stop(self) -> None:
        """Ends a wait in another thread, and every later one."""
        os.eventfd_write(self._stopped, 1)

    def close(self) -> None:
        self._opened.close()

    def drain(self) -> Heard:
        """What waits; never blocks, never raises."""
        samples: list[Sampled] = []
        lost = 0
        for _ in range(_DATAGRAMS_PER_DRAIN):
            try:
                replies = whole_replies(self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT))
            except BlockingIOError:
                break
            except OSError:
                # ENOBUFS: the buffer was full. Anything else is as lost.
                lost += 1
                continue
            for reply in replies:
                try:
                    if reply.kind == _SUBSYSTEM << 8 | _PACKET:
                        found = attributes(reply.body[4:])
                        header = bytes(found[_PAYLOAD])
                        samples.append(Sampled(string(found[_PREFIX]), header))
                except MALFORMED:
                    lost += 1
        return Heard(tuple(samples), lost)


def _why(number: int) -> str:
    if number in (errno.EPERM, errno.EACCES, errno.EBUSY):
        # The kernel says the same to who lacks the right (nfulnl_recv_config).
        return (
            f"another program listens to NFLOG group {SAMPLE_GROUP}; stop it, or give this process "
            "CAP_NET_ADMIN if it lacks that"
        )
    return (
        "the kernel has no NFLOG; enable CONFIG_NETFILTER_NETLINK_LOG and NFT_LOG, or load "
        "nfnetlink_log and nft_log"
    )
