"""Samples judged again by the radix tree: where kernel and tree agree nothing is said; where the
kernel holds something else it is, with the map and without an address.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given

from enforcer.lookup.planner import plan
from enforcer.lookup.tree import RadixTree
from enforcer.policy.model import Guard, Mark
from enforcer.ruleset.compiler import compile_ruleset
from enforcer.ruleset.judging import Registered
from enforcer.ruleset.measures import SampleName, parse_sample
from enforcer.ruleset.moments import service_names
from enforcer.ruleset.packets import Packets
from enforcer.ruleset.sampled import Truth, as_sampled, compare
from enforcer.ruleset.sampling import Sampling
from enforcer.ruleset.vocabulary import SAMPLED_BYTES
from enforcer.sampler import packets_of
from tests.examples import examples
from tests.ruleset.builders import CATEGORIES, DEVICES, POLICY, active, registered, window
from tests.ruleset.simulator import simulate
from tests.ruleset.strategies import Scene, World, scenes
from tests.ruleset.test_judging import BUDGET_BYTES, DAY, frame, registry_of
from tests.sources import captures as c

MORE = examples(40)


def truth_of(world: World, armed: frozenset[str]) -> Truth:
    registry = registry_of(world)
    tree = RadixTree.build(registry, DAY)
    return Truth(
        world.policy,
        tuple(a for a in world.activations if a.id in armed),
        Registered(tree, CATEGORIES),
        service_names(world.policy, registry),
        plan(tree, BUDGET_BYTES),
    )


def told(*frames: bytes) -> Packets:
    """As the kernel tells of them: the first bytes only."""
    headers = [one[: SAMPLED_BYTES[6 if one[0] >> 4 == 6 else 4]] for one in frames]
    return as_sampled(packets_of(headers))


def samples(scene: Scene) -> dict[SampleName, list[bytes]]:
    """What the rules tell of the scene's packets, by what they do to them."""
    world = scene.world
    tables = plan(RadixTree.build(registry_of(world), DAY), BUDGET_BYTES)
    ruleset = compile_ruleset(
        world.policy, world.activations, tables, devices=DEVICES, sampling=Sampling(10)
    )
    found: dict[SampleName, list[bytes]] = defaultdict(list)
    for packet in scene.packets:
        for label in simulate(ruleset, packet, scene.armed).sampled:
            name = parse_sample(label)
            assert name is not None
            found[name].append(frame(packet))
    return found


@MORE
@given(scenes("prerouting", "postrouting"))
def test_what_the_rules_do_is_what_the_tree_says(scene: Scene) -> None:
    truth = truth_of(scene.world, scene.armed)
    for name, frames in samples(scene).items():
        found = compare(name, told(*frames), [truth])
        assert found.differences == (), name
        assert found.judged == len(frames), "the first bytes are enough to judge all of them"
        assert sum(packets for packets, _ in found.services.values()) == len(frames)
        assert sum(size for _, size in found.services.values()) == sum(map(len, frames))


@MORE
@given(scenes("prerouting", "postrouting"))
def test_another_registry_is_found_out_packet_by_packet(scene: Scene) -> None:
    """The kernel acts on all rows, the tree has none: every hit is a difference, no miss is."""
    truth = truth_of(replace(scene.world, rows=()), scene.armed)
    for name, frames in samples(scene).items():
        found = compare(name, told(*frames), [truth])
        hit = name.verdict in {"marked", "reserved", "let_in"} and name.category in CATEGORIES
        assert sum(d.packets for d in found.differences) == (len(frames) if hit else 0), name
        assert {d.stage for d in found.differences} <= {"none"}


# --- one packet at a time ------------------------------------------------------------------------

ROWS = (
    registered("198.51.100.0/24", "software-house"),
    registered("198.51.100.7/32", "freelancer", "udp/51820"),
    registered("2001:db8:5::/48", "mission"),
)
ALL = active(window("ddos", guard=Guard("concentrators"), mark=Mark(0x51)))
UDP = c.ports(5050, 51820) + bytes(8)
OURS = c.ipv4("198.51.100.9", "203.0.113.5", 17, UDP)
THEIRS = c.ipv4("192.0.2.9", "203.0.113.5", 17, UDP)
OURS_6 = c.ipv6("2001:db8:5::1", "2001:db8:10::1", 17, UDP)


def truth(*rows: object, armed: bool = True) -> Truth:
    world = World(POLICY, rows, None, (ALL,))  # type: ignore[arg-type]
    return truth_of(world, frozenset({"ddos"} if armed else ()))


