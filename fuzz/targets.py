"""What is fuzzed: each target takes bytes and returns, or raises what nobody has documented.

The documented errors are caught here and nowhere else: `PolicyError` for files, `ValueError` for
single values and the orders on disk, `KernelError` for what the kernel answers. Anything else that
comes out of a target is a bug of ours, as is an input that takes long or much memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from enforcer.errors import PolicyError
from enforcer.lookup.classes import classify_nodes
from enforcer.lookup.planner import plan
from enforcer.lookup.tree import RadixTree
from enforcer.policy.keys import PublicKey
from enforcer.policy.load import no_calendars
from enforcer.policy.model import Policy
from enforcer.policy.recurrence import check_rrule, last_wall, parse_rule, walls
from enforcer.policy.registry import parse_registry
from enforcer.policy.times import stamp
from enforcer.policy.zones import Zones
from enforcer.registries.reading import Asked, read_registry
from enforcer.ruleset.compiler import compile_ruleset
from enforcer.ruleset.promises import check
from enforcer.schedule.load import load
from enforcer.schedule.timeline import active, coming
from enforcer.sources.files import ZONES
from enforcer.sources.minisign import SignatureError, serial_of, verify

Target = Callable[[bytes], None]

# Between the files of an input that is several files.
CUT = b"\n%%%%\n"
CATEGORIES = ("software-house", "call-centre")
MAIN = b"""version: 1
gateway: {name: edge-1, uplinks: [wan0]}
categories: [software-house, call-centre]
registry: {sources: [{file: registry.csv}]}
estates:
  concentrators: {prefixes: [203.0.113.0/28], services: [udp/51820, tcp/443]}
links:
  wan: {device: wan0, rate: 1gbit}
"""
# One of each form, for what needs windows that come and go.
WINDOWS = b"""\
- {id: ddos, reason: r, declared_by: d, reference: NOC-1,
   start: "2026-12-01T08:00:00Z", duration: 4h, measures: {guard: {estate: concentrators}}}
- {id: exam, reason: r, declared_by: d, reference: NOC-1, rrule: "FREQ=WEEKLY;BYDAY=MO,TU",
   start: "2026-11-02T02:30:00", duration: 3h, timezone: Europe/Berlin,
   measures: {mark: {dscp: 40}}}
- {id: mourning, reason: r, declared_by: d, reference: NOC-1,
   hijri: {month: Muharram, day: 9, days: 2}, from: "06:00", to: "22:00", timezone: Asia/Karachi,
   measures: {mark: {fwmark: 1}}}
