"""What a lab has put on the machine, on record before it is made, so that all of it can be removed.

In: programs to start, namespaces to make. Out: a state file in a directory of root's own, and after
`remove` nothing of it. It must never end a process that it did not start: each is known by its id,
its start time and its command line, and all three must still fit.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from enforcer.lab.machine import LabError, command
from enforcer.lab.namespace import Namespace, existing

ROOT = Path("/run/enforcer-lab")
WIREGUARD_SOCKETS = Path("/var/run/wireguard")
STATE_FILE = "state.json"
TERM_S = 2.0
KILL_S = 2.0


@dataclass(frozen=True, slots=True)
class Process:
    """`started` is field 22 of /proc/PID/stat: clock ticks since boot, so a reused id differs."""

    pid: int
    started: int
    command: tuple[str, ...]

    def alive(self) -> bool:
        line = command_line(self.pid)
        return (
            started_at(self.pid) == self.started
            and tuple(line[len(line) - len(self.command) :]) == self.command
        )

    def signal(self, number: int) -> None:
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def started_at(pid: int) -> int | None:
    """When the process started, in ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def command_line(pid: int) -> list[str]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="replace") for part in raw.split(b"\0")[:-1]]


@dataclass(slots=True)
class Footprint:
    """Everything of one lab: `directory` holds its files, logs and this record."""

    directory: Path
    owner: Process
    namespaces: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    kept: bool = False
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)

    @classmethod
    def begin(cls, root: Path = ROOT) -> Footprint:
        """A fresh directory for this process's lab. Raises LabError when one is there already."""
        pid = os.getpid()
        directory = root / str(pid)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            raise LabError(
                f"{directory}: left by an earlier lab; run: enforcer lab --clean"
            ) from None
        footprint = cls(directory, Process(pid, started_at(pid) or 0, tuple(command_line(pid))))
        footprint.save()
        return footprint

    def namespace(self, role: str) -> Namespace:
        """Makes the namespace `lab-PID-ROLE`, with its loopback up."""
        namespace = Namespace(role, f"lab-{self.owner.pid}-{role}")
        self.namespaces.append(namespace.name)
        self.save()
        command("ip", "netns", "add", namespace.name)
        namespace.ip("link set lo up")
        return namespace

    def device(self, letter: str) -> str:
        """A WireGuard device name that is unique on this machine: its control socket is shared by
        all namespaces."""
        name = f"lab{self.owner.pid}{letter}"
        self.devices.append(name)
        self.save()
        return name

    def spawn(
        self,
        namespace: Namespace,
        argv: Sequence[str],
        log: str,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a program inside a namespace, in a session of its own (Ctrl-C is for us alone)."""
        with open(self.directory / log, "ab") as output:
            child = subprocess.Popen(
                namespace.argv(*argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | dict(environment or {}),
                start_new_session=True,
            )
        self._children.append(child)
        self.processes.append(Process(child.pid, started_at(child.pid) or 0, tuple(argv)))
        self.save()
        return child

    def save(self) -> None:
        record = {
            "owner": asdict(self.owner),
            "namespaces": self.namespaces,
            "devices": self.devices,
            "processes": [asdict(process) for process in self.processes],
            "kept": self.kept,
        }
        scratch = self.directory / f"{STATE_FILE}.new"
        scratch.write_text(json.dumps(record, indent=1))
        scratch.replace(self.directory / STATE_FILE)

    @classmethod
    def load(cls, directory: Path) -> Footprint:
        record = json.loads((directory / STATE_FILE).read_text())
        return cls(
            directory,
            _process(record["owner"]),
            list(record["namespaces"]),
            list(record["devices"]),
            [_process(each) for each in record["processes"]],
            bool(record["kept"]),
        )

    def remove(self) -> None:
        """Ends the processes, deletes the namespaces and the directory. Safe to repeat."""
        self._end(signal.SIGTERM, TERM_S)
        self._end(signal.SIGKILL, KILL_S)
        for name in reversed(self.namespaces):
            if name in existing():
                command("ip", "netns", "del", name)
        # A device that was killed leaves its control socket behind.
        for device in self.devices:
            (WIREGUARD_SOCKETS / f"{device}.sock").unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        # Directories that others share go when they are empty.
        for shared in (self.directory.parent, *([WIREGUARD_SOCKETS] if self.devices else [])):
            with contextlib.suppress(OSError):
                shared.rmdir()

    def _end(self, number: int, patience_s: float) -> None:
        for process in reversed(self.processes):
            process.signal(number)
        deadline = time.monotonic() + patience_s
        while self._any_alive() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _any_alive(self) -> bool:
        for child in self._children:
            child.poll()  # reaps it, so that it is not a zombie
        return any(process.alive() for process in self.processes)


def _process(record: dict[str, object]) -> Process:
    pid, started, argv = record["pid"], record["started"], record["command"]
    if not (isinstance(pid, int) and isinstance(started, int) and isinstance(argv, list)):
        raise ValueError("not a process")
    return Process(pid, started, tuple(str(part) for part in argv))


def clean(root: Path = ROOT) -> list[str]:
    """Removes what kept and broken labs left; gives a line for each. A running lab stays."""
    lines: list[str] = []
    for directory in sorted(root.iterdir()) if root.is_dir() else ():
        try:
            footprint = Footprint.load(directory)
        except (OSError, ValueError, KeyError, TypeError):
            lines.append(
                f"{directory}: no readable {STATE_FILE}; look at it, then delete it yourself"
            )
            continue
        if footprint.owner.alive():
            lines.append(f"{directory}: its lab still runs as process {footprint.owner.pid}; left")
            continue
        footprint.remove()
        lines.append(
            f"removed lab {directory.name}: {len(footprint.processes)} processes, "
            f"{len(footprint.namespaces)} namespaces"
        )
    return lines
