"""A small right configuration, and ways to write variants of it."""

from __future__ import annotations

import zoneinfo

from enforcer.policy.load import no_calendars
from enforcer.policy.model import Policy
from enforcer.policy.zones import Zones
from enforcer.schedule.load import load

ZONES = Zones(zoneinfo.ZoneInfo)

MAIN = """
version: 1
gateway: {name: edge-1, uplinks: [wan0]}
categories: [software-house]
registry: {sources: [{file: registry.csv}]}
estates:
  concentrators: {prefixes: [203.0.113.0/28], services: [udp/51820]}
links:
  wan: {device: wan0, rate: 1gbit}
"""


def window(
    window_id: str = "attack",
    times: str = 'start: "2026-12-01T08:00:00Z", end: "2026-12-01T20:00:00Z"',
    measures: str = "guard: {estate: concentrators}",
    more: str = "",
) -> str:
    record = "reason: attack, declared_by: noc@isp.example, reference: NOC-1"
    return f"- {{id: {window_id}, {record}, {times}, measures: {{{measures}}}{more}}}\n"


def policy_of(*windows: str, main: str = MAIN, calendars: dict[str, str] | None = None) -> Policy:
    """`calendars` by name, as text."""
    texts = calendars or {}
    documents = {"enforcer.yaml": main.encode(), "windows.d/w.yaml": "".join(windows).encode()}

    def read_calendar(name: str) -> bytes:
        return texts[name].encode() if name in texts else no_calendars(name)

    return load(documents, "enforcer.yaml", ZONES, read_calendar)
