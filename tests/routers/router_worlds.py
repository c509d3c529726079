"""A registry with every case that a router's language has to meet, and what is asked of it."""

from __future__ import annotations

from datetime import date

from enforcer.policy.registry import Registry, parse_registry
from enforcer.policy.registry_rows import HEADER
from enforcer.routers import bird, eos, frr, junos
from enforcer.routers.languages import Order, Render

CATEGORIES = ("house", "centre", "mission")
DAY = date(2026, 7, 1)
RENDERS: dict[str, Render] = {
    "bird": bird.render,
    "frr": frr.render,
    "junos": junos.render,
    "eos": eos.render,
}
ROWS = """\
R-1,198.51.100.0/25,house,,,
R-2,198.51.100.128/25,centre,2026-01-01,2026-12-31,
R-3,203.0.113.7/32,house,,,
R-4,198.51.100.9/32,house,,,udp/51820
R-5,192.0.2.0/28,mission,,,udp/500 udp/4500 esp
R-6,192.0.2.64/28,mission,,,tcp/5000-5100 sctp/36412
R-7,2001:db8:1::/48,house,,,
R-8,2001:db8:2::7/128,house,,,udp/500 udp/4500 esp
R-9,100.64.0.0/10,house,,2026-06-30,
R-10,100.64.0.0/16,house,2026-09-01,,
"""
ORDER = Order("ENFORCER", 40, ("gateway edge-1", "window ddos: */ attack\nexit ! #"))


def registry(rows: str = ROWS) -> Registry:
    return parse_registry("r.csv", f"{HEADER}\n{rows}".encode(), CATEGORIES)
