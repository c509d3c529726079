"""The real daemon in the bench's gateway: its files, its process, and what it has put in force.

In: a bench, a registry file, windows. Out: a running `enforcer run`, ended by its own id. It is
asked nothing: whether its rules are in force is read from the kernel.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.ours import ESTATE, SERVICE
from benchmarks.wire import Bench
from enforcer.kernel.nft import NftKernel
from enforcer.ruleset.transaction import KernelState

CS5 = 40
_POLL_S = 0.003
_PATIENCE_S = 60.0
_ROOT = Path(__file__).parent.parent
_CONFIG = f"""\
version: 1
gateway:
  name: bench
  uplinks: [wan0]
  lease: 10m
  require_synchronised_clock: false
categories: [software-house, call-centre, freelancer, mission]
registry:
  sources:
    - file: registry.csv
estates:
  concentrators:
    prefixes: [{ESTATE}]
    services: [{SERVICE}]
"""
_WINDOW = """\
- id: {id}
  reason: how punctual and how costly the daemon is
  declared_by: bench
  reference: BENCH-{number}
  start: "{start}"
  end: "{end}"
  timezone: UTC
  measures:
    guard: {{estate: concentrators}}
    mark: {{fwmark: 0x51, dscp: cs5}}
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A window in whole seconds since the epoch."""

    starts_at: int
    ends_at: int


def windows_text(spans: Sequence[Span]) -> str:
    return "\n".join(
        _WINDOW.format(
            id=f"bench-{number}", number=number, start=_wall(s.starts_at), end=_wall(s.ends_at)
        )
        for number, s in enumerate(spans, 1)
    )


def _wall(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def write_files(directory: Path, registry: bytes, spans: Sequence[Span]) -> None:
    (directory / "windows.d").mkdir(exist_ok=True)
    for name in ("run", "state"):
        (directory / name).mkdir(exist_ok=True)
    (directory / "enforcer.yaml").write_text(_CONFIG)
    (directory / "registry.csv").write_bytes(registry)
    (directory / "windows.d" / "bench.yaml").write_text(windows_text(spans))


class Gateway:
    """The daemon of one directory, started and stopped as often as one likes."""

    def __init__(self, bench: Bench, directory: Path) -> None:
        self._bench, self._directory = bench, directory
        self._process: subprocess.Popen[bytes] | None = None
        self._kernel = NftKernel(bench.gateway)

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._kernel.close()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the daemon does not run")
        return self._process.pid

    def start(self, *, armed: bool) -> float:
        """Seconds from the start of the process until its registry, and with `armed` the rules of
        a window, are in force.
        """
        there = self._kernel.generation()
        begun = time.monotonic()
        with open(self._directory / "daemon.log", "ab") as log:
            self._process = subprocess.Popen(
                ("ip", "netns", "exec", self._bench.gateway, sys.executable, "-m", "enforcer",
                 "run", "--config", str(self._directory / "enforcer.yaml")),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=_ROOT,
                env=os.environ | {
                    "ENFORCER_STATE_DIR": str(self._directory / "state"),
                    "ENFORCER_RUN_DIR": str(self._directory / "run"),
                },
            )  # fmt: skip
        while True:
            if self._process.poll() is not None or time.monotonic() - begun > _PATIENCE_S:
                words = (self._directory / "daemon.log").read_text(errors="replace")
                raise RuntimeError(f"the daemon did not come up; its last words:\n{words[-2000:]}")
            # The generation is cheap to ask for; the daemon shares this core with us.
            if self._kernel.generation() != there and _in_force(self._kernel.read(), armed):
                return time.monotonic() - begun
            time.sleep(_POLL_S)

    def reload(self, registry: bytes) -> float:
        """Seconds from SIGHUP until the kernel holds this registry, which must be another one than
        it holds. Its file is put in place before.
        """
        beside = self._directory / "registry.new"
        beside.write_bytes(registry)
        beside.replace(self._directory / "registry.csv")
        before, there = self._kernel.read().ledger, self._kernel.generation()
        begun = time.monotonic()
        os.kill(self.pid, signal.SIGHUP)
        while time.monotonic() - begun < _PATIENCE_S:
            now = self._kernel.generation()
            if now != there and self._kernel.read().ledger != before:
                return time.monotonic() - begun
            there = now
            time.sleep(_POLL_S)
        raise RuntimeError("the daemon did not take the registry")

    def stop(self) -> None:
        """Ends it and takes away what it left."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        nothing_left = "add table inet enforcer\ndelete table inet enforcer\n"
        self._bench.in_gateway("nft", "-f", "-", stdin=nothing_left)


def _in_force(state: KernelState, armed: bool) -> bool:
    if not state.ledger:
        return False
    hooked = any(chain.hook is not None and chain.rules for chain in state.chains.values())
    elements = any(held.kind == "armed" and held.elements for held in state.sets.values())
    return (hooked and elements) or not armed
