"""Reads what the doctor judges: /proc, /sys, netlink, the service manager. Changes nothing.

Out: the facts of `rules`, `paths` and `machine`. What cannot be read is None or empty, and never
raises: a doctor that stops at the first thing it cannot see is of no use.
"""

from __future__ import annotations

import importlib
import os
import pwd
import re
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from zoneinfo import TZPATH

from enforcer import loading, seen, standing
from enforcer.control import DeniedError, NoDaemonError, ask
from enforcer.doctor.machine import ClockFacts, Daemons, File, Folder, Unit
from enforcer.doctor.rules import Conntrack, LegacyTable, Listener
from enforcer.observe import audit_files
from enforcer.sources import lastgood
from enforcer.sources.files import WINDOWS_FOLDER, local_windows
from enforcer.sources.trust import distrust

USER = "enforcer"
UNITS = ("enforcer.service", "enforcer-clock.socket")
_PATIENCE_S = 10
_SYSTEMD = Path("/run/systemd/system")
_ASKED = ("LoadState", "UnitFileState", "ActiveState", "NeedDaemonReload")


def sysctl(path: str, proc: Path = Path("/proc")) -> int | None:
    try:
        return int((proc / "sys" / path).read_text())
    except (OSError, ValueError):
        return None


def effective_capabilities(proc: Path = Path("/proc")) -> int:
    text = (proc / "self" / "status").read_text()
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", text, re.MULTILINE)
    return int(found[1], 16) if found else 0


def conntrack(proc: Path = Path("/proc")) -> Conntrack | None:
    base = "net/netfilter/nf_conntrack_"
    count, most = sysctl(f"{base}count", proc), sysctl(f"{base}max", proc)
    return None if count is None or most is None else Conntrack(count, most)


def legacy_tables(proc: Path = Path("/proc")) -> list[LegacyTable]:
    """Tables of iptables-legacy that this namespace has. Asking for those loads no module."""
    found = []
    for program, names in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")):
        try:
            tables = (proc / "net" / names).read_text().split()
        except OSError:
            continue
        for name in sorted(tables):
            saved = _output(f"{program}-legacy-save", "-t", name)
            chains = None if saved is None else legacy_chains(saved)
            found.append(LegacyTable(f"{program}-legacy", name, chains))
    return found


_CHAIN = re.compile(r":(\S+) (ACCEPT|DROP|-) ")
_RULE = re.compile(r"-A (\S+) (?:.* )?-[jg] (\S+)")


def legacy_chains(saved: str) -> tuple[tuple[str, bool, int], ...]:
    """Built-in chains with a policy, and how many rules drop, over the chains that they lead to."""
    policies: dict[str, str] = {}
    drops: dict[str, int] = {}
    leads: dict[str, set[str]] = {}
    for line in saved.splitlines():
        if chain := _CHAIN.match(line):
            policies[chain[1]] = chain[2]
        elif rule := _RULE.match(line):
            name, target = rule[1], rule[2]
            drops[name] = drops.get(name, 0) + (target in ("DROP", "REJECT"))
            leads.setdefault(name, set()).add(target)
    found = []
    for name, policy in policies.items():
        if policy == "-":
            continue
        reached, left = {name}, [name]
        while left:
            further = leads.get(left.pop(), set()) & policies.keys() - reached
            reached |= further
            left += further
        found.append((name, policy == "DROP", sum(drops.get(each, 0) for each in reached)))
    return tuple(found)


def clock(synchronised: bool, socket: Path) -> ClockFacts:
    return ClockFacts(synchronised, socket.exists() if _SYSTEMD.exists() else None)


def folder(path: Path) -> Folder:
    try:
        info = path.stat()
        room = os.statvfs(path)
    except OSError:
        return Folder(str(path), there=False)
    owner = _name(info.st_uid)
    # Whoever the daemon runs as owns it: that this is another than root is as it should be.
    why_not = distrust(info, folder=True, listed=True) if owner != USER else None
    free_files = room.f_favail if room.f_files else 1 << 20
    return Folder(str(path), True, owner, why_not, room.f_bavail * room.f_frsize, free_files)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def user() -> str | None:
    try:
        return pwd.getpwnam(USER).pw_name
    except KeyError:
        return None


def state_files(directory: Path) -> list[tuple[Path, str]]:
    """What daemon and commands keep in the state directory, and what the daemon does with it: most
    of it is replaced, and so has to be readable alone.
    """
    record = [(path, "r") for path in sorted(directory.glob("audit-*.jsonl"))]
    names = (audit_files.FILE, audit_files.HEAD, loading.FILE)
    written = [(directory / name, "rw") for name in names]
    replaced = [standing.FILE, lastgood.FILE, seen.FILE]
    return [*record, *written, *((directory / name, "r") for name in replaced)]


def config_files(config: Path, registries: Iterable[str]) -> list[tuple[Path, str]]:
    """What the daemon reads; `registries` are paths as the configuration names them."""
    folder = config.absolute().parent
    windows = [folder / WINDOWS_FOLDER]
    if (local := local_windows(folder)) is not None:
        windows.append(local)
    declared = [path for each in windows for path in sorted(each.glob("*.yaml"))]
    named = [config, *declared, *(folder / name for name in registries)]
    folders = [(folder, "x"), *((each, "rx") for each in windows)]
    return [*folders, *((path, "r") for path in named)]


