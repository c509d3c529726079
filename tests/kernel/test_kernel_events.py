"""The monitor tells of every transaction who made it and whether it touched our table."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from dataclasses import replace

import pytest

from enforcer.kernel.events import KernelEvent, Monitor
from enforcer.kernel.nft import NftKernel
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.watch import HushedKernel, notice
from tests.kernel import every_word as e
from tests.kernel.slowness import patient
from tests.kernel.worlds import RealWorld, commit

pytestmark = pytest.mark.kernel


@pytest.fixture
def monitor(real_world: RealWorld) -> Iterator[Monitor]:
    made = Monitor(real_world.namespace)
    try:
        yield made
    finally:
        made.close()


def events(monitor: Monitor) -> list[KernelEvent]:
    """What waits; multicast is delivered before the change's own system call returns."""
    select.select([monitor], [], [], patient(5))
    return monitor.drain()


def transactions(monitor: Monitor) -> list[KernelEvent]:
    """What waits of the ruleset, one at least. Of links the kernel tells as well, at any time: it
    settles carriers by itself, up to a second after a device was made.
    """
    heard: list[KernelEvent] = []
    while not heard:
        assert select.select([monitor], [], [], patient(20))[0], "nothing is told"
        heard = ruleset_only(monitor)
    return heard


def ruleset_only(monitor: Monitor) -> list[KernelEvent]:
    return [event for event in monitor.drain() if event.kind not in ("link", "qdisc")]


def test_our_own_transaction_carries_our_process_id(
    real_world: RealWorld, monitor: Monitor
) -> None:
    state = commit(real_world, t.CreateTable(), t.AddCounter("a"))
    (event,) = transactions(monitor)
    assert (event.kind, event.detail) == ("ours", "new_chain new_object new_table")
    assert (event.generation, event.pid) == (state.generation, os.getpid())


def test_an_edit_of_our_table_names_the_program(real_world: RealWorld, monitor: Monitor) -> None:
    commit(real_world, t.CreateTable())
    transactions(monitor)
    real_world.nft("add rule inet enforcer ledger drop")
    (event,) = transactions(monitor)
    assert (event.kind, event.detail, event.program) == ("ours", "new_rule", "nft")
    assert event.pid != os.getpid()


def test_an_edit_of_another_table_is_not_about_ours(
    real_world: RealWorld, monitor: Monitor
) -> None:
    commit(real_world, t.CreateTable())
    transactions(monitor)
    real_world.nft("add table ip enforcer\nadd chain ip enforcer ledger")
    assert [event.kind for event in transactions(monitor)] == ["ruleset"]
    real_world.nft("flush ruleset")
    assert [event.kind for event in transactions(monitor)] == ["ours"]


def test_links_and_qdiscs_are_told(real_world: RealWorld, monitor: Monitor) -> None:
    real_world.run("ip", "link", "set", "wan0", "down")
    (down,) = [each for each in events(monitor) if each.detail == "wan0 down"]
    assert (down.kind, down.devices) == ("link", {"wan0"})
    commit(real_world, t.AddShaper(v.Shaper("lan0", 8_000_000, 800_000)))
    added = [event for event in events(monitor) if event.detail == "lan0 htb added"]
    assert [(event.kind, event.devices) for event in added] == [("qdisc", {"lan0"})]
    real_world.delete_device("wan0")
    assert "wan0 deleted" in [each.detail for each in events(monitor)]


def test_our_own_shapers_are_known_for_ours_whatever_port_the_kernel_gave(
    real_world: RealWorld, monitor: Monitor
) -> None:
    """A process's second socket has a port that is not its process id."""
    kernel = HushedKernel(real_world.kernel, monitor)
    other = NftKernel(real_world.namespace)
    try:
        assert not kernel.ports & other.ports
        for one, device in ((other, "wan0"), (kernel, "lan0")):
            added = t.AddShaper(v.Shaper(device, 8_000_000, 800_000))
            one.commit(t.Transaction(one.generation(), (added,)), real_world.now_ns())
    finally:
        other.close()
    told = [event for event in events(monitor) if event.detail.endswith("htb added")]
    assert {device for each in told if not each.by_us for device in each.devices} >= {"wan0"}
    assert notice(told, frozenset({"wan0"})) is not None
    assert notice(told, frozenset({"lan0"})) is None


def test_a_bulk_load_of_our_own_is_not_heard_while_deaf(
    real_world: RealWorld, monitor: Monitor
) -> None:
    target = v.RegisteredMap(e.many4(20_000))
    with monitor.deaf(real_world.kernel.generation, real_world.kernel.made):
        commit(real_world, t.CreateTable(), t.AddSet(target), t.Load(target))
    assert ruleset_only(monitor) == []
    commit(real_world, t.AddCounter("a"))
    assert [event.detail for event in transactions(monitor)] == ["new_object"]


def test_a_load_of_20_000_is_heard_without_loss(real_world: RealWorld, monitor: Monitor) -> None:
    target = v.RegisteredMap(e.many4(20_000))
    commit(real_world, t.CreateTable(), t.AddSet(target), t.Load(target))
    assert [event.detail for event in transactions(monitor)] == [
        # In two steps (`STEP_ELEMENTS`).
        "new_chain new_element new_set new_table",
        "new_element",
    ]


def test_of_two_maps_that_are_emptied_at_once_both_are_named(
    real_world: RealWorld, monitor: Monitor
) -> None:
    """Thousands of events that begin alike are passed over; where they begin otherwise, they are
    not: another map, another kind, another table's map of the same name.
    """
    stages = e.many4(300), replace(e.many4(300), length=28)
    maps = [v.RegisteredMap(stage) for stage in stages]
    loaded = [op for each in maps for op in (t.AddSet(each), t.Load(each))]
    commit(real_world, t.CreateTable(), *loaded)
    one, other = (each.name for each in maps)
    real_world.nft(f"add table ip enforcer\nadd set ip enforcer {one} {{ type mark; }}")
    while monitor.drain():
        pass
    real_world.nft(
        f"add element ip enforcer {one} {{ 1, 2 }}\n"
        f"flush map inet enforcer {one}\nflush map inet enforcer {other}\n"
        f"add element inet enforcer {one} {{ 203.0.113.1 : 5 }}"
    )
    (event,) = transactions(monitor)
    assert (event.kind, event.detail) == ("ours", "del_element new_element")
    assert event.sets == {one, other}
