"""The real daemon as a process in a namespace, and what a test asks of it and of the kernel."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from enforcer.clock import SystemClock
from enforcer.kernel.namespace import in_namespace
from tests.cli.cli_worlds import MAIN, REGISTRY, window_text
from tests.kernel.slowness import patient, whole

# Generous: these tests ask what happens, not how fast. A machine at its limit may take its time.
PATIENCE_S = patient(30.0)


def eventually(found: Callable[[], Any], what: str = "") -> Any:
    """The first true answer of `found`; fails when there is none in good time."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = found()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not in {PATIENCE_S:.0f} s: {what or found}"
        time.sleep(0.02)


class Gateway:
    """A configuration in `folder` and the daemon for it in `namespace`."""

    def __init__(self, namespace: str, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        self.config = folder / "enforcer.yaml"
        self.run_dir, self.state_dir = folder / "run", folder / "state"
        self.socket = self.run_dir / "control.sock"
        for each in (self.run_dir, self.state_dir, folder / "windows.d"):
            each.mkdir()
        self.now = SystemClock().now().replace(microsecond=0)
        self.log = folder / "daemon.log"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment: dict[str, str] = {}
        self.write()

    # --- files ---------------------------------------------------------------------------------

    def write(
        self, *, main: str = MAIN, registry: str = REGISTRY, windows: str | None = None
    ) -> None:
        self.config.write_text(main)
        (self.folder / "registry.csv").write_text(registry)
        self.write_windows(self.window() if windows is None else windows)

    def write_windows(self, text: str) -> None:
        (self.folder / "windows.d" / "w.yaml").write_text(text or "[]\n")

    def window(self, starts_s: int = -3600, ends_s: int = 3600, more: str = "") -> str:
        """`ddos` with all measures, in seconds from now (more of them on a slow machine)."""
        now = SystemClock().now()
        start, end = (now + timedelta(seconds=whole(s)) for s in (starts_s, ends_s))
        reserve = "    reserve: {link: wan, share: 40%}\n"
        return window_text("ddos", start, end, more=reserve + more)

    # --- processes -----------------------------------------------------------------------------

    def spawn(self, *before: str, argv: Sequence[str] = ("run",)) -> subprocess.Popen[bytes]:
        """`enforcer ARGV`; `before` is put in front of it (`strace …`, `setpriv …`)."""
        command = [
            *("ip", "netns", "exec", self.namespace, *before),
            *(sys.executable, "-m", "enforcer", "--config", str(self.config), *argv),
        ]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment(), cwd=self.folder
            )
        self.processes.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        hidden = ("NOTIFY_SOCKET", "JOURNAL_STREAM")
        wiped = {key: value for key, value in os.environ.items() if key not in hidden}
        places = {
            "ENFORCER_RUN_DIR": str(self.run_dir),
            "ENFORCER_STATE_DIR": str(self.state_dir),
        }
        return wiped | places | self.environment

    def start(self, *before: str) -> subprocess.Popen[bytes]:
        """A daemon that answers: its first step is done."""
        process = self.spawn(*before)
        eventually(lambda: self._answers(process), "the daemon answers")
        return process

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.said()
        return self.socket.exists() and "gateway" in self.status()

    def run(self, *argv: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        return subprocess.run(
            [
                *("ip", "netns", "exec", self.namespace, *before),
                *(sys.executable, "-m", "enforcer", "--config", str(self.config), *argv),
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            env=self._environment(),
            cwd=self.folder,
        )

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE_S)

    # --- what it says --------------------------------------------------------------------------

    def said(self) -> str:
        return self.log.read_text()

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--format", "json").stdout))

    def metrics(self) -> dict[str, float]:
        text = self.scrape()
        lines = (line for line in text.splitlines() if not line.startswith("#"))
        return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines)}

    def scrape(self) -> str:
        with (
            in_namespace(self.namespace),
            urllib.request.urlopen("http://127.0.0.1:9435/metrics", timeout=patient(10)) as answer,
        ):
            return str(answer.read().decode())

    def connections(self) -> int:
        """How many have connected to the newest daemon's control socket, and are not gone yet."""
        # A connection is of the network namespace of whoever connects.
        places = (str(self.processes[-1].pid), "self")
        there = "".join(Path(f"/proc/{p}/net/unix").read_text() for p in places)
        return max(0, there.count(f" {self.socket}\n") - 1)

    # --- what the kernel holds -----------------------------------------------------------------

    def inside(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace, *command],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stderr}"
        return done.stdout

    def ruleset(self) -> str:
        return self.inside("nft", "list", "ruleset")

    def map_name(self) -> str:
        """The registered map of IPv4 addresses; its size is part of its name."""
        found = re.search(r"map (reg4-32-\d+) ", self.ruleset())
        assert found is not None
        return found[1]

    def armed(self) -> bool:
        """Whether the kernel itself arms the window: elements in its arming set."""
        listed = self.inside("nft", "list", "set", "inet", "enforcer", "armed.ddos", check=False)
        return "elements" in listed

    def hooks(self) -> set[str]:
        """The hooked chains of our table, as `prerouting` or `ingress wan0`."""
        found = re.findall(r'type filter hook (\w+)(?: device "([^"]+)")?', self.ruleset())
        return {f"{hook} {device}".strip() for hook, device in found}

    def shaped(self) -> bool:
        return "qdisc htb e4f0:" in self.inside("tc", "qdisc", "show", "dev", "wan0", check=False)

    def untouched(self) -> bool:
        """Nothing of ours: no table, no shaper, no socket."""
        return not self.ruleset() and not self.shaped() and not self.socket.exists()

    def handles(self) -> list[str]:
        """Every rule with its handle, without what runs: counters and timers."""
        listed = self.inside("nft", "-a", "list", "table", "inet", "enforcer")
        return [line.strip() for line in listed.splitlines() if "# handle" in line]


