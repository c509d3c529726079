"""A network namespace as a place to make sockets in, read counters in, and start programs in.

In: the name of a namespace that exists. Out: sockets that belong to it. A thread of its own enters
the namespace and ends; the socket it made stays there. The calling thread never moves, so nothing
here can touch the host's network by accident.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from enforcer.lab.machine import LabError, command

NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Namespace:
    """`role` is what the lab calls it (`gateway`), `name` what `ip netns` calls it."""

    role: str
    name: str

    def call(self, action: Callable[[], T]) -> T:
        """What `action` returns or raises, run by a thread inside the namespace."""
        results: list[T] = []
        failures: list[BaseException] = []

        def inside() -> None:
            try:
                _enter(self.name)
                results.append(action())
            except BaseException as failure:  # carried over to the caller, whatever it is
                failures.append(failure)

        thread = threading.Thread(target=inside, name=f"in-{self.name}")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return results[0]

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        return self.call(lambda: socket.socket(family, kind, protocol))

    def sysctl(self, values: dict[str, str]) -> None:
        """Sets `net.*` values of this namespace. Keys have slashes: `ipv4/ip_forward`."""

        def write() -> None:
            for key, value in values.items():
                Path("/proc/sys/net", key).write_text(value)

        self.call(write)

    def argv(self, *argv: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv]

    def ip(self, *lines: str) -> None:
        """Runs `ip` commands inside, all in one process. Raises LabError at the first failure."""
        command("ip", "-n", self.name, "-batch", "-", text="\n".join(lines) + "\n")

    def run(self, *argv: str) -> str:
        return command(*self.argv(*argv))


def _enter(name: str) -> None:
    try:
        handle = os.open(NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LabError(f"{name}: no such network namespace; start the lab again") from None
    try:
        if _libc.setns(handle, CLONE_NEWNET) != 0:
            errno = ctypes.get_errno()
            raise LabError(f"{name}: cannot enter: {os.strerror(errno)}; is this process root?")
    finally:
        os.close(handle)


def existing() -> set[str]:
    """The names that `ip netns` knows."""
    return {entry.name for entry in NETNS.iterdir()} if NETNS.is_dir() else set()
