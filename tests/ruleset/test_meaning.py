"""Random packets through random rulesets: what happens is what the design says, packet by packet.

`skb->priority` of a packet whose address is registered for *other* services may be set to 0, as the
note of its class is wiped out (docs/decisions/0003); nobody else's is ever touched.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given

from enforcer.ruleset.measures import parse_counter
from enforcer.ruleset.promises import check
from enforcer.ruleset.vocabulary import REGISTERED_MINOR, SHAPER_MAJOR
from tests.examples import examples
from tests.ruleset import oracle
from tests.ruleset.simulator import Packet, simulate
from tests.ruleset.strategies import Scene, World, scenes, worlds

FEW = examples(30)
MORE = examples(50)
HOOKS = ("prerouting", "postrouting")


def _but_for_priority(world: World, before: Packet, after: Packet) -> Packet:
    """The priority forgiven when the address is registered, and then only to 0."""
    if oracle.known_address(world, before, before.saddr, before.daddr) and after.priority == 0:
        return replace(after, priority=before.priority)
    return after


@FEW
@given(worlds())
def test_whatever_the_compiler_makes_keeps_every_promise(world: World) -> None:
    check(world.ruleset, world.policy, world.activations, world.registry)


@MORE
@given(scenes("prerouting"))
def test_a_packet_is_dropped_just_when_promise_3_allows_it(scene: Scene) -> None:
    world, armed = scene.world, scene.armed
    ruleset = world.ruleset
    for packet in scene.packets:
        result = simulate(ruleset, packet, armed)
        assert result.dropped == oracle.may_be_dropped(world, packet, armed), packet


@MORE
@given(scenes(*HOOKS))
def test_a_registered_source_is_never_dropped(scene: Scene) -> None:
    world, armed = scene.world, scene.armed
    ruleset = world.ruleset
    for packet in scene.packets:
        if oracle.registrations(world, packet, packet.saddr):
            assert not simulate(ruleset, packet, armed).dropped


@MORE
@given(scenes("prerouting"))
def test_a_packet_is_marked_just_when_it_is_registered_and_a_window_armed(scene: Scene) -> None:
    world, armed = scene.world, scene.armed
    ruleset = world.ruleset
    for packet in scene.packets:
        result = simulate(ruleset, packet, armed)
        assert result.dropped == oracle.may_be_dropped(world, packet, armed)
        if result.dropped:
            continue
        wanted = oracle.marked(world, packet, armed)
        assert _but_for_priority(world, wanted, result.packet) == wanted


@MORE
@given(scenes("postrouting"))
def test_a_packet_is_reserved_for_just_when_registered_and_leaving_by_the_link(
    scene: Scene,
) -> None:
    world, armed = scene.world, scene.armed
    ruleset = world.ruleset
    for packet in scene.packets:
        result = simulate(ruleset, packet, armed)
        wanted = oracle.reserved(world, packet, armed)
        assert not result.dropped
        in_class = wanted.priority == SHAPER_MAJOR << 16 | REGISTERED_MINOR
        if in_class or packet.oif != "wan0":
            assert result.packet == wanted
        else:
            assert _but_for_priority(world, packet, result.packet) == packet


@MORE
@given(scenes(*HOOKS))
def test_nothing_changes_for_anybody_else(scene: Scene) -> None:
    world, armed = scene.world, scene.armed
    ruleset = world.ruleset
    for packet in scene.packets:
        if oracle.known_address(world, packet, packet.saddr, packet.daddr):
            continue
        result = simulate(ruleset, packet, armed)
        assert result.packet == packet


@MORE
@given(scenes(*HOOKS))
def test_chains_whose_arming_ran_out_do_nothing_at_all(scene: Scene) -> None:
    ruleset = scene.world.ruleset
    for packet in scene.packets:
        result = simulate(ruleset, packet, frozenset())
        assert (result.dropped, result.packet, result.counted) == (False, packet, ())


@MORE
@given(scenes("prerouting"))
def test_a_staged_window_counts_what_it_would_drop_and_drops_nothing(scene: Scene) -> None:
    world, armed = scene.world, scene.armed
    staged = [a for a in world.activations if a.window.guard]
    assume(staged)
    activations = tuple(replace(a, window=replace(a.window, stage=True)) for a in staged)
    rehearsal = replace(world, activations=activations)
    ruleset = rehearsal.ruleset
    for packet in scene.packets:
        result = simulate(ruleset, packet, armed)
        assert not result.dropped
        found = [c for c in map(parse_counter, result.counted) if c and c.measure == "guard"]
        counted = {(c.window, c.verdict) for c in found}
        wanted = set()
        for activation in activations:
            held = oracle.guard(rehearsal, activation.window, packet)
            if held.concerned and activation.id in armed:
                wanted.add((activation.id, "let_in" if held.let_in else "would_drop"))
        assert counted == wanted


@MORE
@given(scenes(*HOOKS))
def test_each_measure_counts_a_packet_once_and_under_its_own_category(scene: Scene) -> None:
    world, armed = scene.world, scene.armed
    ruleset = world.ruleset
    for packet in scene.packets:
        counted = [c for c in map(parse_counter, simulate(ruleset, packet, armed).counted) if c]
        assert len({(c.measure, c.window) for c in counted}) == len(counted)
        rows = [
            row.category
            for address in (packet.saddr, packet.daddr)
            for row in oracle.registrations(world, packet, address)
        ]
        for c in counted:
            assert c.family == packet.family
            assert c.window in armed
            assert c.category in {*rows, "lifeline", "unregistered"}
