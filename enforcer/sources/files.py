"""The configuration's files, each read once: what is parsed, hashed and applied is the same bytes.

A path comes in, bytes by name go out. Names are relative to the folder of the configuration file,
as they stand in messages. Everything that keeps a file from being read is a `PolicyError` with the
remedy: the operator can act on it, and nothing in force changes.
"""

from __future__ import annotations

import os
import posixpath
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from enforcer.errors import PolicyError, Problem
from enforcer.policy.model import Policy, RegistrySpec
from enforcer.policy.words import shown
from enforcer.policy.zones import Zones
from enforcer.schedule.horizon import NO_ORDERS
from enforcer.schedule.load import load
from enforcer.schedule.orders import Orders
from enforcer.schedule.past import PastGuards
from enforcer.sources.reading import read_whole, refusal
from enforcer.sources.trust import distrust

# Ten thousand windows are 4 MB. YAML is read at about 1 MB a second, and the daemon waits for it.
YAML_BYTES = 8 * 1024**2
CALENDAR_BYTES = 16 * 1024**2
# Some four million rows, more than the kernel holds in the memory that it is given by default.
REGISTRY_BYTES = 256 * 1024**2
WINDOWS_FOLDER = "windows.d"
# Where `enforcer follow` keeps what its fleet's revision holds.
FOLLOWED = Path("/var/lib/enforcer/fleet/current/enforcer.yaml")
# The folder of a fleet's revision: `current`, or what that links to.
_REVISION = re.compile(r"revisions/\d{12}", re.ASCII)

# The system's zones; names are listed (which opens every file of the database) for hints only.
ZONES = Zones(zoneinfo.ZoneInfo, zoneinfo.available_timezones)


@dataclass(frozen=True, slots=True)
class Documents:
    """What declares a policy: `files` is name → bytes of the YAML files, `main` the name of
    `enforcer.yaml` among them, `calendars` name → bytes of the calendar files that windows name.
    """

    main: str
    files: Mapping[str, bytes]
    calendars: Mapping[str, bytes] = field(default_factory=dict)

    def policy(
        self,
        now: datetime | None = None,
        orders: Orders = NO_ORDERS,
        past: PastGuards = (),
    ) -> Policy:
        """The policy that they declare, with nothing read anew. Raises PolicyError."""
        return load(self.files, self.main, ZONES, self._calendar, now, orders, past)

    def _calendar(self, name: str) -> bytes:
        try:
            return self.calendars[name]
        except KeyError:
            raise ValueError("was not kept with the configuration; load it anew") from None


@dataclass(frozen=True, slots=True)
class Texts:
    """A whole configuration as it was read; `registries` is name → bytes of the registry files."""

    documents: Documents
    registries: Mapping[str, bytes]


class RegistryError(PolicyError):
    """The policy is right, and registrations cannot be read: what machines write, not people."""


def where_from(path: Path) -> str:
    """Where a configuration comes from that is not at `path`: from the fleet, where `path` is what
    its follower keeps or a gateway.yaml beside it names one; else from `enforcer init`.
    """
    if path.parts[-3:] == FOLLOWED.parts[-3:]:
        return "enforcer follow --once fetches it, see docs/fleet.md"
    if os.path.lexists(path.with_name("gateway.yaml")):
        fact = "gateway.yaml beside it makes this a gateway of a fleet"
        return f"{fact}, whose configuration is --config {FOLLOWED}: see docs/fleet.md"
    if path.name != "enforcer.yaml":
        return "enforcer init FOLDER writes FOLDER/enforcer.yaml to begin from"
    return f"enforcer init {path.parent} writes one to begin from"


def local_windows(folder: Path) -> Path | None:
    """Where a gateway of a fleet has windows of its own, beside all revisions, so that the next one
    takes none of them away; `folder` is that of a revision. None: it is none of a fleet.
    """
    # By the name alone, whichever revision it is: it may be exchanged at this moment.
    real = folder.resolve()
    if _REVISION.fullmatch("/".join(real.parts[-2:])):
        return real.parents[1] / WINDOWS_FOLDER
    return None


