"""The policy as values. What comes out of `policy.load`, and what everything later trusts.

Frozen and checked: behind this module there is no raw text and no dict. Durations are seconds or
timedelta, rates bits per second, instants aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Literal

from enforcer.policy.feed import Feed
from enforcer.policy.limits import SAMPLE_DEFAULT
from enforcer.policy.prefix import Prefix, Service

OnStop = Literal["keep", "release"]
Lease = Literal["gateway", "until-end"]


@dataclass(frozen=True, slots=True)
class Estate:
    """The operator's own servers that guard protects: a few prefixes and named services."""

    name: str
    prefixes: tuple[Prefix, ...]
    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A named interface whose rate `reserve` shares out."""

    name: str
    device: str
    rate_bps: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Tag registered traffic: `fwmark` (32 bits) and/or `dscp` (six bits)."""

    fwmark: int | None = None
    dscp: int | None = None


@dataclass(frozen=True, slots=True)
class Reserve:
    """Guarantee registered traffic a `share` (0 < share <= 0.8) of the link named `link`."""

    link: str
    share: float


@dataclass(frozen=True, slots=True)
class Guard:
    """Let new inbound flows to the estate named `estate` in only from registered and lifelines."""

    estate: str


Measure = Mark | Reserve | Guard


@dataclass(frozen=True, slots=True)
class Once:
    """The time form `once`, as instants: both aware and in UTC."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Recurring:
    """The time form of RFC 5545: `rrule` from the wall time `start` in the window's zone.

    `start`, `except_` and `last` are naive wall times; `duration` is elapsed time. `last` is the
    last wall time of a rule with COUNT. `fold` tells what is meant where the clock shows a wall
    time twice or not at all (PEP 495: 0 reads it on the clock before the change, 1 after).
    """

    rrule: str
    start: datetime
    duration: timedelta
    except_: tuple[datetime, ...] = ()
    fold: int | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hijri:
    """Days of the Umm al-Qura calendar, each from `from_minute` to `to_minute` of the wall clock.

    `to_minute` before `from_minute` means the next day. `sighting` are (year, shift in days) of
    the month that begins the window; `fold` as in `Recurring`.
    """

    month: int
    day: int
    days: int
    from_minute: int
    to_minute: int
    sighting: tuple[tuple[int, int], ...] = ()
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A VEVENT as `zone`'s wall clock tells it; `start`, `last`, `also`, `not_on` are naive.

    It ends `days` later on the wall clock and then `length` of elapsed time later. `all_day`: from
    the first instant of a day to the first of another. `also` are RDATEs; `not_on` what EXDATE or
    an override takes out. `line` is where it begins in its file.
    """

    summary: str
    start: datetime
    zone: tzinfo
    days: int
    length: timedelta
    all_day: bool = False
    rrule: str = ""
    last: datetime | None = None
    also: tuple[datetime, ...] = ()
    not_on: frozenset[datetime] = frozenset()
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Events of an iCalendar file whose summary contains `match` (every event when None).

    `file` is relative to the folder of `enforcer.yaml`; `fold` as in `Recurring`.
    """

    file: str
    match: str | None = None
    events: tuple[Event, ...] = ()
    fold: int | None = None


TimeForm = Once | Recurring | Hijri | Calendar


@dataclass(frozen=True, slots=True)
class Window:
    """What an operator declared: who, why, when, and which measures.

    `zone` is the zone in which the window's times are shown; `zone_name` its IANA name, or the
    offset as text. `source` is `file:line:column` of the declaration, for messages. `windows` are
    equal when what they declare is equal, wherever they stand.
    """

    id: str
    reason: str
    declared_by: str
    reference: str
    form: TimeForm
    zone: tzinfo
    zone_name: str
    mark: Mark | None = None
    reserve: Reserve | None = None
    guard: Guard | None = None
    lease: Lease = "gateway"
    stage: bool = False
    provisional: bool = False
    source: str = field(default="", compare=False)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The window's measures in the order of the packet path."""
        return tuple(m for m in (self.guard, self.mark, self.reserve) if m is not None)

    @property
    def measure_names(self) -> tuple[str, ...]:
        return tuple(type(m).__name__.lower() for m in self.measures)


@dataclass(frozen=True, slots=True)
class Gateway:
    name: str
    uplinks: tuple[str, ...]
    lease_s: int = 600
    require_synchronised_clock: bool = True
    on_stop: OnStop = "keep"


@dataclass(frozen=True, slots=True)
class RegistrySpec:
    """Where registrations come from. `files` are names relative to the configuration file; those of
    `feeds`, which `enforcer fetch` keeps, are among them.
    """

    files: tuple[str, ...] = ()
    shrink_limit: float = 0.2
    kernel_memory_bytes: int = 256 * 1024 * 1024
    feeds: tuple[Feed, ...] = ()

    def feed(self, file: str) -> Feed | None:
        """The feed that is kept in a file."""
        return next((feed for feed in self.feeds if feed.file == file), None)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of the status port, relative to the folder of `enforcer.yaml`. With `client_ca`
    only clients whose certificate it signed are answered.
    """

    certificate: str
    key: str
    client_ca: str | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where the status port listens. `names`: further host names that it is asked by."""

    host: str = "127.0.0.1"
    port: int = 9435
    tls: Tls | None = None
    names: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """Reached from this machine only."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def listen(self) -> str:
        """`host:port`, as it is written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Observe:
    """`sample`: packets a second of each kind whose headers are checked; 0: none."""

    sample: int = SAMPLE_DEFAULT


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything the operator declared, but for the registrations themselves.

    `digest` names the bytes it was read from (hexadecimal, for the record).
    """

    gateway: Gateway
    categories: tuple[str, ...]
    registry: RegistrySpec = RegistrySpec()
    lifelines: tuple[Prefix, ...] = ()
    estates: tuple[Estate, ...] = ()
    links: tuple[Link, ...] = ()
    windows: tuple[Window, ...] = ()
    metrics: Metrics = Metrics()
    observe: Observe = Observe()
    digest: str = ""
    # Thousands of windows are asked for by name at each step.
    _by_id: Mapping[str, Window] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {window.id: window for window in self.windows})

    def estate(self, name: str) -> Estate:
        return next(estate for estate in self.estates if estate.name == name)

    def link(self, name: str) -> Link:
        return next(link for link in self.links if link.name == name)

    def window(self, window_id: str) -> Window | None:
        return self._by_id.get(window_id)


@dataclass(frozen=True, slots=True, order=True)
class Activation:
    """One occurrence of a window, as instants: aware and in UTC, `ends_at` excluded."""

    starts_at: datetime
    ends_at: datetime
    window: Window = field(compare=False)

    @property
    def id(self) -> str:
        return self.window.id
