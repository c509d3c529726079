"""The control socket with a whole daemon behind it, and the files that it reads back at a start.

Each input is what one client sends before it hangs up. The daemon is the one of the tests: a fake
kernel, a clock that stands, files in memory; its orders lie in a folder of their own.
"""

from __future__ import annotations

import contextlib
import json
import socket
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from enforcer import standing
from enforcer.chronicle import Chronicle
from enforcer.keeping import Keeper
from enforcer.listening import LIMIT_BYTES, ControlSocket
from enforcer.recorder import Recorder
from enforcer.sampler import Sampler
from enforcer.schedule.orders import Orders
from enforcer.service import Places, Service
from fuzz.scratch import scratch
from tests.daemon.daemon_worlds import INSIDE, WINDOWS, World

PROVISIONAL = WINDOWS.replace("id: ddos", "id: trial").replace(
    "  measures:", "  provisional: true\n  measures:"
)


class _Office:
    """One daemon for all inputs of a process; `ask` puts its orders back to none."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.world = World(INSIDE)
        self.world.windows = WINDOWS + PROVISIONAL
        self.world.start().step()
        self.control = ControlSocket(directory)
        nobody: Any = None
        places = Places(directory / "enforcer.yaml", directory)
        daemon, clock = self.world.daemon, self.world.clock
        keeper = Keeper(directory, places.config)
        chronicle = Chronicle(Recorder(directory, clock.now), daemon.totals.now)
        self.service = Service(
            daemon, nobody, self.control, nobody, places, keeper, chronicle, Sampler()
        )
        self.service.step("start")

    def ask(self, line: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(self.control.path))
            client.settimeout(5)
            # What the daemon does not wait for is refused by the kernel: no fault of the daemon's.
            with contextlib.suppress(OSError):
                client.sendall(line)
            client.shutdown(socket.SHUT_WR)
            self.control.serve_one(self.service._handle)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while chunk := client.recv(65536):
                    answer += chunk
        self.world.daemon.orders = Orders()
        for file in self.directory.glob("*.json*"):
            file.unlink()
        return answer


@cache
def _office() -> _Office:
    # In memory: every order that is taken is synced to the disk.
    return _Office(scratch("office"))


def control(data: bytes) -> None:
    answer = _office().ask(data)
    if len(data) <= LIMIT_BYTES // 2:
        assert isinstance(json.loads(answer), dict), "every client is answered with an object"


def orders(data: bytes) -> None:
    """The file of standing orders, as somebody or something left it."""
    (scratch("orders") / standing.FILE).write_bytes(data)
    read, problem = standing.read_or_none_new(scratch("orders"))
    assert read.readable == (problem is None)
    if problem is None:
        # What can be read can be asked, and written again.
        read.lapsed(datetime(2026, 12, 1, tzinfo=UTC))
        standing.write_orders(scratch("orders"), read)
        assert standing.read_orders(scratch("orders")) == read
