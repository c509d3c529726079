"""A gateway between an uplink and an estate, in namespaces of its own, with the real daemon on it
and a steady stream of datagrams through it: from a registered source, and from one that is not.

Nothing here touches the host's network or clock. Spans stretch with the machine: what is declared
lies as far ahead as the daemon needs to start here.
"""

from __future__ import annotations

import itertools
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from enforcer.control import NoDaemonError, ask
from enforcer.lab.namespace import Namespace
from tests.kernel.slowness import patient

_numbers = itertools.count()
REGISTERED, STRANGER, ESTATE = "198.51.100.1", "198.51.100.200", "203.0.113.1"
PORT = 51820
PERIOD_S = 0.01
# Inside these edges everything must be decided; a busy machine may be late by a little at opening,
# and a window may be disarmed early (it harms nobody).
LATE_OPENING_S, EARLY_END_S, LATE_END_S = patient(0.3), patient(0.3), patient(0.5)

CONFIG = """
version: 1
gateway: {{name: t, uplinks: [wan0], lease: {lease}, require_synchronised_clock: false}}
categories: [freelancer]
registry: {{sources: [{{file: registry.csv}}], shrink_limit: 20%}}
estates:
  vpn: {{prefixes: [203.0.113.0/28], services: [udp/51820]}}
metrics: {{listen: "127.0.0.1:9435"}}
"""
WINDOW = """
- id: {id}
  reason: a test
  declared_by: test
  reference: T-1
  start: "{start}"
  end: "{end}"
  timezone: {zone}
{more}  measures: {{guard: {{estate: vpn}}}}
"""


@dataclass
class Stream:
    """When datagrams were sent, and which arrived, by number."""

    sent: dict[int, float] = field(default_factory=dict)
    arrived: set[int] = field(default_factory=set)

    def lost(self, after: float = 0, before: float = math.inf) -> list[float]:
        """When those were sent that did not arrive, of those sent between two instants."""
        return [at for n, at in self.sent.items() if after <= at < before and n not in self.arrived]

    def through(self, after: float, before: float) -> list[float]:
        return [at for n, at in self.sent.items() if after <= at < before and n in self.arrived]

    def count(self, after: float, before: float) -> int:
        return sum(after <= at < before for at in self.sent.values())


