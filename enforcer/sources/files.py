"""The configuration's files, each read once: what is parsed, hashed and applied is the same bytes.

A path comes in, bytes by name go out. Names are relative to the folder of the configuration file,
as they stand in messages. Everything that keeps a file from being read is a `PolicyError` with the
remedy: the operator can act on it, and nothing in force changes.
"""

from __future__ import annotations

import os
import posixpath
import stat
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType

from enforcer.errors import PolicyError, Problem
from enforcer.policy.model import Policy
from enforcer.policy.words import shown
from enforcer.policy.zones import Zones
from enforcer.schedule.horizon import NO_ORDERS
from enforcer.schedule.load import load
from enforcer.schedule.orders import Orders

YAML_BYTES = 64 * 1024**2
CALENDAR_BYTES = 16 * 1024**2
REGISTRY_BYTES = 1024**3
WINDOWS_FOLDER = "windows.d"

# The system's zones; names are listed (which opens every file of the database) for hints only.
ZONES = Zones(zoneinfo.ZoneInfo, zoneinfo.available_timezones)


@dataclass(frozen=True, slots=True)
class Documents:
    """The YAML files: `files` is name → bytes, `main` the name of `enforcer.yaml` among them."""

    folder: Path
    main: str
    files: dict[str, bytes]


def read(config_path: Path) -> Documents:
    """`enforcer.yaml` at `config_path` and `windows.d/*.yaml` beside it.

    Files of `windows.d` that begin with a dot or do not end in `.yaml` are left out; a missing
    `windows.d` is an empty one. Raises PolicyError.
    """
    folder, main = config_path.parent, config_path.name
    problems: list[Problem] = []
    files = _read_all(folder, [main], YAML_BYTES, problems)
    # Where the configuration itself is not there, its folder is what the person has to see.
    problems = [replace(problem, file=str(config_path)) for problem in problems]
    files |= _read_all(folder, _windows_files(folder, problems), YAML_BYTES, problems)
    if problems:
        raise PolicyError(sorted(problems))
    return Documents(folder, main, files)


def read_registry(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The registry files `names`, relative to `folder`: name → bytes. Raises PolicyError."""
    problems: list[Problem] = []
    files = _read_all(folder, names, REGISTRY_BYTES, problems)
    if problems:
        raise PolicyError(sorted(problems))
    return files


def load_policy(
    config_path: Path,
    zones: Zones = ZONES,
    now: datetime | None = None,
    orders: Orders = NO_ORDERS,
    more: Mapping[str, bytes] = MappingProxyType({}),
) -> tuple[Policy, dict[str, bytes]]:
    """The policy at `config_path`, and the bytes of the registry files it names, by name.

    With `now`, windows are looked at from then on, under `orders` (`schedule.load`). `more` are
    windows files that are not on the disk yet, by name. Raises PolicyError with every
    problem of the configuration or, when it has none, of the registry files that cannot be read.
    """
    documents = read(config_path)
    read_calendar = partial(_read_calendar, documents.folder)
    files = {**documents.files, **more}
    policy = load(files, documents.main, zones, read_calendar, now, orders)
    return policy, read_registry(documents.folder, policy.registry.files)


def _read_calendar(folder: Path, name: str) -> bytes:
    try:
        return _read_one(folder / name, CALENDAR_BYTES)
    except (OSError, ValueError) as error:
        raise ValueError(refusal(error)) from error


def _windows_files(folder: Path, problems: list[Problem]) -> list[str]:
    try:
        names = sorted(os.listdir(folder / WINDOWS_FOLDER))
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(Problem(WINDOWS_FOLDER, 0, 0, "", refusal(error)))
        return []
    wanted = [name for name in names if name.endswith(".yaml") and not name.startswith(".")]
    for name in names:
        if name.endswith(".yml") and not name.startswith("."):
            place = posixpath.join(WINDOWS_FOLDER, name)
            problems.append(Problem(place, 0, 0, "", "is not read; rename it to end in .yaml"))
    for name in wanted:
        # A name that a terminal cannot show would hide which file a message is about.
        if not name.isprintable():
            fact = f"holds a file named {shown(name)}, which cannot be shown"
            problems.append(Problem(WINDOWS_FOLDER, 0, 0, "", f"{fact}; rename it"))
    return [posixpath.join(WINDOWS_FOLDER, name) for name in wanted if name.isprintable()]


def _read_all(
    folder: Path, names: Iterable[str], most_bytes: int, problems: list[Problem]
) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name in names:
        try:
            files[name] = _read_one(folder / name, most_bytes)
        except (OSError, ValueError) as error:
            problems.append(Problem(name, 0, 0, "", refusal(error)))
    return files


def _read_one(path: Path, most_bytes: int) -> bytes:
    # Without O_NONBLOCK a named pipe in the place of a file would hold the daemon for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("is not a regular file; put a file there, or name another")
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        size = f"{most_bytes // 1024**2:,} MB"
        raise ValueError(f"is larger than {size}, the most that is read; split it, or correct it")
    return data


def refusal(error: Exception) -> str:
    """Why a file could not be read, as `fact; remedy`."""
    match error:
        case FileNotFoundError():
            return "does not exist; create it, or correct its name"
        case PermissionError():
            return "may not be read by this user; give the daemon's user or group the right to"
        case IsADirectoryError():
            return "is a directory; name a file in it"
        case NotADirectoryError():
            return "is, or lies below, a file that should be a directory; correct the path"
        case OSError():
            return f"cannot be read: {error.strerror or error}; check the file and its disk"
    return str(error)