# A mount namespace of its own, in which something is done to the state directory first.
_ALONE = ("unshare", "--mount", "--propagation", "private", "sh", "-c")


def with_full_disk(state: Path) -> tuple[str, ...]:
    """To put in front of a daemon: its state directory is a small disk without room."""
    fill = f"mount -t tmpfs -o size=64k none {state}; cat /dev/zero >{state}/full 2>/dev/null; "
    return (*_ALONE, f'{fill} exec "$@"', "sh")


def with_read_only_disk(state: Path) -> tuple[str, ...]:
    """To put in front of a daemon: nothing can be written to its state directory."""
    bind = f"mount --bind {state} {state}; mount -o remount,ro,bind {state}; "
    return (*_ALONE, f'{bind} exec "$@"', "sh")


# 192.0.2.99:9 → 203.0.113.5:51820, UDP: the first datagram of an unregistered VPN to the estate.
def knock(namespace: str) -> None:
    """Puts one such datagram on the wire, so that it arrives at wan0 from outside."""
    udp = struct.pack("!HHHH", 9, 51820, 8 + 4, 0) + b"knock"[:4]
    source, to = (socket.inet_aton(a) for a in ("192.0.2.99", "203.0.113.5"))
    # 0x7c64 is this header's checksum: the kernel throws others away before any rule.
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0x7C64, source, to)
    frame = b"\xff" * 6 + b"\x02" + bytes(5) + b"\x08\x00" + ip + udp
    with in_namespace(namespace):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with wire:
        wire.bind(("wan0-peer", 0))
        wire.send(frame)


class Manager:
    """A service manager's notification socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.path.chmod(0o666)
        self._socket.settimeout(PATIENCE_S)

    def next(self) -> list[str]:
        return self._socket.recv(4096).decode().split("\n")

    def until(self, assignment: str) -> list[list[str]]:
        """Everything up to the message with this assignment."""
        heard: list[list[str]] = []
        while not heard or not any(a.startswith(assignment) for a in heard[-1]):
            heard.append(self.next())
        return heard

    def close(self) -> None:
        self._socket.close()


def stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(PATIENCE_S)
