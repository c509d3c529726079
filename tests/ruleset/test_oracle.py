"""The promises as an oracle: raw packets through random rulesets, as the kernel would run them.

What may be dropped, what must be marked and under which category is told by `oracle` from the
policy and the registrations alone; what happens is told by `machine` from the lowered rules and the
bytes.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.ruleset.measures import CounterName, parse_counter
from enforcer.ruleset.vocabulary import REGISTERED_MINOR, SHAPER_MAJOR
from tests.ruleset import oracle
from tests.ruleset.machine import Machine, Skb, received
from tests.ruleset.raw_packets import ICMP, ICMP6, TCP, Packets, Raw
from tests.ruleset.simulator import ACK, SYN, simulate
from tests.ruleset.strategies import World, worlds

EXAMPLES = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32)
PACKETS = 60
NOW_NS, LATER_NS = 1_000, 2_000


def machine(world: World, until_ns: int = LATER_NS) -> Machine:
    return Machine.load(world.ruleset, {a.id: until_ns for a in world.activations})


def armed(world: World) -> frozenset[str]:
    return frozenset(a.id for a in world.activations)


def met(made: Machine, raw: Raw, now_ns: int = NOW_NS) -> tuple[Skb, bool] | None:
    """The packet behind prerouting and whether it passed; None when it never came there."""
    skb = received(raw.packet.family, raw.data, raw.packet.iif)
    assert (skb is not None) == raw.sound, raw
    return None if skb is None else (skb, made.pass_through("prerouting", skb, now_ns))


def outside_the_estate(world: World, raw: Raw) -> bool:
    packet = raw.packet
    prefixes = [p for e in world.policy.estates for p in e.prefixes]
    return not any(p.family == packet.family and packet.daddr in p for p in prefixes)


def counters(skb: Skb) -> list[CounterName]:
    return [c for c in map(parse_counter, skb.counted) if c is not None]


@EXAMPLES
@given(worlds(), SEEDS)
def test_a_raw_packet_is_dropped_just_when_promise_3_allows_it(world: World, seed: int) -> None:
    made = machine(world)
    for raw in Packets(world, seed).some(PACKETS):
        if (seen := met(made, raw)) is not None:
            assert seen[1] != oracle.may_be_dropped(world, raw.packet, armed(world)), raw


@EXAMPLES
@given(worlds(), SEEDS)
def test_who_is_nobodys_business_is_never_dropped(world: World, seed: int) -> None:
    """Said once more, without the oracle: packet by packet what no guard may touch."""
    made = machine(world)
    for raw in Packets(world, seed).some(PACKETS):
        packet, seen = raw.packet, met(made, raw)
        if seen is None:
            continue
        spared = {
            "transit": outside_the_estate(world, raw),
            "a subscriber's own": packet.iif not in world.policy.gateway.uplinks,
            "an answer to a flow": packet.protocol == TCP and packet.flags & (SYN | ACK) != SYN,
            "an ICMP error": packet.protocol in (ICMP, ICMP6),
            "without a transport header": packet.protocol == -1,
            "of a registered source": bool(oracle.registrations(world, packet, packet.saddr)),
            "of a lifeline": any(
                p.family == packet.family and packet.saddr in p for p in world.policy.lifelines
            ),
        }
        assert seen[1] or not any(spared.values()), (raw, spared)


@EXAMPLES
@given(worlds(), SEEDS)
def test_a_raw_packet_is_marked_just_when_registered_and_else_as_it_came(
    world: World, seed: int
) -> None:
    made = machine(world)
    for raw in Packets(world, seed).some(PACKETS):
        if (seen := met(made, raw)) is None or not seen[1]:
            continue
        skb, wanted = seen[0], oracle.marked(world, raw.packet, armed(world))
        assert (skb.mark, skb.dscp, skb.priority) == (wanted.mark, wanted.dscp, 0), raw
        original = received(raw.packet.family, raw.data, raw.packet.iif)
        assert original is not None
        # Of the header nothing but the DSCP, and for IPv4 its checksum, may differ.
        for at in {4: (0, 1, 10, 11), 6: (0, 1)}[raw.packet.family]:
            original.data[at] = skb.data[at]
        assert skb.data == original.data
        if skb.dscp == raw.packet.dscp:
            assert bytes(skb.data) == bytes(raw.data[: len(skb.data)]), raw


@EXAMPLES
@given(worlds(), SEEDS)
def test_what_leaves_by_the_link_is_reserved_for_just_when_registered(
    world: World, seed: int
) -> None:
    made = machine(world)
    for raw in Packets(world, seed).some(PACKETS):
        skb = received(raw.packet.family, raw.data, raw.packet.iif)
        if skb is None:
            continue
        skb.oif = "wan0" if raw.number % 2 else "lan0"
        assert made.pass_through("postrouting", skb, NOW_NS), raw
        before = replace(raw.packet, hook="postrouting", oif=skb.oif)
        wanted = oracle.reserved(world, before, armed(world))
        in_class = wanted.priority == SHAPER_MAJOR << 16 | REGISTERED_MINOR
        assert skb.priority == (wanted.priority if in_class else 0), raw
        assert (skb.mark, skb.dscp) == (0, raw.packet.dscp)


@EXAMPLES
@given(worlds(), SEEDS)
def test_each_packet_is_counted_under_the_category_of_its_longest_match(
    world: World, seed: int
) -> None:
    made = machine(world)
    for raw in Packets(world, seed).some(PACKETS):
        if (seen := met(made, raw)) is None:
            continue
        for c in counters(seen[0]):
            assert c.family == raw.packet.family
            if c.measure == "mark":
                assert c.category in oracle.categories(world, raw.packet), raw
            elif c.category not in ("lifeline", "unregistered"):
                assert c.category in oracle.categories_of(world, raw.packet, raw.packet.saddr), raw


@EXAMPLES
@given(worlds(), SEEDS)
def test_when_the_kernels_timer_has_run_out_nothing_is_done(world: World, seed: int) -> None:
    made = machine(world, until_ns=NOW_NS)
    for raw in Packets(world, seed).some(PACKETS):
        if (seen := met(made, raw)) is not None:
            assert seen[1]
            assert (seen[0].mark, seen[0].priority, seen[0].counted) == (0, 0, [])
            assert bytes(seen[0].data) == raw.data[: len(seen[0].data)]


@EXAMPLES
@given(worlds(), SEEDS)
def test_the_meaning_of_the_words_is_that_of_their_expressions(world: World, seed: int) -> None:
    """The simulator of the vocabulary and the machine agree wherever every header is there."""
    made, ruleset = machine(world), world.ruleset
    for raw in Packets(world, seed).some(PACKETS):
        packet = raw.packet
        if packet.protocol == -1 or -1 in (packet.sport, packet.dport) or not raw.sound:
            continue
        seen = met(made, raw)
        assert seen is not None
        told = simulate(ruleset, packet, armed(world))
        assert (told.dropped, told.counted) == (not seen[1], tuple(seen[0].counted)), raw
        if not told.dropped:
            after = told.packet
            skb = seen[0]
            assert (after.mark, after.dscp, after.priority) == (skb.mark, skb.dscp, skb.priority)


def test_packets_of_every_kind_are_drawn_dropped_and_marked() -> None:
    """What the tests above look at is not nothing."""
    kinds: set[str] = set()
    fates: set[str] = set()

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(worlds(), SEEDS)
    def look(world: World, seed: int) -> None:
        made = machine(world)
        for raw in Packets(world, seed).some(PACKETS):
            kinds.add(f"{raw.kind}{raw.packet.family}")
            seen = met(made, raw)
            if seen is None:
                fates.add("refused")
            else:
                fates.add(f"{'passed' if seen[1] else 'dropped'} {raw.kind}{raw.packet.family}")
                fates.update(c.verdict for c in counters(seen[0]))

    look()
    assert kinds >= {
        f"{kind}{family}" for kind in ("plain", "fragment", "icmp_error", "cut") for family in "46"
    } | {"options4", "extensions6", "headers_cut6"}
    assert fates >= {"refused", "marked", "held_back", "would_drop", "let_in"}
    assert {f"dropped {k}" for k in ("plain4", "plain6", "fragment4", "extensions6")} <= fates
