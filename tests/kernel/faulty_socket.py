"""A netlink socket that fails on purpose at one call, or from one call on, and counts its calls."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field
from typing import Any

from enforcer.kernel.netlink import Netlink

TRUNCATED = -1
# What may go wrong at a call: the errno, or a reply that is cut short.
FAULTS = {
    "EINTR": errno.EINTR,
    "EBUSY": errno.EBUSY,
    "ENOMEM": errno.ENOMEM,
    "ENOBUFS": errno.ENOBUFS,
    "EMSGSIZE": errno.EMSGSIZE,
    "ERESTART": errno.ERESTART,
    "ENFILE": errno.ENFILE,
    "EPERM": errno.EPERM,
    "truncated": TRUNCATED,
}


@dataclass(slots=True)
class Plan:
    """Call `at` (from 0; None: none) fails with `fault`. `after`: what is sent is sent, and the
    caller is told that it was not.
    """

    at: int | None = None
    fault: int = 0
    after: bool = False
    calls: int = 0
    hit: bool = False
    sends: set[int] = field(default_factory=set)

    def due(self) -> bool:
        self.calls += 1
        due = self.calls - 1 == self.at
        self.hit |= due
        return due

    def put_off(self) -> None:
        """This call cannot fail so: the next one does."""
        self.at, self.hit = self.calls, False


class FaultySocket:
    def __init__(self, real: socket.socket, plan: Plan) -> None:
        self._real, self.plan = real, plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def send(self, data: bytes) -> int:
        return self._sent(lambda: self._real.send(data))

    def sendmsg(self, parts: list[bytes]) -> int:
        return self._sent(lambda: self._real.sendmsg(parts))

    def _sent(self, send: Any) -> int:
        self.plan.sends.add(self.plan.calls)
        if not self.plan.due():
            return int(send())
        if self.plan.fault == TRUNCATED:
            # There is no such thing as half a request: the next reply is cut in its place.
            self.plan.put_off()
            return int(send())
        if self.plan.after:
            send()
        raise OSError(self.plan.fault, "injected")

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not self.plan.due():
            return self._real.recv(size, flags)
        if self.plan.fault != TRUNCATED:
            raise OSError(self.plan.fault, "injected")
        try:
            data = self._real.recv(size, flags)
        except BlockingIOError:
            self.plan.put_off()
            raise
        return data[: len(data) * 2 // 3 & ~3]


def make_faulty(netlinks: tuple[Netlink, ...], plan: Plan) -> None:
    """All calls of these sockets are counted together, and fail by one plan."""
    for netlink in netlinks:
        real = netlink._socket
        real = real._real if isinstance(real, FaultySocket) else real
        netlink._socket = FaultySocket(real, plan)  # type: ignore[assignment]
