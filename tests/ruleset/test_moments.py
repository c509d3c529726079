"""Each packet is judged by the windows and registry of its own time, or all by one instant's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from enforcer.policy.model import Mark, Policy
from enforcer.policy.registry import Registry, parse_registry
from enforcer.ruleset.compiler import epoch_ns
from enforcer.ruleset.judging import Seen
from enforcer.ruleset.moments import Moments
from enforcer.schedule.orders import Order, Orders
from tests.ruleset.builders import CATEGORIES, ENDS_AT, POLICY, STARTS_AT, window
from tests.sources import captures as c
from tests.sources.reading import packets_of

NO_ORDERS = Orders()
REGISTRY = b"""id,prefix,category,valid_from,valid_until,services
R-1,198.51.100.0/24,mission,,2026-12-01,
R-2,198.51.101.0/24,mission,2026-12-02,,
"""
SECOND = timedelta(seconds=1)


def policy(*names: str) -> Policy:
    return replace(POLICY, windows=tuple(window(name, mark=Mark(0x51)) for name in names))


@pytest.fixture
def registry() -> Registry:
    return parse_registry("r", REGISTRY, CATEGORIES)


def marked(moments: Moments, source: str, *instants: datetime) -> list[list[str]]:
    """The windows that mark a packet from `source`, at each instant."""
    frame = c.ipv4(source, "192.0.2.1", 50, b"")
    packets = packets_of(c.pcap([frame] * len(instants), link=c.RAW))
    found: list[list[str]] = [[] for _ in instants]
    places: list[int] = []
    for judge, rows in moments.split(np.array([epoch_ns(i) for i in instants])):
        places += rows.tolist()
        for row in rows.tolist():
            judged = judge.judge(packets.take([row]), Seen())
            found[row] = [t.counter.window for t in judged.tallies]
    assert sorted(places) == list(range(len(instants)))
    return found


def test_a_packet_meets_the_windows_of_its_own_time(registry: Registry) -> None:
    moments = Moments(policy("a", "b"), NO_ORDERS, registry, None)
    instants = (ENDS_AT, STARTS_AT - SECOND, STARTS_AT, ENDS_AT - SECOND, STARTS_AT)
    # As the packet meets them: hooked last, met first.
    both = ["b", "a"]
    assert marked(moments, "198.51.100.1", *instants) == [[], [], both, both, both]
    assert {a.id for a in moments.armed.values()} == {"a", "b"}
    # And again, on another day, which was not looked at before.
    assert marked(moments, "198.51.100.1", STARTS_AT - 9 * timedelta(days=1)) == [[]]
    assert marked(moments, "198.51.100.1", STARTS_AT) == [both]


def test_a_packet_meets_the_registry_of_its_own_day() -> None:
    """The window is on over midnight; one row ends there and another begins."""
    long = window("a", mark=Mark(0x51))
    long = replace(long, form=replace(long.form, ends_at=ENDS_AT + timedelta(days=2)))  # type: ignore[type-var]
    midnight = datetime(2026, 12, 2, tzinfo=UTC)
    moments = Moments(
        replace(POLICY, windows=(long,)),
        NO_ORDERS,
        parse_registry("r", REGISTRY, CATEGORIES),
        None,
    )
    instants = (midnight - timedelta(microseconds=1), midnight)
    assert marked(moments, "198.51.100.1", *instants) == [["a"], []]
    assert marked(moments, "198.51.101.1", *instants) == [[], ["a"]]


def test_one_instant_judges_all(registry: Registry) -> None:
    moments = Moments(policy("a"), NO_ORDERS, registry, STARTS_AT)
    assert marked(moments, "198.51.100.1", ENDS_AT, STARTS_AT) == [["a"], ["a"]]
    moments = Moments(policy("a"), NO_ORDERS, registry, ENDS_AT)
    assert marked(moments, "198.51.100.1", STARTS_AT) == [[]]
    assert moments.armed == {}


def test_standing_orders_are_heard(registry: Registry) -> None:
    closed = Order("a", STARTS_AT, ENDS_AT, "closed")
    moments = Moments(policy("a", "b"), Orders((closed,)), registry, None)
    assert marked(moments, "198.51.100.1", STARTS_AT) == [["b"]]
    declared = policy("a")
    provisional = replace(declared, windows=(replace(declared.windows[0], provisional=True),))
    later = Order("a", STARTS_AT, ENDS_AT, "confirmed", shift=timedelta(days=20))
    moments = Moments(provisional, Orders((later,)), registry, None)
    shifted = STARTS_AT + timedelta(days=20)
    assert marked(moments, "198.51.100.1", STARTS_AT, shifted) == [[], []], "no longer registered"
    registry_then = parse_registry("r", b"198.51.100.0/24\n", ["mission"])
    moments = Moments(
        replace(provisional, categories=("mission",)), Orders((later,)), registry_then, None
    )
    assert marked(moments, "198.51.100.1", STARTS_AT, shifted) == [[], ["a"]]


def test_nothing_is_no_moment(registry: Registry) -> None:
    for at in (None, STARTS_AT):
        moments = Moments(policy("a"), NO_ORDERS, registry, at)
        assert list(moments.split(np.zeros(0, np.int64))) == []
