"""The daemon in the gateway: its files as an operator would write them, and its process.

In: a directory, two spans of time, the generated registry. Out: files in the contract's form and a
running `enforcer run`. It must never speak to the daemon but through its files, signals, socket and
metrics: what the lab shows is what an operator has.
"""

from __future__ import annotations

import math
import signal
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from enforcer.lab import witness
from enforcer.lab.footprint import Footprint
from enforcer.lab.machine import LabError
from enforcer.lab.namespace import Namespace
from enforcer.lab.phases import FIRST, SECOND
from enforcer.lab.topology import (
    ESTATE_PREFIXES,
    LIFELINE,
    REGISTERED_PREFIXES,
    UPLINK,
    UPLINK_RATE,
)

SHARE_PERCENT = 40
READY_LINES = 12
_CONFIG = """\
version: 1

gateway:
  name: lab
  uplinks: [{uplink}]
  lease: 10m
  require_synchronised_clock: false

categories: [software-house, call-centre, freelancer, mission]

registry:
  sources:
    - file: registry.csv
  shrink_limit: 20%

lifelines: [{lifeline.ipv4}/32, "{lifeline.ipv6}/128"]

estates:
  concentrators:
    prefixes: [{estate[0]}, "{estate[1]}"]
    services: [udp/51820, udp/500, udp/4500, esp, tcp/443]

links:
  wan: {{device: {uplink}, rate: {rate}}}

metrics:
  listen: {metrics[0]}:{metrics[1]}
"""
_WINDOW = """\
- id: {id}
  reason: rehearsal in the lab
  declared_by: lab@isp.example
  reference: LAB-{number}
  start: "{start}"
  end: "{end}"
  timezone: UTC
  measures:
    guard: {{estate: concentrators}}
    mark: {{fwmark: 0x51, dscp: cs5}}
    reserve: {{link: wan, share: {share}%}}
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A declared window: whole seconds since the epoch."""

    window: str
    starts_at: int
    ends_at: int


# Seconds: until the first window opens, the windows' lengths, and the quiet between them.
LEAD_S, FIRST_S, BETWEEN_S, SECOND_S = 8, 10, 4, 12
LEAD_PER_PREFIX_S = 1 / 50_000


def spans(now: float, registry_size: int) -> tuple[Span, Span]:
    """The two windows of a run that begins at `now`. A larger registry gets a longer lead."""
    opens = math.ceil(now + LEAD_S + registry_size * LEAD_PER_PREFIX_S)
    again = opens + FIRST_S + BETWEEN_S
    return Span(FIRST, opens, opens + FIRST_S), Span(SECOND, again, again + SECOND_S)


def config_text() -> str:
    return _CONFIG.format(
        uplink=UPLINK,
        rate=UPLINK_RATE,
        lifeline=LIFELINE,
        estate=ESTATE_PREFIXES,
        metrics=witness.METRICS,
    )


def windows_text(declared: tuple[Span, ...]) -> str:
    return "\n".join(
        _WINDOW.format(
            id=span.window,
            number=number,
            start=_wall_time(span.starts_at),
            end=_wall_time(span.ends_at),
            share=SHARE_PERCENT,
        )
        for number, span in enumerate(declared, 1)
    )


def _wall_time(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def registry_text(generated: bytes) -> bytes:
    """The generated registry with the lab's own VPN end point as its last rows."""
    rows = "".join(f"LAB-1,{prefix},software-house,,,\n" for prefix in REGISTERED_PREFIXES)
    return generated.rstrip(b"\n") + b"\n" + rows.encode()


def write_files(directory: Path, registry: bytes, declared: tuple[Span, ...]) -> Path:
    """Writes the three files; gives the path of enforcer.yaml."""
    config = directory / "etc" / "enforcer.yaml"
    (config.parent / "windows.d").mkdir(parents=True)
    for name in ("run", "state"):
        (directory / name).mkdir()
    config.write_text(config_text())
    (config.parent / "registry.csv").write_bytes(registry)
    (config.parent / "windows.d" / "lab.yaml").write_text(windows_text(declared))
    return config


def environment(directory: Path) -> dict[str, str]:
    """What makes an `enforcer` command speak to this lab's daemon."""
    return {
        "ENFORCER_STATE_DIR": str(directory / "state"),
        "ENFORCER_RUN_DIR": str(directory / "run"),
    }


@dataclass(frozen=True, slots=True)
class Daemon:
    place: Namespace
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def socket_path(self) -> Path:
        return self.directory / "run" / "control.sock"

    @property
    def log(self) -> Path:
        return self.directory / "daemon.log"

    def wait_ready(self, patience_s: float) -> float:
        """Seconds until socket and metrics answered. Raises LabError with its last log lines."""
        began = time.monotonic()
        while True:
            waited = time.monotonic() - began
            self.require_running()
            if self.socket_path.exists() and self._metrics_answer():
                return waited
            if waited > patience_s:
                raise LabError(
                    f"daemon: not ready after {patience_s:.0f} s; its last words:\n{self._said()}"
                )
            time.sleep(0.02)

    def require_running(self) -> None:
        """Raises LabError with its last log lines when it has ended by itself."""
        if self.process.poll() is not None:
            code = self.process.returncode
            raise LabError(f"daemon: ended with exit code {code}; its last words:\n{self._said()}")

    def kill(self) -> None:
        """As `kill -9` does: it gets no chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def _metrics_answer(self) -> bool:
        try:
            return bool(witness.metrics(self.place))
        except OSError:
            return False

    def _said(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-READY_LINES:]
        return "\n".join(f"  {line}" for line in lines or ["(nothing)"])


def start(footprint: Footprint, place: Namespace, python: str, config: Path) -> Daemon:
    argv = [python, "-m", "enforcer", "run", "--config", str(config)]
    directory = footprint.directory
    (directory / "run" / "control.sock").unlink(missing_ok=True)  # of one that was killed
    child = footprint.spawn(place, argv, "daemon.log", environment(directory))
    return Daemon(place, directory, child)
