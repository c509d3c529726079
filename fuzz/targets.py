"""What is fuzzed: each target takes bytes and returns, or raises what nobody has documented.

The documented errors are caught here and nowhere else: `PolicyError` for files, `ValueError` for
single values and the orders on disk, `KernelError` for what the kernel answers. Anything else that
comes out of a target is a bug of ours, as is an input that takes long or much memory.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from enforcer.errors import PolicyError
from enforcer.lookup.classes import classify_nodes
from enforcer.lookup.planner import plan
from enforcer.lookup.tree import RadixTree
from enforcer.policy.load import no_calendars
from enforcer.policy.model import Policy
from enforcer.policy.recurrence import check_rrule, last_wall, parse_rule, walls
from enforcer.policy.registry import parse_registry
from enforcer.policy.times import stamp
from enforcer.policy.zones import Zones
from enforcer.ruleset.compiler import compile_ruleset
from enforcer.ruleset.promises import check
from enforcer.schedule.load import load
from enforcer.schedule.timeline import active, coming
from enforcer.sources.files import ZONES

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
_HEAD = b"- id: w\n  reason: r\n  declared_by: d\n  reference: N\n"
_TAIL = b"\n  measures: {mark: {fwmark: 1}}\n"
_ROWS = "id,prefix,category,valid_from,valid_until,services\na,198.51.100.0/28,{},,,esp udp/500\n"
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
        _told(error)
        return
    _compiles(read)


def _compiles(read: Policy) -> None:
    soon = next(islice(coming(read, _NOW, _NOW + 12 * _MONTH), 1), None)
    if soon is not None:
        activations = active(read, soon.starts_at)
        rows = parse_registry("r.csv", _ROWS.format(read.categories[0]).encode(), read.categories)
        tables = plan(RadixTree.build(rows, _DAY), 1 << 24)
        devices = frozenset({*read.gateway.uplinks, *(link.device for link in read.links)})
        ruleset = compile_ruleset(read, activations, tables, devices=devices)
        check(ruleset, read, activations, tables)


def _told(error: PolicyError) -> None:
    """A refusal names a place and a remedy, on one line."""
    assert error.count >= len(error.problems) > 0
    for problem in error.problems[:20]:
        assert "\n" not in str(problem)
        assert "; " in problem.message, problem.message


def registry(data: bytes) -> None:
    try:
        read = parse_registry("r.csv", data, CATEGORIES)
    except PolicyError as error:
        _told(error)
        return
    assert read.digest
    tree = RadixTree.build(read, _DAY)
    classify_nodes(tree)
    for row in range(min(len(read), 20)):
        assert read.row(row).prefix.length >= 0


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


def _windows(form: bytes, read_calendar: Callable[[str], bytes] = no_calendars) -> None:
    documents = {"enforcer.yaml": MAIN, "windows.d/w.yaml": _HEAD + form + _TAIL}
    try:
        read = load(documents, "enforcer.yaml", Zones(ZONES.get), read_calendar)
    except PolicyError as error:
        _told(error)
        return
    for activation in islice(coming(read, _NOW, _NOW + _MONTH), 100):
        assert activation.starts_at < activation.ends_at


def schedule(data: bytes) -> None:
    """The lines of a window that say when: once, rrule or hijri."""
    lines = [b"  " + line for line in data.split(b"\n") if not line.startswith(b"-")]
    _windows(b"\n".join(lines))


def ics(data: bytes) -> None:
    """A calendar file."""
    _windows(b"  calendar: c.ics\n  timezone: Europe/Berlin", lambda name: data)


TARGETS: dict[str, Target] = {
    "policy": policy,
    "registry": registry,
    "rrule": rrule,
    "schedule": schedule,
    "ics": ics,
}