"""
_HEAD = b"- id: w\n  reason: r\n  declared_by: d\n  reference: NOC-1\n"
_TAIL = b"\n  measures: {mark: {fwmark: 1}}\n"
ROWS = "id,prefix,category,valid_from,valid_until,services\na,198.51.100.0/28,{},,,esp udp/500\n"
_ASKED = Asked(category=CATEGORIES[0], id_prefix="x-")
_KEY = PublicKey.parse("RWTzul0W4tgRVsofiV9nyRZqFJaJw/kCRNL7HrCwTZddh7R7hgI775PL")
_DAY = date(2026, 7, 1)
_NOW = datetime(2026, 12, 1, tzinfo=UTC)
_MONTH = timedelta(days=31)


def policy(data: bytes) -> None:
    """The main file and a windows file. What is accepted compiles, and keeps every promise."""
    main, _, windows = data.partition(CUT)
    documents = {"enforcer.yaml": main, "windows.d/w.yaml": windows}
    try:
        read = load(documents, "enforcer.yaml", ZONES)
    except PolicyError as error:
        told(error)
        return
    _compiles(read)


def _compiles(read: Policy) -> None:
    soon = next(islice(coming(read, _NOW, _NOW + 12 * _MONTH), 1), None)
    if soon is not None:
        activations = active(read, soon.starts_at)
        rows = parse_registry("r.csv", ROWS.format(read.categories[0]).encode(), read.categories)
        tables = plan(RadixTree.build(rows, _DAY), 1 << 24)
        devices = frozenset({*read.gateway.uplinks, *(link.device for link in read.links)})
        ruleset = compile_ruleset(read, activations, tables, devices=devices)
        check(ruleset, read, activations, tables)


def told(error: PolicyError) -> None:
    """A refusal names a place and a remedy, on one line."""
    assert error.count >= len(error.problems) > 0
    for problem in error.problems[:20]:
        assert "\n" not in str(problem)
        assert "; " in problem.message, problem.message


def registry(data: bytes) -> None:
    try:
        read = parse_registry("r.csv", data, CATEGORIES)
    except PolicyError as error:
        told(error)
        return
    assert read.digest
    tree = RadixTree.build(read, _DAY)
    classify_nodes(tree)
    for row in range(min(len(read), 20)):
        assert read.row(row).prefix.length >= 0


def forms(data: bytes) -> None:
    """A registry in any of the forms that are guessed: JSON, a spreadsheet, delegated counts."""
    try:
        read = read_registry("r", data, CATEGORIES, _ASKED)
    except PolicyError as error:
        told(error)
        return
    for row in range(min(len(read.registry), 20)):
        assert read.registry.row(row).id, "a row without an id is given one"


def signature(data: bytes) -> None:
    """A `.minisig` and what it is said to sign."""
    text, _, signed = data.partition(CUT)
    with contextlib.suppress(ValueError):
        PublicKey.parse(text.decode(errors="replace"))
    try:
        comment = verify((_KEY,), signed, text.decode(errors="replace"))
        serial_of(comment)
    except SignatureError:
        return


def rrule(data: bytes) -> None:
    """A rule on the first line, its start on the second, a zone on the third."""
    rule_text, _, rest = data.decode(errors="replace").partition("\n")
    start_text, _, zone_name = rest.partition("\n")
    try:
        start = stamp(start_text).wall
        canonical = check_rrule(rule_text)
        zone = ZoneInfo(zone_name) if zone_name in ("Asia/Karachi", "Europe/Berlin") else UTC
        last_wall(canonical, start, zone)
    except ValueError:
        return
    rule = parse_rule(canonical, start)
    found = list(islice(walls(rule, start, start), 50))
    assert found == sorted(set(found))
    if found:
        later = islice(walls(rule, start, found[-1]), 1)
        assert list(later) == found[-1:], "a walk that begins later finds what the first one found"


def window_of(form: bytes, read_calendar: Callable[[str], bytes] = no_calendars) -> Policy:
    """The policy with one window, whose time form is given. Raises PolicyError."""
    documents = {"enforcer.yaml": MAIN, "windows.d/w.yaml": _HEAD + form + _TAIL}
    return load(documents, "enforcer.yaml", Zones(ZONES.get), read_calendar)


def _windows(form: bytes, read_calendar: Callable[[str], bytes] = no_calendars) -> None:
    try:
        read = window_of(form, read_calendar)
    except PolicyError as error:
        told(error)
        return
    for activation in islice(coming(read, _NOW, _NOW + _MONTH), 100):
        assert activation.starts_at < activation.ends_at


def form_of(data: bytes) -> bytes:
    """The lines of a window that say when: once, rrule or hijri."""
    return b"\n".join(b"  " + line for line in data.split(b"\n") if not line.startswith(b"-"))


def schedule(data: bytes) -> None:
    _windows(form_of(data))


CALENDAR = b"  calendar: c.ics\n  timezone: Europe/Berlin"


def ics(data: bytes) -> None:
    """A calendar file."""
    _windows(CALENDAR, lambda name: data)


TARGETS: dict[str, Target] = {
    "policy": policy,
    "registry": registry,
    "forms": forms,
    "signature": signature,
    "rrule": rrule,
    "schedule": schedule,
    "ics": ics,
}
