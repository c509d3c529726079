"""Each promise, broken in a good ruleset in every way we could think of, is seen and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from enforcer.errors import PromiseError
from enforcer.lookup.tables import Stage, Tables
from enforcer.policy.model import Activation, Estate, Guard, Link, Mark, Policy, Reserve
from enforcer.policy.prefix import Service, parse_prefix
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.promises import check
from tests.ruleset.builders import (
    ALL_THREE,
    CONCENTRATORS,
    MAIL,
    POLICY,
    ROWS,
    STARTS_AT,
    TABLES,
    TABLES_FRONT,
    active,
    compiled,
    prefixes_of,
    services_of,
    stage,
    tables,
    window,
)

GOOD = compiled(active(ALL_THREE))
FRONTED = compiled(active(ALL_THREE), registry=TABLES_FRONT)
DROP = v.Rule((v.Count("guard/ddos/held_back/ip4/unregistered"), v.Drop()))
Edit = Callable[[v.Rule], "v.Rule | None"]


def violations(
    ruleset: v.Ruleset,
    *activations: Activation,
    policy: Policy = POLICY,
    registry: Tables = TABLES,
) -> list[str]:
    try:
        check(ruleset, policy, activations or (active(ALL_THREE),), registry)
    except PromiseError as error:
        return list(error.violations)
    return []


def broken(ruleset: v.Ruleset, promise: int, *activations: Activation, **given: object) -> bool:
    found = violations(ruleset, *activations, **given)  # type: ignore[arg-type]
    return any(text.startswith(f"promise {promise}: ") for text in found)


# --- ways to break a ruleset ------------------------------------------------------------------


def with_chain(chain: v.Chain, base: v.Ruleset = GOOD) -> v.Ruleset:
    """The chain in place of the one of its name, or added."""
    others = tuple(c for c in base.chains if c.name != chain.name)
    return replace(base, chains=(*others, chain))


def edited(name: str, edit: Edit, base: v.Ruleset = GOOD) -> v.Ruleset:
    """Each rule of the chain through `edit`; None takes it out. Something must change."""
    chain = base.chain(name)
    assert chain is not None
    rules = tuple(new for rule in chain.rules if (new := edit(rule)) is not None)
    assert rules != chain.rules
    return with_chain(replace(chain, rules=rules), base)


def without(kind: type) -> Edit:
    return lambda rule: v.Rule(tuple(s for s in rule.statements if not isinstance(s, kind)))


def no_rule_with(kind: type) -> Edit:
    return lambda r: None if any(isinstance(s, kind) for s in r.statements) else r


def swapped(old: v.Statement, new: v.Statement) -> Edit:
    return lambda rule: v.Rule(tuple(new if s == old else s for s in rule.statements))


def in_front(*statements: v.Statement) -> Edit:
    return lambda rule: v.Rule((*statements, *rule.statements))


def with_container(container: v.Container, base: v.Ruleset = GOOD) -> v.Ruleset:
    assert any(c.name == container.name for c in base.containers)
    return replace(
        base,
        containers=tuple(container if c.name == container.name else c for c in base.containers),
    )


def without_container(name: str, base: v.Ruleset = GOOD) -> v.Ruleset:
    kept = tuple(c for c in base.containers if c.name != name)
    assert kept != base.containers
    return replace(base, containers=kept)


def container(name: str) -> v.Container:
    return next(c for c in GOOD.containers if c.name == name)


def container_of(family: int, length: int) -> str:
    """The name of the registered map of a stage."""
    return next(
        c.name
        for c in GOOD.containers
        if isinstance(c, v.RegisteredMap) and (c.stage.family, c.stage.length) == (family, length)
    )


def small(name: str) -> v.SmallSet:
    found = container(name)
    assert isinstance(found, v.SmallSet)
    return found


def arming(name: str = "ddos") -> v.ArmingSet:
    found = container(f"armed.{name}")
    assert isinstance(found, v.ArmingSet)
    return found


def class_map(name: str) -> v.ClassMap:
    found = container(name)
    assert isinstance(found, v.ClassMap)
    return found


def taking(change: dict[str, object]) -> Edit:
    """Every `TakeClass` of the rule changed."""
    return lambda rule: v.Rule(
        tuple(
            replace(s, **change) if isinstance(s, v.TakeClass) else s  # type: ignore[arg-type]
            for s in rule.statements
        )
    )


def with_rules(name: str, *rules: v.Rule, base: v.Ruleset = GOOD) -> v.Ruleset:
    """The rules in front of all others of the chain."""
    chain = base.chain(name)
    assert chain is not None
    return with_chain(replace(chain, rules=(*rules, *chain.rules)), base)


# --- what must pass ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "activations",
    [
        (),
        (active(ALL_THREE),),
        (active(ALL_THREE), active(window("b", guard=Guard("mail"), lease="until-end"))),
        (active(window("s", guard=Guard("mail"), stage=True)),),
        (active(window("m", mark=Mark(1))), active(window("n", mark=Mark(dscp=1)))),
        (
            active(window("r", reserve=Reserve("wan", 0.3))),
            active(window("q", reserve=Reserve("wan", 0.5))),
        ),
    ],
    ids=["none", "all three", "two guards", "staged", "two marks", "two reserves"],
)
def test_what_the_compiler_makes_keeps_every_promise(activations: tuple[Activation, ...]) -> None:
    check(compiled(*activations), POLICY, activations, TABLES)


def test_a_front_filter_keeps_every_promise() -> None:
    check(FRONTED, POLICY, (active(ALL_THREE),), TABLES_FRONT)


def test_an_empty_registry_keeps_every_promise() -> None:
    nothing = tables()
    check(compiled(active(ALL_THREE), registry=nothing), POLICY, (active(ALL_THREE),), nothing)


def test_every_violation_is_told_at_once() -> None:
    bad = replace(GOOD, shapers=(v.Shaper("wan0", 10**9, 9 * 10**8),), counters=("10.1.2.3",))
    numbers = {text.split(":")[0] for text in violations(bad)}
    assert numbers == {"promise 1", "promise 6"}


# --- 1: inert outside windows, and for everybody else ------------------------------------------


def test_1_no_chain_outside_windows() -> None:
    with pytest.raises(PromiseError, match=r"promise 1: chain mark\.ddos outside windows"):
        check(GOOD, POLICY, (), TABLES)


def test_1_no_chain_outside_windows_that_is_not_the_registrys_even_unhooked() -> None:
    quiet = compiled()
    assert violations(quiet, active(window("m", mark=Mark(1)))) == []
    bad = with_chain(v.Chain("left.over"), quiet)
    with pytest.raises(PromiseError, match=r"promise 1: chain left\.over outside windows"):
        check(bad, POLICY, (), TABLES)


def test_1_no_chain_of_a_window_that_is_over_while_another_is_active() -> None:
    assert broken(GOOD, 1, active(window("other", mark=Mark(1))))


def test_1_no_htb_outside_windows() -> None:
    only = v.Ruleset(compiled().containers, shapers=GOOD.shapers)
    with pytest.raises(PromiseError, match="promise 1: htb on wan0"):
        check(only, POLICY, (), TABLES)


def test_1_no_htb_for_a_window_that_does_not_reserve() -> None:
    marks = active(window("ddos", mark=Mark(1)))
    assert broken(replace(compiled(marks), shapers=GOOD.shapers), 1, marks)


@pytest.mark.parametrize(
    "shaper",
    [
        v.Shaper("wan0", 10**9, 801 * 10**6),
        v.Shaper("wan0", 9 * 10**8, 10**8),
        v.Shaper("lan0", 10**9, 10**8),
        v.Shaper("wan0", 10**9, 8 * 10**8 + 8),
    ],
    ids=["more than four fifths", "slower than the link", "another device", "by a byte"],
)
def test_1_the_rest_of_a_link_is_not_starved(shaper: v.Shaper) -> None:
    assert broken(replace(GOOD, shapers=(shaper,)), 1)


def test_1_two_windows_together_do_not_reserve_over_four_fifths() -> None:
    both = [active(window(n, reserve=Reserve("wan", 0.45))) for n in "ab"]
    assert broken(compiled(*both), 1, *both)


def test_1_a_measure_hooks_where_it_belongs_and_nowhere_else() -> None:
    base = GOOD.chain("mark.ddos")
    assert base is not None
    on_a_device = v.Hook("prerouting", -150, "wan0")
    assert broken(with_chain(v.Chain("other.ddos", (), v.Hook("prerouting", -150))), 1)
    for hook in (v.Hook("postrouting", -150), v.Hook("ingress", 0, "wan0"), on_a_device):
        assert broken(with_chain(replace(base, hook=hook)), 1)


@pytest.mark.parametrize("stage", [False, True])
def test_1_nothing_is_hooked_at_ingress(stage: bool) -> None:
    """Whatever its rules, a chain there drops what the kernel cannot parse so early."""
    one = active(window("ddos", guard=Guard("concentrators"), stage=stage))
    for name in ("guard.ddos", "guard.ddos.on.wan0"):
        bad = with_chain(v.Chain(name, (), v.Hook("ingress", 0, "wan0")), compiled(one))
        assert broken(bad, 1, one)


@pytest.mark.parametrize(
    "action", [v.SetMark(0x51), v.SetDscp(4, 40), v.SetPriority(0xE4F0, 0x10)], ids=repr
)
def test_1_nothing_is_changed_on_a_packet_that_is_not_registered(action: v.Statement) -> None:
    base = GOOD.chain("mark.ddos")
    assert base is not None
    everybody = v.Rule((v.IsFamily(4), v.Armed("ddos"), action))
    assert broken(with_chain(replace(base, rules=(*base.rules, everybody))), 1)


# --- 2: the kernel's own end ------------------------------------------------------------------


def test_2_the_arming_set_does_not_outlast_its_window() -> None:
    late = replace(arming(), ends_ns=arming().ends_ns + 1)
    assert violations(with_container(late)) == ["promise 2: armed.ddos outlasts its window"]


def test_2_an_arming_set_may_end_earlier() -> None:
    assert violations(with_container(replace(arming(), ends_ns=arming().ends_ns - 1))) == []


def test_2_a_lease_is_not_left_out() -> None:
    assert broken(with_container(replace(arming(), lease_ns=None)), 2)


def test_2_a_lease_is_not_longer_than_the_gateway_says() -> None:
    assert broken(with_container(replace(arming(), lease_ns=600 * 10**9 + 1)), 2)


def test_2_until_end_needs_no_lease() -> None:
    until = active(window("cut", mark=Mark(1), lease="until-end"))
    assert violations(compiled(until), until) == []


def test_2_no_arming_set_without_its_window() -> None:
    assert broken(replace(GOOD, containers=(*GOOD.containers, v.ArmingSet("x", 1, 1))), 2)


@pytest.mark.parametrize("chain", ["guard.ddos.flow4", "guard.ddos.flow6"])
def test_2_no_drop_without_the_arming_set(chain: str) -> None:
    assert broken(edited(chain, without(v.Armed)), 2)


def test_2_one_drop_in_many_without_the_arming_set_is_enough() -> None:
    esp = v.Protocol(50)
    one = edited("guard.ddos.flow4", lambda r: without(v.Armed)(r) if esp in r.statements else r)
    assert broken(one, 2)


@pytest.mark.parametrize("side", ["saddr4", "daddr4", "saddr6", "daddr6"])
@pytest.mark.parametrize("measure", ["mark", "reserve"])
def test_2_no_mark_and_no_class_without_the_arming_set(measure: str, side: str) -> None:
    assert broken(edited(f"{measure}.ddos.{side}", taking({"window": None})), 2)


def test_2_no_lookup_without_the_arming_set() -> None:
    """It writes a class where the rules of another window may read it."""
    bare = v.Rule((v.IsFamily(4), v.TakeClass("saddr", 4, 32, container_of(4, 32))))
    assert broken(with_rules("mark.ddos", bare), 2)


@pytest.mark.parametrize("word", [v.NoteClass(7), v.DropClass()], ids=repr)
def test_2_no_note_of_a_class_without_the_arming_set(word: v.Statement) -> None:
    assert broken(with_rules("mark.ddos", v.Rule((word,))), 2)


def test_2_no_drop_when_the_arming_set_is_not_there() -> None:
    assert broken(without_container("armed.ddos"), 2)


def test_2_a_window_is_not_armed_by_another_ones_set() -> None:
    other = active(window("other", mark=Mark(7)), 24)
    both = compiled(active(ALL_THREE), other)
    borrowed = edited("guard.ddos.flow4", swapped(v.Armed("ddos"), v.Armed("other")), both)
    assert broken(borrowed, 2, active(ALL_THREE), other)


# --- 3: only guard drops, and only what (a) to (d) say -----------------------------------------


def test_3_no_drop_in_mark_or_reserve() -> None:
    for name in ("mark.ddos", "reserve.ddos.link"):
        base = GOOD.chain(name)
        assert base is not None
        bad = replace(base, rules=(*base.rules, v.Rule((v.Armed("ddos"), v.Drop()))))
        assert broken(with_chain(bad), 3)


def test_3_no_drop_in_the_chain_of_a_registered_class() -> None:
    bad = edited("guard.ddos.ip4.call-centre", swapped(v.Accept(), v.Drop()))
    assert broken(bad, 3)
    assert broken(bad, 4)


@pytest.mark.parametrize(
    "hook", [v.Hook("ingress", 0, "wan0"), v.Hook("postrouting", -300)], ids=lambda h: h.name
)
def test_3a_no_drop_anywhere_but_in_prerouting(hook: v.Hook) -> None:
    base = GOOD.chain("guard.ddos")
    assert base is not None
    assert broken(with_chain(replace(base, hook=hook)), 3)


def test_3a_no_drop_without_the_uplink() -> None:
    for name in ("guard.ddos.inbound4", "guard.ddos.inbound6"):
        assert broken(edited(name, without(v.IifName)), 3)


def test_3a_no_drop_on_a_device_that_is_no_uplink() -> None:
    for name in ("guard.ddos.inbound4", "guard.ddos.inbound6"):
        assert broken(edited(name, swapped(v.IifName("wan0"), v.IifName("lan0"))), 3)
        assert broken(edited(name, swapped(v.IifName("wan0"), v.OifName("wan0"))), 3)


def test_3a_an_uplink_that_the_policy_no_longer_names_is_none() -> None:
    fewer = replace(POLICY, gateway=replace(POLICY.gateway, uplinks=("wan1",)))
    assert broken(GOOD, 3, policy=fewer)


def test_3b_the_estate_match_is_not_removed() -> None:
    bad = edited("guard.ddos", lambda r: without(v.MaskedIn)(without(v.AddressIn)(r)))
    assert broken(bad, 3)


def test_3b_one_way_around_the_estate_match_is_enough() -> None:
    base = GOOD.chain("guard.ddos")
    assert base is not None
    around = v.Rule((v.IifName("wan1"), v.IsFamily(4), v.Goto("guard.ddos.flow4")))
    assert broken(with_chain(replace(base, rules=(*base.rules, around))), 3)


@pytest.mark.parametrize("wider", ["203.0.113.128/31", "0.0.0.0/0", "198.18.7.0/30"])
def test_3b_the_estate_match_is_not_widened(wider: str) -> None:
    narrow = v.AddressIn("daddr", parse_prefix("203.0.113.129/32"))
    wide = v.AddressIn("daddr", parse_prefix(wider))
    assert broken(edited("guard.ddos", swapped(narrow, wide)), 3)


def test_3b_the_estate_set_holds_no_stranger() -> None:
    estate = small("guard.ddos.estate4-28")
    stranger = parse_prefix("203.0.113.16/28").packed
    assert broken(with_container(replace(estate, elements=(*estate.elements, stranger))), 3)


def test_3b_a_masked_match_is_not_shortened() -> None:
    masked = v.MaskedIn("daddr", 4, 28, "guard.ddos.estate4-28")
    bad = edited("guard.ddos", swapped(masked, replace(masked, length=24)))
    estate = small("guard.ddos.estate4-28")
    nets = tuple(parse_prefix(p).packed for p in ("203.0.113.0/24",))
    assert broken(with_container(replace(estate, elements=nets), bad), 3)


def test_3b_the_estate_match_is_on_the_destination() -> None:
    narrow = v.AddressIn("daddr", parse_prefix("203.0.113.129/32"))
    assert broken(edited("guard.ddos", swapped(narrow, replace(narrow, side="saddr"))), 3)


def test_3b_a_smaller_estate_is_no_violation() -> None:
    estate = small("guard.ddos.estate4-28")
    assert violations(with_container(replace(estate, elements=estate.elements[:1]))) == []


def test_3b_the_estate_is_the_windows_own() -> None:
    mail = replace(ALL_THREE, guard=Guard("mail"))
    assert broken(GOOD, 3, active(mail))


@pytest.mark.parametrize("kind", [v.PortIn, v.PortInSet, v.Protocol])
def test_3b_the_service_match_is_not_removed(kind: type) -> None:
    assert broken(edited("guard.ddos.flow4", without(kind)), 3)


def test_3b_the_service_match_is_not_widened() -> None:
    ports = v.PortIn("dport", 5000, 5100)
    for wide in (v.PortIn("dport", 5000, 5101), v.PortIn("dport", 4999, 5100)):
        assert broken(edited("guard.ddos.flow4", swapped(ports, wide)), 3)
    assert broken(edited("guard.ddos.flow4", swapped(ports, v.PortIn("sport", 5000, 5100))), 3)


def test_3b_the_service_set_holds_no_stranger() -> None:
    ports = small("guard.ddos.ports17")
    assert broken(with_container(replace(ports, elements=(*ports.elements, b"\x00\x35"))), 3)


def test_3b_a_protocol_of_the_estate_without_ports_stays_within_it() -> None:
    esp_to_ah = edited("guard.ddos.flow4", swapped(v.Protocol(50), v.Protocol(51)))
    assert broken(esp_to_ah, 3)


@pytest.mark.parametrize("chain", ["guard.ddos.flow4", "guard.ddos.flow6"])
def test_5_the_content_of_a_later_fragment_is_not_taken_for_ports(chain: str) -> None:
    assert broken(edited(chain, without(v.HasTransport)), 5)


def test_5_the_fragment_offset_of_ipv4_is_asked_of_ipv4_alone() -> None:
    assert broken(edited("guard.ddos.flow6", swapped(v.HasTransport(), v.HasTransport(4))), 5)


def test_3c_tcp_is_dropped_only_where_it_starts() -> None:
    assert broken(edited("guard.ddos.flow4", without(v.TcpStart)), 3)


def test_3d_the_registered_lookup_comes_before_the_drop() -> None:
    for name in ("guard.ddos.new4", "guard.ddos.new6"):
        assert broken(edited(name, no_rule_with(v.Jump)), 3)
    for name in ("guard.ddos.saddr4", "guard.ddos.saddr6"):
        assert broken(edited(name, no_rule_with(v.TakeClass)), 3)


def asked_in(map_name: str) -> Edit:
    """Takes the rule that asks this map away."""
    return lambda rule: (
        None
        if any(isinstance(s, v.TakeClass) and s.map_name == map_name for s in rule.statements)
        else rule
    )


@pytest.mark.parametrize("index", range(len(TABLES.stages)))
def test_3d_each_stage_is_asked_before_the_drop(index: int) -> None:
    missed = TABLES.stages[index]
    edit = asked_in(v.RegisteredMap(missed).name)
    assert broken(edited(f"guard.ddos.saddr{missed.family}", edit), 3)


@pytest.mark.parametrize("index", range(len(TABLES_FRONT.of_family(4))))
def test_3d_each_stage_is_asked_behind_the_front_filter(index: int) -> None:
    edit = asked_in(v.RegisteredMap(TABLES_FRONT.of_family(4)[index]).name)
    assert broken(edited("guard.ddos.saddr4", edit, FRONTED), 3, registry=TABLES_FRONT)


def test_3d_a_stage_is_asked_before_the_drop_not_after() -> None:
    chain = GOOD.chain("guard.ddos.new4")
    assert chain is not None
    assert broken(with_chain(replace(chain, rules=(chain.rules[-1], *chain.rules[:-1]))), 3)


@pytest.mark.parametrize(
    "narrowing",
    [v.Protocol(17), v.IifName("wan1"), v.Armed("ddos"), v.IsFamily(6)],
    ids=lambda s: type(s).__name__,
)
def test_3d_a_stage_is_asked_without_further_conditions(narrowing: v.Statement) -> None:
    assert broken(edited("guard.ddos.saddr4", in_front(narrowing)), 3)

    def narrow(rule: v.Rule) -> v.Rule:
        jumps = any(isinstance(s, v.Jump) for s in rule.statements)
        return in_front(narrowing)(rule) if jumps else rule

    assert broken(edited("guard.ddos.new4", narrow), 3)
    behind = edited("guard.ddos.new4", narrow, FRONTED)
    assert broken(behind, 3, registry=TABLES_FRONT)
    one_more = edited("guard.ddos.new4", lambda r: _in_the_middle(r, narrowing), FRONTED)
    assert broken(one_more, 3, registry=TABLES_FRONT)


def _in_the_middle(rule: v.Rule, statement: v.Statement) -> v.Rule:
    """Between the front filter and its jump."""
    match rule.statements:
        case (v.FrontIn() as front, v.Jump() as jump):
            return v.Rule((front, statement, jump))
    return rule


SPOILERS = [
    (v.Return(),),
    (v.IsFamily(4), v.Return()),
    (v.Protocol(17), v.Accept()),
    (v.DropClass(),),
    (v.NoteClass(7),),
    (v.Goto("guard.ddos.ip4.mission"),),
    (v.ByClass("guard.ddos.classes4"),),
]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("spoiler", SPOILERS, ids=repr)
def test_3d_nothing_stands_between_the_stages(spoiler: tuple[v.Statement, ...], place: int) -> None:
    """A rule of another kind could return, let anybody in, or spoil the note."""
    for base, registry in ((GOOD, TABLES), (FRONTED, TABLES_FRONT)):
        chain = base.chain("guard.ddos.saddr4")
        assert chain is not None
        rules = (*chain.rules[:place], v.Rule(spoiler), *chain.rules[place:])
        bad = with_chain(replace(chain, rules=rules), base)
        assert broken(bad, 3, registry=registry)
        assert broken(bad, 4, registry=registry)


def test_3d_the_source_alone_decides() -> None:
    """A hit on the destination could return, and the drop follow, before the source is asked."""
    to_estate = v.Rule(
        (
            v.IsFamily(4),
            v.TakeClass("daddr", 4, 28, "reg4-28-16"),
            v.ByClass("guard.ddos.classes4"),
        )
    )
    assert broken(with_rules("guard.ddos.saddr4", to_estate), 4)


@pytest.mark.parametrize("chain", ["guard.ddos.saddr4", "mark.ddos.daddr4", "reserve.ddos.saddr6"])
def test_4_the_longest_match_is_asked_first(chain: str) -> None:
    """A hit is not asked again: a shorter prefix in front would hide what is inside it."""
    found = GOOD.chain(chain)
    assert found is not None
    assert broken(with_chain(replace(found, rules=found.rules[::-1])), 4)


@pytest.mark.parametrize("measure", ["guard", "mark", "reserve"])
def test_4_whoever_takes_a_class_hands_it_to_a_map_of_all_classes(measure: str) -> None:
    name, classes = f"{measure}.ddos.saddr4", v.ByClass(f"{measure}.ddos.classes4")
    assert broken(edited(name, without(v.ByClass)), 4)
    for other in ("services", f"{measure}.ddos.categories4"):
        assert broken(edited(name, swapped(classes, v.ByClass(other))), 4), other


@pytest.mark.parametrize(
    "change",
    [{"side": "daddr"}, {"length": 31}, {"window": "other"}],
    ids=["the destination", "another length", "another window's arming"],
)
def test_3d_a_stage_is_asked_for_the_source_in_full(change: dict[str, object]) -> None:
    assert broken(edited("guard.ddos.saddr4", taking(change)), 3)


def test_3d_the_note_of_the_class_is_not_spoilt_before_it_is_read() -> None:
    def spoil(rule: v.Rule) -> v.Rule:
        *before, last = rule.statements
        reads = isinstance(last, v.ByClass | v.Jump)
        return v.Rule((*before, v.DropClass(), last)) if reads else rule

    assert broken(edited("guard.ddos.saddr4", spoil), 3)
    assert broken(edited("guard.ddos.new4", spoil), 3)


def test_3d_a_hit_goes_to_a_class_map() -> None:
    assert broken(edited("guard.ddos.saddr4", without(v.ByClass)), 3)
    to_categories = swapped(v.ByClass("guard.ddos.classes4"), v.ByClass("guard.ddos.categories4"))
    assert broken(edited("guard.ddos.saddr4", to_categories), 3)
    assert broken(edited("guard.ddos.hit4", no_rule_with(v.ByClass)), 4)


@pytest.mark.parametrize("name", ["192.0.2.54/32", "192.0.2.128/25"])
def test_3d_each_lifeline_is_let_in_before_the_drop(name: str) -> None:
    more = replace(POLICY, lifelines=(*POLICY.lifelines, parse_prefix("192.0.2.7/32")))
    assert broken(GOOD, 3, policy=more)
    lifelines = small("guard.ddos.lifelines4-32")
    fewer = tuple(e for e in lifelines.elements if e != parse_prefix(name).packed)
    bad = (
        edited("guard.ddos.new4", no_rule_with(v.AddressIn))
        if fewer == lifelines.elements
        else with_container(replace(lifelines, elements=fewer))
    )
    assert broken(bad, 3)


@pytest.mark.parametrize("instead", [v.Drop(), v.Return()], ids=repr)
def test_3d_a_lifeline_is_accepted_and_nothing_else(instead: v.Statement) -> None:
    def turn(rule: v.Rule) -> v.Rule:
        source = any(isinstance(s, v.AddressIn) for s in rule.statements)
        return swapped(v.Accept(), instead)(rule) if source else rule

    assert broken(edited("guard.ddos.new4", turn), 3)


def test_3d_a_lifeline_is_accepted_without_further_conditions() -> None:
    def narrow(rule: v.Rule) -> v.Rule:
        source = any(isinstance(s, v.MaskedIn) for s in rule.statements)
        return in_front(v.Protocol(17))(rule) if source else rule

    assert broken(edited("guard.ddos.new4", narrow), 3)


def test_3_a_staged_window_drops_nothing() -> None:
    assert broken(GOOD, 3, active(replace(ALL_THREE, stage=True)))


def test_3_a_window_without_guard_drops_nothing() -> None:
    assert broken(GOOD, 3, active(replace(ALL_THREE, guard=None)))


def test_3_a_malformed_element_counts_for_nothing() -> None:
    lifelines = small("guard.ddos.lifelines4-32")
    for bad in (b"\xc0\x00\x02", b""):
        elements = (lifelines.elements[0], bad)
        assert broken(with_container(replace(lifelines, elements=elements)), 3)


# --- 4: registered traffic is never dropped ---------------------------------------------------


def test_4_the_maps_are_those_of_the_registry() -> None:
    other = tables(*ROWS[:3])
    assert broken(GOOD, 4, registry=other)


def test_4_no_other_map_stands_beside_those_of_the_registry() -> None:
    beside = v.RegisteredMap(stage(4, 20, {0x0A000000: 7}))
    assert broken(replace(GOOD, containers=(*GOOD.containers, beside)), 4)
    for one in TABLES.stages:
        shorter = replace(one, keys=one.keys[1:], classes=one.classes[1:], digest="0" * 16)
        maps = (
            v.RegisteredMap(shorter) if c == v.RegisteredMap(one) else c for c in GOOD.containers
        )
        assert broken(replace(GOOD, containers=tuple(maps)), 4)


@pytest.mark.parametrize("name", ["guard.ddos.classes4", "mark.ddos.classes6"])
def test_4_a_class_map_knows_every_class_and_no_other(name: str) -> None:
    known = class_map(name)
    for index in range(len(known.elements)):
        fewer = known.elements[:index] + known.elements[index + 1 :]
        assert broken(with_container(replace(known, elements=fewer)), 4)
    more = (*known.elements, (0xFFFF, known.elements[0][1]))
    assert broken(with_container(replace(known, elements=more)), 4)


SERVICE_CHAINS = sorted(c.name for c in GOOD.chains if c.name.startswith("services."))


def test_4_these_tests_see_classes_with_services() -> None:
    assert len(SERVICE_CHAINS) == 4


@pytest.mark.parametrize("name", SERVICE_CHAINS)
def test_4_no_service_of_a_class_is_forgotten(name: str) -> None:
    chain = GOOD.chain(name)
    assert chain is not None
    for index in range(len(chain.rules)):
        fewer = chain.rules[:index] + chain.rules[index + 1 :]
        assert broken(with_chain(replace(chain, rules=fewer)), 4)


@pytest.mark.parametrize("name", SERVICE_CHAINS)
def test_4_no_service_is_added_to_a_class(name: str) -> None:
    chain = GOOD.chain(name)
    assert chain is not None
    _, note, end = chain.rules[0].statements[-3:]
    for matches in ((v.Protocol(6),), ()):
        more = v.Rule((*matches, note, end))
        assert broken(with_chain(replace(chain, rules=(more, *chain.rules))), 4)


@pytest.mark.parametrize("name", SERVICE_CHAINS)
@pytest.mark.parametrize("end", [v.Drop(), v.Accept(), v.SetMark(1), v.Goto("guard.ddos.new4")])
def test_4_a_chain_of_services_notes_and_does_nothing_else(name: str, end: v.Statement) -> None:
    chain = GOOD.chain(name)
    assert chain is not None
    bad = v.Rule((v.Protocol(1), end))
    assert broken(with_chain(replace(chain, rules=(bad, *chain.rules))), 4)
    assert broken(with_chain(replace(chain, rules=(*chain.rules, bad))), 4)
    assert broken(edited(name, swapped(v.Return(), end)), 4)


def test_4_a_service_is_noted_under_its_own_category() -> None:
    first, second = (GOOD.chain(name) for name in SERVICE_CHAINS[:2])
    assert first is not None
    assert second is not None
    crossed = replace(first, rules=second.rules)
    assert broken(with_chain(crossed), 4)


def test_4_the_map_of_services_knows_every_class_and_comes_back() -> None:
    services = class_map("services")
    assert broken(with_container(replace(services, elements=services.elements[1:])), 4)
    stranger = (0xFFFF, services.elements[0][1])
    assert broken(with_container(replace(services, elements=(*services.elements, stranger))), 4)
    assert broken(with_container(replace(services, verdict="goto")), 4)
    assert broken(without_container("services"), 4) or broken(without_container("services"), 5)


def test_4_a_category_map_never_comes_back() -> None:
    known = class_map("guard.ddos.classes4")
    assert broken(with_container(replace(known, verdict="jump")), 4)


@pytest.mark.parametrize("name", ["guard.ddos.hit4", "mark.ddos.hit6"])
def test_4_a_class_with_services_is_resolved_before_its_category(name: str) -> None:
    hit = GOOD.chain(name)
    assert hit is not None
    for index in range(len(hit.rules)):
        fewer = hit.rules[:index] + hit.rules[index + 1 :]
        assert broken(with_chain(replace(hit, rules=fewer)), 4), index
        more = (*hit.rules[:index], v.Rule((v.Protocol(17), v.Return())), *hit.rules[index:])
        assert broken(with_chain(replace(hit, rules=more)), 4), index
    assert broken(with_chain(replace(hit, rules=hit.rules[::-1])), 4)


def test_4_a_class_with_services_is_not_taken_for_its_category() -> None:
    known = class_map("mark.ddos.classes4")
    hit, category = "mark.ddos.hit4", "mark.ddos.ip4.call-centre"
    assert {target for _, target in known.elements} > {hit, category}
    for key, target in known.elements:
        if target == hit:
            elements = tuple((k, category if k == key else t) for k, t in known.elements)
            assert broken(with_container(replace(known, elements=elements)), 4)


def test_4_a_category_does_not_pass_by_another_chain() -> None:
    known = class_map("mark.ddos.classes4")
    to_hit = tuple((key, "mark.ddos.hit4") for key, _ in known.elements)
    assert broken(with_container(replace(known, elements=to_hit)), 4)


# --- 4: the front filter ----------------------------------------------------------------------


def fronted(front: Stage | None) -> Tables:
    return replace(TABLES_FRONT, front=front)


def front_of_keys(keys: list[int]) -> Stage:
    return stage(4, 16, dict.fromkeys(keys, 0))


FRONT_KEYS = TABLES_FRONT.front.keys.tolist() if TABLES_FRONT.front else []


def test_4_these_tests_see_a_wide_and_a_narrow_registration_behind_the_front() -> None:
    assert [n << 16 for n in (0x0A04, 0x0A05, 0x0A06, 0x0A07, 0xC633)] == FRONT_KEYS


@pytest.mark.parametrize("missing", FRONT_KEYS, ids=hex)
def test_4_the_front_filter_lacks_no_registered_16(missing: int) -> None:
    less = front_of_keys([key for key in FRONT_KEYS if key != missing])
    swapped_out = with_container(v.FrontSet(less), FRONTED)
    assert broken(swapped_out, 4, registry=TABLES_FRONT)
    # Neither when the planner has forgotten it.
    planned = fronted(less)
    text = " ".join(violations(compiled(active(ALL_THREE), registry=planned), registry=planned))
    assert "promise 4: set front4 lacks what stage 4-" in text


def test_4_the_front_filter_is_there_when_rules_ask_it() -> None:
    assert broken(without_container(v.FRONT, FRONTED), 4, registry=TABLES_FRONT)
    assert broken(without_container(v.FRONT, FRONTED), 4, registry=fronted(None))


def test_4_the_front_filter_is_that_of_the_registry() -> None:
    more = front_of_keys([*FRONT_KEYS, 0x0B00_0000])
    assert broken(with_container(v.FrontSet(more), FRONTED), 4, registry=TABLES_FRONT)
    assert broken(FRONTED, 4, registry=fronted(None))
    stray = replace(GOOD, containers=(*GOOD.containers, v.FrontSet(more)))
    assert broken(stray, 4)


def test_4_a_front_filter_that_no_rule_asks_harms_nobody() -> None:
    unasked = compiled(active(ALL_THREE), registry=fronted(None))
    assert violations(unasked, registry=TABLES_FRONT) == []


@pytest.mark.parametrize("name", ["guard.ddos.new4", "mark.ddos", "reserve.ddos.link"])
def test_4_the_front_filter_asks_the_address_that_is_looked_up(name: str) -> None:
    for side, other in (("saddr", "daddr"), ("daddr", "saddr")):
        chain = FRONTED.chain(name)
        assert chain is not None
        if any(v.FrontIn(side) in rule.statements for rule in chain.rules):  # type: ignore[arg-type]
            edit = swapped(v.FrontIn(side), v.FrontIn(other))  # type: ignore[arg-type]
            assert broken(edited(name, edit, FRONTED), 4, registry=TABLES_FRONT)


@pytest.mark.parametrize("name", ["guard.ddos.new6", "mark.ddos.ip6", "reserve.ddos.ip6"])
def test_4_the_front_filter_stands_in_front_of_no_ipv6_lookup(name: str) -> None:
    def filtered(rule: v.Rule) -> v.Rule:
        jumps = any(isinstance(s, v.Jump) for s in rule.statements)
        return in_front(v.FrontIn("saddr"))(rule) if jumps else rule

    assert broken(edited(name, filtered, FRONTED), 4, registry=TABLES_FRONT)


def test_4_the_front_filter_is_no_match_of_its_own() -> None:
    accepting = v.Rule((v.FrontIn("saddr"), v.Return()))
    bad = with_rules("mark.ddos", accepting, base=FRONTED)
    assert broken(bad, 4, registry=TABLES_FRONT)
    assert broken(edited("guard.ddos.new4", in_front(v.FrontIn("saddr")), FRONTED), 4)


def test_4_a_registered_class_is_accepted_and_not_only_counted() -> None:
    assert broken(edited("guard.ddos.ip4.software-house", no_rule_with(v.Accept)), 4)
    early = edited("guard.ddos.ip4.software-house", in_front(v.Return()))
    assert broken(early, 4)


def test_4_every_class_of_a_stage_is_one_of_the_registry() -> None:
    fewer = replace(TABLES, classes=TABLES.classes[1:])
    assert broken(compiled(active(ALL_THREE), registry=fewer), 4, registry=fewer)


# --- 5: a closed vocabulary -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PayloadContains:
    """A word that we do not have, and will not."""

    text: bytes


def test_5_no_word_matches_content() -> None:
    bad = edited("mark.ddos", in_front(PayloadContains(b"WireGuard")))  # type: ignore[arg-type]
    assert broken(bad, 5)


def test_5_the_vocabulary_is_what_the_design_names() -> None:
    named = "IsFamily IifName OifName AddressIn MaskedIn Protocol PortIn PortInSet TcpStart Armed"
    of_lookup = {"TakeClass", "FrontIn", "HasTransport"}
    # By chance, in front of a sample alone: `test_sampling`.
    assert {kind.__name__ for kind in v.MATCHES} == {*named.split(), *of_lookup, "OneIn"}


def test_5_no_match_after_an_action() -> None:
    late = v.Rule((v.Count("mark/ddos/marked/ip4/mission"), v.IsFamily(4), v.Accept()))
    assert broken(edited("mark.ddos", lambda r: late), 5)


def test_5_ports_are_read_only_where_there_are_ports() -> None:
    assert broken(edited("guard.ddos.flow4", swapped(v.Protocol(17), v.Protocol(50))), 5)
    assert broken(edited("guard.ddos.flow4", swapped(v.Protocol(6), v.Protocol(17))), 5)
    # Each word by itself, behind a protocol that has no ports, or none at all.
    for word in (v.PortInSet("dport", "guard.ddos.ports17"), v.PortIn("dport", 1, 2)):
        for protocol in ((), (v.Protocol(50),)):
            alone = v.Rule((v.IsFamily(4), *protocol, v.HasTransport(), word, v.Return()))
            found = violations(with_rules("guard.ddos.flow4", alone))
            assert found == ["promise 5: chain guard.ddos.flow4 reads ports of any protocol"]


def test_5_flags_are_read_only_behind_a_whole_header() -> None:
    for facts in ((v.Protocol(6),), (v.HasTransport(),)):
        alone = v.Rule((v.IsFamily(4), *facts, v.TcpStart(), v.Return()))
        assert broken(with_rules("guard.ddos.flow4", alone), 5), facts
    whole = v.Rule((v.IsFamily(4), v.Protocol(6), v.HasTransport(), v.TcpStart(), v.Return()))
    assert not broken(with_rules("guard.ddos.flow4", whole), 5)


def test_5_a_header_is_not_taken_for_that_of_the_other_family() -> None:
    # But for the front filter: what stands behind it asks for the family again.
    assert violations(FRONTED, registry=TABLES_FRONT) == []
    for base, registry in ((GOOD, TABLES), (FRONTED, TABLES_FRONT)):
        for name in ("mark.ddos.saddr4", "mark.ddos.daddr4", "reserve.ddos.saddr4"):
            assert broken(edited(name, without(v.IsFamily), base), 5, registry=registry), name
        assert broken(edited("guard.ddos", without(v.IsFamily), base), 5, registry=registry)
        # IPv6 is asked for on the way to the chain and in it.
        for name in ("mark.ddos.saddr6", "mark.ddos.daddr6"):
            inside = edited(name, without(v.IsFamily), base)
            assert violations(inside, registry=registry) != []
            nowhere = edited("mark.ddos", without(v.IsFamily), inside)
            assert broken(nowhere, 5, registry=registry), name
    assert broken(edited("mark.ddos.ip6.mission", swapped(v.SetDscp(6, 40), v.SetDscp(4, 40))), 5)


@pytest.mark.parametrize("way", ["jump", "goto"])
def test_5_chains_do_not_go_in_circles(way: str) -> None:
    back = v.Jump("guard.ddos.flow4") if way == "jump" else v.Goto("guard.ddos.flow4")
    chain = GOOD.chain("guard.ddos.ip4.mission")
    assert chain is not None
    bad = with_chain(replace(chain, rules=(v.Rule((back,)), *chain.rules)))
    assert any("reached from itself" in text for text in violations(bad))


def test_5_a_chain_is_not_too_deep() -> None:
    deep = GOOD
    for depth in range(20):
        deep = with_chain(v.Chain(f"d{depth}", (v.Rule((v.Goto(f"d{depth + 1}"),)),)), deep)
    deep = with_chain(v.Chain("d20"), deep)
    assert any(
        "16 jumps" in t for t in violations(edited("mark.ddos", in_front(v.Goto("d0")), deep))
    )


def test_5_nobody_jumps_to_a_base_chain() -> None:
    bad = edited("guard.ddos.hit4", in_front(v.Jump("mark.ddos")))
    assert any("a base chain" in text for text in violations(bad))


def test_5_nothing_is_named_that_is_not_there() -> None:
    for gone in ("guard.ddos.ports17", "guard.ddos.estate4-28", "armed.ddos", "mark.ddos.classes4"):
        assert broken(without_container(gone), 5), gone
    # There, but of another kind.
    for word in (v.PortInSet("dport", "armed.ddos"), v.ByClass("guard.ddos.ports17")):
        assert any(
            f"refers to {word.set_name if isinstance(word, v.PortInSet) else word.map_name}" in text
            for text in violations(edited("guard.ddos.hit4", in_front(word)))
        )
    # A lookup of the registry names two: its map, and the arming set of its window.
    taken = v.TakeClass("saddr", 4, 32, "nowhere", "elsewhere")
    told = violations(edited("mark.ddos.saddr4", in_front(v.IsFamily(4), taken)))
    for name in ("nowhere", "armed.elsewhere"):
        assert f"promise 5: chain mark.ddos.saddr4 refers to {name}, which is not there" in told
    nowhere = edited("guard.ddos.hit4", in_front(v.Jump("nowhere")))
    assert any("does not exist" in text for text in violations(nowhere))


def test_5_nothing_is_there_twice() -> None:
    again = small("guard.ddos.ports17")
    assert broken(replace(GOOD, containers=(*GOOD.containers, again)), 5)
    assert broken(replace(GOOD, chains=(*GOOD.chains, GOOD.chains[0])), 5)
    assert broken(replace(GOOD, shapers=GOOD.shapers * 2), 5)
    assert broken(replace(GOOD, counters=(*GOOD.counters, GOOD.counters[0])), 5)


# --- 6: no record of persons ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "guard/ddos/held_back/ip4/198.51.100.7",
        "guard/ddos/held_back/ip4/R-000001",
        "guard/elsewhere/held_back/ip4/unregistered",
        "guard/ddos/spied/ip4/unregistered",
        "stranger",
    ],
)
def test_6_counters_carry_the_operators_own_names_alone(name: str) -> None:
    assert broken(replace(GOOD, counters=(*GOOD.counters, name)), 6)
    assert broken(edited("mark.ddos", in_front(v.Count(name))), 6)


# --- 7: small estates, short windows ----------------------------------------------------------


def _with_estate(prefixes: str, services: tuple[Service, ...] | str = "udp/500") -> Policy:
    tokens = services_of(services) if isinstance(services, str) else services
    return replace(POLICY, estates=(*POLICY.estates, Estate("big", prefixes_of(prefixes), tokens)))


@pytest.mark.parametrize(
    "policy",
    [
        _with_estate("10.0.0.0/20"),
        _with_estate("10.0.0.0/8"),
        _with_estate("2001:db8:20::/60"),
        _with_estate("10.0.0.0/32", "udp/1-5000"),
    ],
    ids=["4,096 and the rest", "a /8", "17 /64s", "5,000 ports"],
)
def test_7_an_estate_stays_small(policy: Policy) -> None:
    assert broken(compiled(active(ALL_THREE), policy=policy), 7, policy=policy)


def test_7_a_guard_window_ends_within_72_hours() -> None:
    longest, longer = active(ALL_THREE, 72), active(ALL_THREE, 72.01)
    assert violations(compiled(longest), longest) == []
    assert broken(compiled(longer), 7, longer)
    assert longest.ends_at - STARTS_AT == timedelta(hours=72)


def test_7_other_windows_may_last_longer() -> None:
    week = active(window("week", mark=Mark(1)), 168)
    assert violations(compiled(week), week) == []


def test_the_fixture_policy_is_what_these_tests_think() -> None:
    assert POLICY.estates == (CONCENTRATORS, MAIL)
    assert POLICY.link("wan") == Link("wan", "wan0", 10**9)
    assert (
        GOOD.chain("guard.ddos.new4")
        == replace(
            GOOD.chain("guard.ddos.new4"),  # type: ignore[type-var]
            rules=(*GOOD.chain("guard.ddos.new4").rules[:-1], DROP),  # type: ignore[union-attr]
        )
    )
