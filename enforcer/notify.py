"""sd_notify(3): readiness and watchdog for systemd; silent where systemd is not."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# So many times longer than usual may a load take before systemd kills the daemon: files of millions
# of rows, on a slow disk, are no hang.
_PATIENCE = 4
# Until it has heard READY=1 systemd's watchdog does not run, and a word about it would start it.
_ready = threading.Event()


def notify(*assignments: str) -> None:
    """Sends `READY=1`, `STATUS=…`, `WATCHDOG=1`, … to the service manager, if there is one."""
    if "READY=1" in assignments:
        _ready.set()
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
        try:
            s.connect(address)
            s.sendall("\n".join(assignments).encode())
        except OSError:
            # The manager is gone or deaf: no reason to stop keeping traffic flowing.
            return


def watchdog_interval_s() -> float | None:
    """How often to say WATCHDOG=1: half of what systemd allows; None when it does not ask."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 2_000_000


@contextmanager
def patience() -> Iterator[None]:
    """Has systemd wait longer for the next WATCHDOG=1, until the end of the context."""
    interval = watchdog_interval_s()
    if interval is None or not _ready.is_set():
        yield
        return
    usec = int(interval * 2_000_000)
    notify(f"WATCHDOG_USEC={usec * _PATIENCE}")
    try:
        yield
    finally:
        notify("WATCHDOG=1", f"WATCHDOG_USEC={usec}")
