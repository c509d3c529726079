"""The daemon under test: its files, its process in the gateway's namespace, and its control socket.

In: a namespace and a folder. Out: `enforcer run` started, killed, told to reload. Windows are
declared in whole seconds of the wall clock, as operators do.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from enforcer.clock import SystemClock
from enforcer.control import SOCKET, HungDaemonError, NoDaemonError, ask
from enforcer.lab.namespace import Namespace

CONFIG = """\
version: 1
gateway: {name: soak, uplinks: [wan0], lease: 10m, require_synchronised_clock: false}
categories: [software-house, call-centre, freelancer]
registry: {sources: [{file: registry.csv}], shrink_limit: 100%}
estates:
  vpn: {prefixes: [203.0.113.0/28, "2001:db8:10::/64"], services: [udp/51820]}
links:
  wan: {device: wan0, rate: 1gbit}
metrics: {listen: "127.0.0.1:9435"}
"""
PATIENCE_S = 60.0


class SoakError(Exception):
    """The soak cannot go on: what was expected of the daemon did not come."""


@dataclass(frozen=True, slots=True)
class Span:
    """A window from `start_s` to `end_s`, seconds since the epoch."""

    name: str
    start_s: int
    end_s: int
    measures: str = "guard: {estate: vpn}, mark: {fwmark: 0x51}, reserve: {link: wan, share: 40%}"

    def yaml(self) -> str:
        start, end = (
            f"{datetime.fromtimestamp(s, UTC):%Y-%m-%dT%H:%M:%S}"
            for s in (self.start_s, self.end_s)
        )
        return (
            f"- {{id: {self.name}, reason: soak, declared_by: soak, reference: S-1,\n"
            f'   start: "{start}", end: "{end}", timezone: UTC,\n'
            f"   measures: {{{self.measures}}}}}\n"
        )


class Gateway:
    """`start_s` is what a start to the first answer took last."""

    def __init__(self, place: Namespace, folder: Path) -> None:
        self._place, self._folder = place, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._spawned_ns = 0
        self._up = False
        self.start_s, self.starts_s = 1.0, list[float]()
        for name in ("etc/windows.d", "run", "state"):
            (folder / name).mkdir(parents=True)
        self._write("enforcer.yaml", CONFIG)

    # --- files -----------------------------------------------------------------------------------

    def _write(self, name: str, text: str) -> None:
        scratch = self._folder / f"etc/.{name.replace('/', '-')}.new"
        scratch.write_text(text)
        scratch.replace(self._folder / "etc" / name)

    def write_registry(self, text: str) -> None:
        self._write("registry.csv", text)

    def write_windows(self, spans: Sequence[Span]) -> None:
        self._write("windows.d/w.yaml", "".join(span.yaml() for span in spans) or "[]\n")

    # --- the process -----------------------------------------------------------------------------

    def spawn(self) -> None:
        """Starts the daemon and does not wait for it."""
        self._spawned_ns, self._up = time.monotonic_ns(), False
        hidden = ("NOTIFY_SOCKET", "JOURNAL_STREAM")
        environment = {k: v for k, v in os.environ.items() if k not in hidden} | {
            "ENFORCER_RUN_DIR": str(self._folder / "run"),
            "ENFORCER_STATE_DIR": str(self._folder / "state"),
        }
        argv = [sys.executable, "-m", "enforcer", "run"]
        argv += ["--config", str(self._folder / "etc/enforcer.yaml")]
        with (self._folder / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._place.argv(*argv), stdout=log, stderr=log, env=environment,
                start_new_session=True,
            )  # fmt: skip

    def wait_up(self) -> None:
        """Until the daemon answers: its first step is done."""
        if self._up:
            return
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process is None or self._process.poll() is not None:
                raise SoakError(f"the daemon has ended by itself: {self.last_words()}")
            if time.monotonic() > deadline:
                raise SoakError(f"the daemon does not answer: {self.last_words()}")
            time.sleep(0.005)
        self._up = True
        self.start_s = (time.monotonic_ns() - self._spawned_ns) / 1e9
        self.starts_s.append(self.start_s)

    def _answers(self) -> bool:
        try:
            return "version" in ask(self._folder / "run", "status")
        except NoDaemonError:
            return False

    def last_words(self) -> str:
        lines = (self._folder / "daemon.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    def kill(self) -> None:
        """Kills it with 9, whatever it does at this moment."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
        self._process, self._up = None, False

    def stop(self) -> None:
        """Ends it as a service manager does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE_S)
        self._process, self._up = None, False

    # --- what it is told -------------------------------------------------------------------------

    def reload(self) -> None:
        """Has the files read anew, and waits until they are in force. Raises SoakError when they
        are refused.
        """
        try:
            answer = ask(self._folder / "run", "reload")
        except HungDaemonError:
            # A million prefixes on a busy machine: it answers nobody before it has done.
            answer = self._after_a_while()
        if answer.get("error") is not None:
            raise SoakError(f"reload: {answer['error']}")

    def _after_a_while(self) -> dict[str, object]:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(NoDaemonError):
                status = ask(self._folder / "run", "status")
                return {"error": status["config"]["error"]}
        raise SoakError("the daemon does not come back from a reload")

    def begin_reload(self) -> None:
        """Asks for a reload and does not wait: it is to be killed in the middle."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE_S)
            client.connect(str(self._folder / "run" / SOCKET))
            client.sendall(json.dumps({"verb": "reload"}).encode() + b"\n")


def wall_s() -> float:
    """Seconds since the epoch, by the clock that windows are declared in."""
    return SystemClock().now_ns() / 1e9


def monotonic_of(instant_s: float) -> int:
    """An instant of the wall clock as nanoseconds of CLOCK_MONOTONIC, as both run now."""
    return int((instant_s - wall_s()) * 1e9) + time.monotonic_ns()


def sleep_until(instant_s: float) -> None:
    time.sleep(max(0.0, instant_s - wall_s()))