@dataclass(slots=True)
class Reader:
    """Reads the files of one configuration below `folder`, and gathers what is wrong with them.

    With `guarded` it refuses what somebody else could change (`sources.trust`).
    """

    folder: Path
    guarded: bool = False
    problems: list[Problem] = field(default_factory=list)
    _looked_at: set[Path] = field(default_factory=set)

    def documents(self, main: str) -> dict[str, bytes]:
        """`enforcer.yaml` and `windows.d/*.yaml` beside it, by name; and by their whole path the
        windows of a fleet's gateway of its own (`local_windows`).
        """
        path = self.folder / main
        files = self.every([main], YAML_BYTES, where_from(path))
        # Where the configuration itself is not there, its folder is what the person has to see.
        self.problems = [replace(p, file=str(path)) if p.file == main else p for p in self.problems]
        files |= self.every(self._windows_files(WINDOWS_FOLDER), YAML_BYTES)
        if (local := local_windows(self.folder)) is not None:
            files |= self.every(self._windows_files(str(local)), YAML_BYTES)
        if sum(map(len, files.values())) > YAML_BYTES:
            fact = f"its files are larger than {YAML_BYTES // 1024**2:,} MB together"
            self._refuse(WINDOWS_FOLDER, f"{fact}, the most that is read; take old windows out")
        return files

    def every(
        self, names: Iterable[str], most_bytes: int, comes_from: str = ""
    ) -> dict[str, bytes]:
        """The files `names`, without those that cannot be read. `comes_from` as for `refusal`."""
        files: dict[str, bytes] = {}
        for name in names:
            try:
                files[name] = self.one(name, most_bytes, comes_from)
            except ValueError as error:
                self._refuse(name, str(error))
        return files

    def one(self, name: str, most_bytes: int, comes_from: str = "") -> bytes:
        """The bytes of a file. Raises ValueError with `fact; remedy`."""
        path = self.folder / name
        try:
            data = read_whole(path, most_bytes, guarded=self.guarded)
            self._look_at(path.parent)
            if path.is_symlink():
                self._look_at(path.resolve().parent)
        except (OSError, ValueError) as error:
            raise ValueError(refusal(error, path, comes_from)) from error
        return data

    def calendar(self, name: str) -> bytes:
        return self.one(name, CALENDAR_BYTES)

    def registries(self, spec: RegistrySpec) -> dict[str, bytes]:
        """The registry files, by name. Raises RegistryError when one cannot be read."""
        files = self.every(spec.files, REGISTRY_BYTES)
        never = {
            feed.file: f"was never fetched; run: enforcer fetch --once {feed.name}"
            for feed in spec.feeds
            if feed.file not in files and not os.path.lexists(self.folder / feed.file)
        }
        if self.problems:
            told = (replace(p, message=never.get(p.file, p.message)) for p in self.problems)
            raise RegistryError(sorted(told))
        return files

    def done(self) -> None:
        """Raises PolicyError when anything was wrong."""
        if self.problems:
            raise PolicyError(sorted(self.problems))

    def _windows_files(self, called: str) -> list[str]:
        """The names of the files in the folder of windows that is `called` so."""
        folder = self.folder / called
        try:
            names = sorted(os.listdir(folder))
            self._look_at(folder, listed=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._refuse(called, refusal(error))
            return []
        wanted = [name for name in names if name.endswith(".yaml") and not name.startswith(".")]
        for name in names:
            if name.endswith(".yml") and not name.startswith("."):
                self._refuse(posixpath.join(called, name), "is not read; rename it to end in .yaml")
        for name in wanted:
            # A name that a terminal cannot show would hide which file a message is about.
            if not name.isprintable():
                fact = f"holds a file named {shown(name)}, which cannot be shown"
                self._refuse(called, f"{fact}; rename it")
        return [posixpath.join(called, name) for name in wanted if name.isprintable()]

    def _look_at(self, folder: Path, *, listed: bool = False) -> None:
        """Who may write to a folder may put another file in the place of one in it."""
        if not self.guarded or folder in self._looked_at:
            return
        self._looked_at.add(folder)
        why = distrust(folder.stat(), folder=True, listed=listed)
        if why is not None:
            below = folder.is_relative_to(self.folder) and folder != self.folder
            self._refuse(str(folder.relative_to(self.folder) if below else folder), why)

    def _refuse(self, name: str, message: str) -> None:
        self.problems.append(Problem(name, 0, 0, "", message))


def load_policy(
    config_path: Path,
    now: datetime | None = None,
    orders: Orders = NO_ORDERS,
    more: Mapping[str, bytes] = MappingProxyType({}),
    past: PastGuards = (),
) -> tuple[Policy, dict[str, bytes]]:
    """The policy at `config_path`, and the bytes of the registry files it names, by name.

    With `now`, windows are looked at from then on, under `orders` and beside `past`
    (`schedule.load`). `more` are
    windows files that are not on the disk yet, by name. Raises PolicyError with every
    problem of the configuration or, when it has none, of the registry files that cannot be read.
    """
    policy, texts = read_texts(config_path, now, orders, more, past=past)
    return policy, dict(texts.registries)


def policy_alone(
    config_path: Path,
    now: datetime | None = None,
    orders: Orders = NO_ORDERS,
    more: Mapping[str, bytes] = MappingProxyType({}),
    *,
    guarded: bool = False,
    past: PastGuards = (),
) -> tuple[Policy, Documents]:
    """As `load_policy` and `read_texts`, but no registry file is looked at."""
    reader = Reader(config_path.parent, guarded)
    read = _read_policy(reader, config_path.name, now, orders, more, past)
    # Of a calendar's folder it is found out as late as this who may write to it.
    reader.done()
    return read


def policy_and_files(
    config_path: Path, now: datetime, orders: Orders, past: PastGuards = ()
) -> tuple[Policy, dict[str, bytes]]:
    """As `load_policy`, without the registry files that cannot be read: for a decision that needs
    none of them.
    """
    policy, _ = policy_alone(config_path, now, orders, past=past)
    return policy, Reader(config_path.parent).every(policy.registry.files, REGISTRY_BYTES)


def read_texts(
    config_path: Path,
    now: datetime | None = None,
    orders: Orders = NO_ORDERS,
    more: Mapping[str, bytes] = MappingProxyType({}),
    *,
    guarded: bool = False,
    past: PastGuards = (),
) -> tuple[Policy, Texts]:
    """As `load_policy`, with all bytes that were read. With `guarded` every file and folder that
    somebody else could change is refused.
    """
    reader = Reader(config_path.parent, guarded)
    policy, documents = _read_policy(reader, config_path.name, now, orders, more, past)
    return policy, Texts(documents, reader.registries(policy.registry))


def _read_policy(
    reader: Reader,
    main: str,
    now: datetime | None,
    orders: Orders,
    more: Mapping[str, bytes],
    past: PastGuards,
) -> tuple[Policy, Documents]:
    files = reader.documents(main)
    reader.done()
    calendars: dict[str, bytes] = {}

    def read_calendar(name: str) -> bytes:
        return calendars.setdefault(name, reader.calendar(name))

    policy = load({**files, **more}, main, ZONES, read_calendar, now, orders, past)
    return policy, Documents(main, files, calendars)