def files(paths: Iterable[tuple[Path, str]], user: str | None) -> list[File]:
    """Those that are there, each with what it is needed for: what `user` may do with them."""
    if user is None:
        return []
    entry = pwd.getpwnam(user)
    groups = os.getgrouplist(user, entry.pw_gid)
    found = []
    for path, needs in paths:
        with suppress(OSError):
            info = path.stat()
            shift = 6 if info.st_uid == entry.pw_uid else 3 if info.st_gid in groups else 0
            bits = info.st_mode >> shift
            can = "".join(right for right, bit in (("r", 4), ("w", 2), ("x", 1)) if bits & bit)
            can = "rwx" if entry.pw_uid == 0 else can
            found.append(File(str(path), _name(info.st_uid), needs, can))
    return found


def daemons(run_dir: Path, foreign: str | None, proc: Path = Path("/proc")) -> Daemons:
    processes = tuple(daemon_processes(proc))
    try:
        answer = ask(run_dir, "status")
    except DeniedError as error:
        return Daemons(None, str(error), "run it as root", processes, foreign)
    except NoDaemonError as error:
        if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
            return Daemons(None, None, "", processes, foreign)
        return Daemons(None, str(error), error.remedy, processes, foreign)
    return Daemons(str(answer.get("version", "?")), None, "", processes, foreign)


def daemon_processes(proc: Path = Path("/proc")) -> Iterable[int]:
    """Processes that are `enforcer … run`, in this network namespace."""
    here = _namespace(proc / "self")
    for entry in sorted(proc.glob("[0-9]*"), key=lambda p: int(p.name)):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if _is_daemon(words) and _namespace(entry) == here:
            yield int(entry.name)


def _is_daemon(words: list[str]) -> bool:
    """`enforcer … run`, `python /usr/bin/enforcer … run`, `python -m enforcer … run`; not whatever
    else has these words among its arguments.
    """
    names = [os.path.basename(word) for word in words]
    at = next((i for i, name in enumerate(names) if not name.startswith(("python", "-"))), None)
    return at is not None and names[at] == "enforcer" and "run" in words[at + 1 :]


def _namespace(process: Path) -> str | None:
    try:
        return os.readlink(process / "ns" / "net")
    except OSError:
        return None


# NFNLGRP_NFTABLES of <linux/netfilter/nfnetlink.h>, as the mask shows it.
_NETFILTER, _NFTABLES = "12", 1 << (7 - 1)


def listeners(proc: Path = Path("/proc")) -> list[Listener]:
    """Who listens to changes of nf_tables, in every network namespace that has a process: the
    kernel asks whether anybody does anywhere, so one in a container counts as well. Not the daemon
    of this namespace, which looks away while it loads.
    """
    here, ours = _namespace(proc / "self"), set(daemon_processes(proc))
    namespaces: dict[str, Path] = {}
    for entry in sorted(proc.glob("[0-9]*"), key=lambda p: int(p.name)):
        if (namespace := _namespace(entry)) is not None:
            namespaces.setdefault(namespace, entry)
    sockets: dict[str, str] = {}
    for namespace, entry in namespaces.items():
        try:
            lines = (entry / "net" / "netlink").read_text().splitlines()
        except OSError:
            continue
        for fields in map(str.split, lines[1:]):
            if fields[1] == _NETFILTER and int(fields[3], 16) & _NFTABLES:
                sockets[fields[-1]] = namespace
    if not sockets:
        return []
    owners = _owners(set(sockets), proc)
    return [
        Listener(owners.get(inode), _program(proc, owners.get(inode)), namespace == here)
        for inode, namespace in sockets.items()
        if owners.get(inode) not in ours
    ]


def _owners(inodes: set[str], proc: Path) -> dict[str, int]:
    """A process that has each of these sockets open, as far as we may see."""
    found: dict[str, int] = {}
    for entry in sorted(proc.glob("[0-9]*"), key=lambda p: int(p.name)):
        with suppress(OSError):
            for descriptor in (entry / "fd").iterdir():
                with suppress(OSError):
                    inode = os.readlink(descriptor).removeprefix("socket:[").removesuffix("]")
                    if inode in inodes:
                        found.setdefault(inode, int(entry.name))
    return found


def _program(proc: Path, process: int | None) -> str:
    with suppress(OSError):
        return (proc / str(process) / "comm").read_text().strip()
    return ""


def units() -> Mapping[str, Unit] | None:
    """Name → properties of the units of enforcer; None where no systemd runs."""
    if not _SYSTEMD.exists():
        return None
    found: dict[str, Unit] = {}
    for name in UNITS:
        told = _output("systemctl", "show", f"--property={','.join(_ASKED)}", name) or ""
        found[name] = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    return found


def zone_database(paths: Iterable[str] = TZPATH) -> str | None:
    """The version of the zone database that windows are read with."""
    for path in map(Path, paths):
        if not (path / "UTC").exists():
            continue
        for name, pattern in (("tzdata.zi", r"# version (\S+)"), ("+VERSION", r"(\S+)")):
            try:
                with open(path / name, encoding="ascii", errors="replace") as file:
                    found = re.match(pattern, file.readline())
            except OSError:
                continue
            if found:
                return found[1]
        return None
    try:
        return str(importlib.import_module("tzdata").IANA_VERSION)
    except (ModuleNotFoundError, AttributeError):
        return None


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
