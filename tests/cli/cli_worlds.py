"""A configuration on disk, commands run in this process, and a kernel in memory for them."""

from __future__ import annotations

import json
import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from enforcer.cli.main import main
from enforcer.clock import SystemClock
from enforcer.daemon import Daemon
from enforcer.kernel.fake import FakeKernel
from enforcer.listening import ControlSocket
from enforcer.observe.totals import Totals
from enforcer.observe.views import status_view
from enforcer.ruleset.transaction import Kernel
from enforcer.sources.lastgood import write_last_good
from enforcer.sources.load import load_configuration
from enforcer.standing import read_orders

MAIN = """\
version: 1
gateway: {name: edge-1, uplinks: [wan0], lease: 10m, require_synchronised_clock: false}
categories: [software-house, freelancer]
registry: {sources: [{file: registry.csv}], shrink_limit: 90%}
lifelines: [192.0.2.53/32]
estates:
  concentrators:
    prefixes: [203.0.113.0/28, "2001:db8:10::/64"]
    services: [udp/51820, tcp/443]
links:
  wan: {device: wan0, rate: 1gbit}
metrics: {listen: "127.0.0.1:9435"}
"""
REGISTRY = """\
id,prefix,category,valid_from,valid_until,services
R-1,198.51.100.0/24,software-house,,,
R-1,198.51.100.0/24,software-house,,,
R-2,198.51.100.7/32,freelancer,2026-01-01,2199-12-31,udp/51820
R-3,2001:db8:5::/48,freelancer,,,
"""


def window_text(
    name: str, start: datetime, end: datetime, zone: str = "UTC", more: str = ""
) -> str:
    return f"""\
- id: {name}
  reason: attack
  declared_by: noc@isp.example
  reference: NOC-1
  start: "{start:%Y-%m-%dT%H:%M:%S}"
  end: "{end:%Y-%m-%dT%H:%M:%S}"
  timezone: {zone}
  measures:
    guard: {{estate: concentrators}}
    mark: {{fwmark: 0x51}}
{more}"""


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Place:
    """The files in `folder`. The window `ddos` is on now, and for an hour."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture
        self.config, self.run_dir = folder / "enforcer.yaml", folder / "run"
        self.state_dir = folder / "state"
        self.now = SystemClock().now().replace(microsecond=0)
        (folder / "windows.d").mkdir()
        self.write()

    def write(
        self, *, main: str = MAIN, registry: str = REGISTRY, windows: str | None = None
    ) -> None:
        hour = timedelta(hours=1)
        declared = window_text("ddos", self.now - hour, self.now + hour)
        self.config.write_text(main)
        (self.folder / "registry.csv").write_text(registry)
        text = declared if windows is None else windows
        (self.folder / "windows.d" / "w.yaml").write_text(text or "[]\n")

    def run(self, *argv: str) -> Said:
        """One command, as `enforcer --config … ARGV`."""
        self._capture.readouterr()
        try:
            code = main(["--config", str(self.config), *argv])
        except SystemExit as exited:
            code = int(exited.code or 0)
        captured = self._capture.readouterr()
        return Said(code, captured.out, captured.err)

    @contextmanager
    def answering(self, daemon: Daemon) -> Iterator[None]:
        """`daemon` as the control socket's status tells of it, and its copy of what is in force."""
        write_last_good(self.state_dir, str(self.config), daemon.loaded_at, daemon.config)
        with self.served(status_view(daemon.snapshot(), "9.9")):
            yield

    @contextmanager
    def served(self, status: dict[str, Any]) -> Iterator[None]:
        """The control socket, which answers `status` to everything."""
        control, stop = ControlSocket(self.run_dir), Event()

        def serve() -> None:
            while not stop.is_set():
                if select.select([control], [], [], 0.05)[0]:
                    control.serve_one(lambda *_: status)

        thread = Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            control.close()

    def daemon(self, kernel: Kernel) -> Daemon:
        orders = read_orders(self.state_dir)
        totals = Totals(kernel.counters)
        return Daemon(
            lambda under: load_configuration(self.config, orders=under),
            kernel,
            SystemClock(),
            totals,
            orders,
        )


def memory_kernel() -> FakeKernel:
    return FakeKernel(SystemClock().now_ns, ("lo", "wan0", "lan0"))
