"""Many packets judged at once, from the bytes of a capture: as the compiled rules would count them
one by one, and as `explain` tells each alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given

from enforcer.lookup.planner import plan
from enforcer.lookup.tree import RadixTree
from enforcer.policy.model import Guard, Mark
from enforcer.policy.prefix import BITS, PROTOCOL_NAMES, Prefix, Service, format_address
from enforcer.policy.registry import Registry, empty_registry, parse_registry
from enforcer.ruleset.compiler import compile_ruleset
from enforcer.ruleset.judging import Judge, Judged, Registered, Seen
from enforcer.ruleset.moments import service_names
from enforcer.ruleset.packets import EITHER, IN, OUT, Packets
from enforcer.ruleset.verdict import Flow, terms_of, verdict
from tests.examples import examples
from tests.ruleset.builders import (
    CATEGORIES,
    DEVICES,
    POLICY,
    active,
    registered,
    tables,
    window,
)
from tests.ruleset.simulator import SYN, Packet, simulate
from tests.ruleset.strategies import Scene, World, scenes
from tests.sources import captures
from tests.sources.reading import packets_of

MORE = examples(40)
DAY = date(2026, 12, 1)
BUDGET_BYTES = 1 << 28


def registry_of(world: World) -> Registry:
    if not world.rows:
        return empty_registry(CATEGORIES)
    lines = ["id,prefix,category,valid_from,valid_until,services"]
    for number, row in enumerate(world.rows):
        services = " ".join(map(str, row.services))
        lines.append(f"R-{number},{row.prefix},{row.category},,,{services}")
    return parse_registry("r", "\n".join(lines).encode(), CATEGORIES)


def frame(packet: Packet) -> bytes:
    source, target = (format_address(packet.family, a) for a in (packet.saddr, packet.daddr))
    if packet.protocol == 6:
        payload = captures.tcp(packet.sport, packet.dport, packet.flags)
    elif packet.protocol in (17, 132):
        payload = captures.ports(packet.sport, packet.dport) + bytes(8)
    else:
        payload = bytes(16)
    build = captures.ipv4 if packet.family == 4 else captures.ipv6
    return build(source, target, packet.protocol, payload)


def read(packets: list[Packet]) -> Packets:
    """Through a capture of raw IP; the order stays when told by `record`."""
    found = packets_of(captures.pcap([frame(p) for p in packets], link=captures.RAW))
    assert len(found) == len(packets)
    return found


def judge_of(world: World, registry: Registry, armed: frozenset[str]) -> Judge:
    registered = Registered(RadixTree.build(registry, DAY), CATEGORIES)
    activations = [a for a in world.activations if a.id in armed]
    names = service_names(world.policy, registry)
    return Judge(world.policy, activations, registered, names)


def counted(judged: Judged) -> Counter[str]:
    found: Counter[str] = Counter()
    for tally in judged.tallies:
        found[str(tally.counter)] += tally.packets
    return found


@MORE
@given(scenes("prerouting", "postrouting"))
def test_a_capture_counts_what_the_rules_count(scene: Scene) -> None:
    world = scene.world
    registry = registry_of(world)
    tables = plan(RadixTree.build(registry, DAY), BUDGET_BYTES)
    ruleset = compile_ruleset(world.policy, world.activations, tables, devices=DEVICES)
    judge = judge_of(world, registry, scene.armed)
    for hook in ("prerouting", "postrouting"):
        for device in ("wan0", "wan1", "lan0"):
            here = [
                p
                for p in scene.packets
                if p.hook == hook and device == (p.iif if hook == "prerouting" else p.oif)
            ]
            if not here:
                continue
            results = [simulate(ruleset, p, scene.armed) for p in here]
            packets = read(here)
            way = IN if hook == "prerouting" else OUT
            packets = replace(packets, direction=packets.direction * 0 + way)
            judged = judge.judge(packets, Seen(device, everywhere=True))
            assert counted(judged) == Counter(c for r in results for c in r.counted)
            dropped = {i for i, r in enumerate(results) if r.dropped}
            assert set(packets.record[judged.held].tolist()) == dropped
            assert sum(t.bytes for t in judged.tallies) == sum(
                len(frame(p)) * len(r.counted) for p, r in zip(here, results, strict=True)
            )


def test_of_two_guards_the_one_that_opened_last_counts() -> None:
    """As the kernel does: hooks of one priority run from the last to the first."""
    windows = [window(name, guard=Guard("concentrators")) for name in ("a", "b")]
    rows = (registered("198.51.100.0/24", "mission"),)
    stranger = captures.ipv4("192.0.2.9", "203.0.113.5", 17, captures.ports(1, 51820))
    packets = packets_of(captures.pcap([stranger], link=captures.RAW))
    together = tuple(active(w) for w in windows)
    earlier = replace(together[1], starts_at=together[1].starts_at - timedelta(hours=1))
    for activations, counts in ((together, "b"), ((together[0], earlier), "a")):
        world = World(POLICY, rows, tables(*rows), activations)
        judged = judge_of(world, registry_of(world), frozenset({"a", "b"})).judge(packets, Seen())
        assert counted(judged) == {f"guard/{counts}/held_back/ip4/unregistered": 1}


def test_both_ends_registered() -> None:
    """The source names the category; what guard holds back is marked by nobody."""
    w = window("a", mark=Mark(0x51), guard=Guard("concentrators"))
    rows = (
        registered("198.51.100.0/24", "software-house", "tcp/443"),
        registered("203.0.113.0/28", "mission"),
    )
    world = World(POLICY, rows, tables(*rows), (active(w),))
    judge = judge_of(world, registry_of(world), frozenset({"a"}))
    ends = ("198.51.100.9", "203.0.113.5")
    packets = packets_of(
        captures.pcap(
            [
                captures.ipv4(*ends, 6, captures.tcp(1, 443, captures.SYN)),
                captures.ipv4(*ends, 17, captures.ports(1, 51820)),
            ],
            link=captures.RAW,
        )
    )
    assert counted(judge.judge(packets, Seen("wan0"))) == {
        "guard/a/let_in/ip4/software-house": 1,
        "mark/a/marked/ip4/software-house": 1,
        "guard/a/held_back/ip4/unregistered": 1,
    }


@MORE
@given(scenes("prerouting"))
def test_each_packet_is_judged_as_explain_tells_it(scene: Scene) -> None:
    world = scene.world
    registry = registry_of(world)
    tree = RadixTree.build(registry, DAY)
    judge = judge_of(world, registry, scene.armed)
    activations = sorted((a for a in world.activations if a.id in scene.armed), key=lambda a: a.id)
    for packet in scene.packets:
        if packet.protocol not in PROTOCOL_NAMES:
            continue
        # `explain` speaks of new flows, and knows one port.
        packet = replace(packet, flags=SYN, sport=packet.dport)
        ends = [Prefix(packet.family, a, BITS[packet.family]) for a in (packet.saddr, packet.daddr)]
        source_terms, to_terms = (
            terms_of([registry.row(i) for i in tree.covering(end)]) for end in ends
        )
        port = packet.dport if packet.protocol in (6, 17, 132) else None
        flow = Flow(
            (packet.family, packet.saddr),
            (packet.family, packet.daddr),
            Service(packet.protocol, port, port),
        )
        told = verdict(world.policy, activations, flow, source_terms, to_terms)
        one = read([packet])
        direction = one.direction * 0 + EITHER
        judged = judge.judge(replace(one, direction=direction), Seen(None))
        verdicts = {t.counter.verdict for t in judged.tallies}
        assert bool(judged.held[0]) == (told.name == "held_back")
        if told.name == "let_in":
            assert "let_in" in verdicts
        if told.name == "marked":
            assert verdicts & {"marked", "reserved"}
        if told.name == "untouched":
            assert not verdicts & {"marked", "reserved", "let_in", "held_back"}
        windows = {t.counter.window for t in judged.tallies}
        assert windows == set(told.windows)