def name(text: str) -> SampleName:
    found = parse_sample(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("label", "packet", "wanted"),
    [
        ("mark/ddos/untouched/ip4/unregistered", OURS, ("marked", "software-house")),
        ("mark/ddos/marked/ip4/mission", OURS, ("marked", "software-house")),
        ("mark/ddos/marked/ip4/software-house", THEIRS, ("untouched", "none")),
        ("guard/ddos/held_back/ip4/unregistered", OURS, ("let_in", "software-house")),
        ("guard/ddos/held_back/ip6/unregistered", OURS_6, ("let_in", "mission")),
        ("guard/ddos/let_in/ip4/lifeline", THEIRS, ("held_back", "unregistered")),
        ("guard/ddos/would_drop/ip4/unregistered", THEIRS, ("held_back", "unregistered")),
        ("guard/other/held_back/ip4/unregistered", THEIRS, ("not armed", "none")),
        ("reserve/ddos/reserved/ip4/software-house", OURS, ("not armed", "none")),
    ],
)
def test_a_difference_says_what_the_registry_would_have(
    label: str, packet: bytes, wanted: tuple[str, str]
) -> None:
    found = compare(name(label), told(packet, packet), [truth(*ROWS)])
    (difference,) = found.differences
    assert (difference.wanted, difference.packets) == (wanted, 2)
    belongs = packet is not THEIRS
    assert difference.stage.startswith("reg") if belongs else difference.stage == "none"
    assert "198.51" not in str(found)
    assert "2001:db8" not in str(found)


def test_guard_lets_in_what_it_calls_by_the_right_name() -> None:
    label = name("guard/ddos/let_in/ip4/software-house")
    assert compare(label, told(OURS), [truth(*ROWS)]).differences == ()


def test_a_packet_that_passed_during_a_change_agrees_with_either_side() -> None:
    before, after = truth(), truth(*ROWS)
    label = name("mark/ddos/untouched/ip4/unregistered")
    both = told(OURS, THEIRS)
    assert compare(label, both, [before, after]).differences == ()
    assert compare(label, both, [after, before]).differences == ()
    assert [d.packets for d in compare(label, both, [after]).differences] == [1]
    # Each packet by itself: some from before, some from behind, and one that fits neither.
    marked = name("mark/ddos/marked/ip4/software-house")
    mixed = told(OURS, THEIRS)
    assert [d.packets for d in compare(marked, mixed, [before, after]).differences] == [1]


def test_what_passed_when_nothing_was_armed_any_more_is_a_difference() -> None:
    label = name("mark/ddos/marked/ip4/software-house")
    found = compare(label, told(OURS), [truth(*ROWS, armed=False)])
    assert [d.wanted for d in found.differences] == [("not armed", "none")]
    assert compare(label, told(OURS), [truth(*ROWS), truth(*ROWS, armed=False)]).differences == ()


def test_a_packet_whose_ports_were_not_told_is_counted_and_not_judged() -> None:
    options = c.ipv4("198.51.100.7", "203.0.113.5", 17, UDP, options=b"\1" * 8)
    extension = bytes([17, 0, 1, 4, 0, 0, 0, 0])
    behind = c.ipv6("2001:db8:5::1", "2001:db8:10::1", 60, extension + UDP)
    for packet, label in ((options, "ip4"), (behind, "ip6")):
        found = compare(
            name(f"mark/ddos/untouched/{label}/unregistered"), told(packet), [truth(*ROWS)]
        )
        assert (found.judged, found.differences) == (0, ())
        assert found.services == {"udp, ports cut off": (1, len(packet))}


def test_without_a_judgement_there_are_only_counts() -> None:
    label = name("mark/ddos/untouched/ip4/unregistered")
    found = compare(label, told(OURS), [truth(*ROWS)], judged=False)
    assert (found.judged, found.differences) == (0, ())
    assert found.services == {"udp/51820": (1, len(OURS))}


def test_services_are_named_by_the_operators_words() -> None:
    other = c.ipv4("198.51.100.9", "203.0.113.5", 17, c.ports(1, 2) + bytes(8))
    tcp = c.ipv4("198.51.100.9", "203.0.113.5", 6, c.tcp(50, 60, c.ACK))
    esp = c.ipv4("198.51.100.9", "203.0.113.5", 50, bytes(16))
    found = compare(
        name("mark/ddos/marked/ip4/software-house"),
        told(OURS, other, tcp, esp, esp),
        [truth(*ROWS)],
    )
    assert found.differences == ()
    assert {service: count for service, (count, _) in found.services.items()} == {
        "udp/51820": 1,
        "udp, other ports": 1,
        "tcp, other ports": 1,
        "esp": 2,
    }