class Gateway:
    """Three namespaces: `out` (the uplink's far side), `gw` (the daemon), `in` (the estate)."""

    def __init__(
        self, directory: Path, lease: str = "10m", now: Callable[[], float] | None = None
    ) -> None:
        self.directory = directory
        # What packets are dated by: the wall clock, by which windows are declared, or another.
        self.now = now or wall
        tag = f"enforcer-edge-{os.getpid()}-{next(_numbers)}"
        self.names = {role: f"{tag}-{role}" for role in ("out", "gw", "in")}
        self.places = {role: Namespace(role, name) for role, name in self.names.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self.starts_in_s = 0.0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.streams = {REGISTERED: Stream(), STRANGER: Stream()}
        for name in ("etc/windows.d", "run", "state"):
            (directory / name).mkdir(parents=True)
        (directory / "etc/enforcer.yaml").write_text(CONFIG.format(lease=lease))
        self.register(REGISTERED)
        self.environment = {
            **os.environ,
            "ENFORCER_STATE_DIR": str(directory / "state"),
            "ENFORCER_RUN_DIR": str(directory / "run"),
        }

    # --- the network ----------------------------------------------------------------------------

    def build(self) -> None:
        for name in self.names.values():
            _ip("netns", "add", name)
        out, gw, inner = (self.names[role] for role in ("out", "gw", "in"))
        _ip("-n", gw, "link", "add", "wan0", "type", "veth", "peer", "name", "eth0", "netns", out)
        _ip("-n", gw, "link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", inner)
        for name, device, *addresses in (
            (out, "eth0", f"{REGISTERED}/24", f"{STRANGER}/24"),
            (gw, "wan0", "198.51.100.254/24"),
            (gw, "lan0", "203.0.113.14/28"),
            (inner, "eth0", f"{ESTATE}/28"),
        ):
            for address in addresses:
                _ip("-n", name, "address", "add", address, "dev", device)
            _ip("-n", name, "link", "set", device, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", out, "route", "add", "203.0.113.0/28", "via", "198.51.100.254")
        _ip("-n", inner, "route", "add", "default", "via", "203.0.113.14")
        self.places["gw"].sysctl({"ipv4/ip_forward": "1"})

    def stream(self) -> None:
        """Datagrams from both sources from now on."""
        receiver = self.places["in"].socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.bind((ESTATE, PORT))
        receiver.settimeout(0.1)
        senders = {}
        for source in self.streams:
            senders[source] = self.places["out"].socket(socket.AF_INET, socket.SOCK_DGRAM)
            senders[source].bind((source, 0))
        self._spawn(lambda: self._send(senders))
        self._spawn(lambda: self._receive(receiver))
        # Neighbours are resolved before anything is measured.
        wait_until(lambda: all(s.arrived for s in self.streams.values()), patient(10))
        for each in self.streams.values():
            first = min(each.arrived)
            each.sent = {n: at for n, at in each.sent.items() if n >= first}

    def _spawn(self, action: Callable[[], None]) -> None:
        thread = threading.Thread(target=action)
        thread.start()
        self._threads.append(thread)

    def _send(self, senders: dict[str, socket.socket]) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                break
            for source, sender in senders.items():
                at = self.now()
                sender.sendto(number.to_bytes(8, "big"), (ESTATE, PORT))
                self.streams[source].sent[number] = at
            time.sleep(PERIOD_S)
        for sender in senders.values():
            sender.close()

    def _receive(self, receiver: socket.socket) -> None:
        with receiver:
            while True:
                try:
                    data, (source, _) = receiver.recvfrom(64)
                except TimeoutError:
                    if self._stop.is_set():
                        return
                    continue
                self.streams[source].arrived.add(int.from_bytes(data, "big"))

    def end_stream(self) -> dict[str, Stream]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        return self.streams

    # --- the daemon -----------------------------------------------------------------------------

    def register(self, *addresses: str) -> None:
        rows = "".join(f"R-{a},{a}/32,freelancer,,,\n" for a in addresses)
        header = "id,prefix,category,valid_from,valid_until,services\n"
        (self.directory / "etc/registry.csv").write_text(header + rows)

    def start(self) -> None:
        began = time.monotonic()
        (self.directory / "run/control.sock").unlink(missing_ok=True)
        argv = [
            sys.executable,
            "-m",
            "enforcer",
            "run",
            "--config",
            f"{self.directory}/etc/enforcer.yaml",
        ]
        with (self.directory / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.places["gw"].argv(*argv), stderr=log, stdout=log, env=self.environment
            )
        wait_until(self._answers, patient(60))
        self.starts_in_s = time.monotonic() - began

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "daemon.log").read_text()
        try:
            return "version" in ask(self.directory / "run", "status")
        except NoDaemonError:
            return False

    def ask(self, verb: str, **arguments: object) -> dict[str, object]:
        return ask(self.directory / "run", verb, **arguments)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(patient(10))

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(patient(20))

    def soon(self, at_least_s: float = 2) -> int:
        """The next whole second (since the epoch) for which the daemon has time to be told."""
        return math.ceil(wall() + max(at_least_s, self.starts_in_s))

    def declare(self, *spans: tuple[int, int], zone: str = "UTC", more: str = "") -> None:
        """Windows w0, w1, …, in whole seconds since the epoch, and a reload."""
        (self.directory / "etc/windows.d/w.yaml").write_text(
            "".join(
                WINDOW.format(
                    id=f"w{n}", start=local(a, zone), end=local(b, zone), zone=zone, more=more
                )
                for n, (a, b) in enumerate(spans)
            )
        )
        assert self.ask("reload")["error"] is None

    def destroy(self) -> None:
        self.kill()
        self.end_stream()
        for name in self.names.values():
            subprocess.run(
                ["ip", "netns", "delete", name],
                capture_output=True,
                timeout=patient(20),
                check=False,
            )


def wall() -> float:
    return time.time()  # noqa: TID251 - the wall clock is what windows are declared by


def local(instant: int, zone: str) -> str:
    from zoneinfo import ZoneInfo

    return f"{datetime.fromtimestamp(instant, UTC).astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M:%S}"


def sleep_until(instant: float) -> None:
    time.sleep(max(0.0, instant - wall()))


def wait_until(holds: Callable[[], bool], patience_s: float) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < patience_s, "waited too long"
        time.sleep(0.02)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=patient(20))
