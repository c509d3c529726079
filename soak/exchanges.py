"""When a root qdisc of the gateway was exchanged, by the kernel's own word (RTNLGRP_TC).

In: a namespace. Out: instants in nanoseconds of CLOCK_MONOTONIC, as a thread hears of them.
"""

from __future__ import annotations

import select
import threading
import time

from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.netlink import NETLINK_ROUTE, open_socket
from enforcer.kernel.wire import replies
from enforcer.lab.namespace import Namespace

_GROUP_TC = 4
_NEW_QDISC, _DEL_QDISC = 36, 37
_POLL_S = 0.2


class Exchanges:
    """A context manager: listens inside the block."""

    def __init__(self, place: Namespace) -> None:
        self.at_ns: list[int] = []
        with in_namespace(place.name):
            self._socket = open_socket(NETLINK_ROUTE, (_GROUP_TC,), 4 << 20)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Exchanges:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            if not select.select([self._socket], [], [], _POLL_S)[0]:
                continue
            now = time.monotonic_ns()
            kinds = {reply.kind for reply in replies(self._socket.recv(1 << 16))}
            if kinds & {_NEW_QDISC, _DEL_QDISC}:
                self.at_ns.append(now)
