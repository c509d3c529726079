"""What both kernels promise: the fake is held to what the real one does."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from enforcer.errors import KernelError
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.lower import lower_rule
from tests.kernel import every_word as e
from tests.kernel.worlds import World, commit, refused

# Kernel timers count in jiffies, 10 ms at the longest; the rest is what a slow machine may take.
SLACK_NS = 5_000_000_000


def test_an_empty_kernel_has_no_table_of_ours(world: World) -> None:
    state = world.kernel.read()
    assert state == t.KernelState(state.generation, devices=state.devices)
    assert {"lo", "wan0", "lan0"} <= state.devices
    assert world.kernel.counters() == {}
    assert world.kernel.generation() == state.generation


def test_a_new_table_is_ours_and_empty(world: World) -> None:
    before = world.kernel.generation()
    state = commit(world, t.CreateTable())
    assert state == t.KernelState(before + 1, exists=True, devices=state.devices)


def test_every_word_is_read_back_as_it_was_said(world: World) -> None:
    state = commit(world, *e.every_word(world.now_ns()))
    assert state.chains == {
        chain.name: t.ChainState(chain.hook, tuple(map(lower_rule, chain.rules)))
        for chain in e.WORD_CHAINS
    }
    assert state.counters == {e.COUNTER}
    assert state.ledger == {m.name: m.stage.digest for m in (e.MAP4, e.MAP6, e.FRONT)}
    arming = state.sets.pop("armed.ddos")  # type: ignore[attr-defined]
    assert (arming.kind, {each[0] for each in arming.elements}) == ("armed", {4, 6})
    small = {s.name: t.SetState("small", s.size, frozenset(s.elements)) for s in SMALL}
    assert state.sets == small | {
        **{
            m.name: t.SetState(
                "classes", m.size, frozenset((key, m.verdict, chain) for key, chain in m.elements)
            )
            for m in (e.CLASSES, e.SERVICES)
        },
        e.MAP4.name: t.SetState("registered", e.MAP4.size),
        e.MAP6.name: t.SetState("registered", e.MAP6.size),
        e.FRONT.name: t.SetState("front", 1 << 16),
    }


SMALL = (e.LIFELINES4, e.LIFELINES6, e.PORTS)


def test_a_stage_of_20_000_is_loaded_whole(world: World) -> None:
    target = v.RegisteredMap(e.many4(20_000))
    commit(world, t.CreateTable(), t.AddSet(target), t.Load(target))
    keys = [int(key).to_bytes(4, "big") for key in target.stage.keys]
    expected = dict(zip(keys, target.stage.classes.tolist(), strict=True))
    absent = [b"\x0b\xff\xff\0", b"\0\0\0\0"]
    assert world.kernel.elements(target.name, keys + absent) == expected


def test_an_ipv6_stage_is_loaded_whole(world: World) -> None:
    keys = {bytes([0x20, 1]) + at.to_bytes(4, "big") + bytes(10): at + 1 for at in range(5_000)}
    target = v.RegisteredMap(e.stage6(keys))
    commit(world, t.CreateTable(), t.AddSet(target), t.Load(target))
    assert world.kernel.elements(target.name, [*keys, b"\xff" * 16]) == keys


def test_loading_anew_leaves_nothing_of_the_old_behind(world: World) -> None:
    old = v.RegisteredMap(e.stage4({256 * at: 1 for at in range(100)}))
    new = v.RegisteredMap(e.stage4({256 * at: 2 for at in range(50, 150)}))
    assert old.name == new.name
    commit(world, t.CreateTable(), t.AddSet(old), t.Load(old))
    commit(world, t.Load(new, flush=True))
    asked = [(256 * at).to_bytes(4, "big") for at in range(150)]
    assert world.kernel.elements(new.name, asked) == dict.fromkeys(asked[50:], 2)


def test_a_change_removes_adds_and_reclassifies(world: World) -> None:
    old = {256 * at: 1 for at in range(1, 11)}
    new = {256 * at: 2 if at == 5 else 1 for at in range(3, 13)}
    source, target = v.RegisteredMap(e.stage4(old)), v.RegisteredMap(e.stage4(new))
    removed = {key: old[key] for key in old if new.get(key) != old[key]}
    added = {key: new[key] for key in new if new[key] != old.get(key)}
    change = t.Change(target, v.RegisteredMap(e.stage4(removed)), v.RegisteredMap(e.stage4(added)))
    commit(world, t.CreateTable(), t.AddSet(source), t.Load(source))
    commit(world, change)
    asked = [key.to_bytes(4, "big") for key in {**old, **new}]
    assert world.kernel.elements(target.name, asked) == {
        key.to_bytes(4, "big"): class_id for key, class_id in new.items()
    }


def front(*halves: int) -> v.FrontSet:
    return v.FrontSet(e.stage4(dict.fromkeys((half << 16 for half in halves), 0), 16))


def halves_held(world: World, asked: range) -> set[int]:
    keys = {half.to_bytes(2, "big"): half for half in asked}
    found = world.kernel.elements(v.FRONT, list(keys))
    assert set(found.values()) <= {0}
    return {keys[key] for key in found}


def test_a_front_set_is_loaded_loaded_anew_and_changed(world: World) -> None:
    # Both bytes differ, so that a half in the wrong order is seen.
    old, new = range(0x0A01, 0x0A01 + 3_000), range(0x0A41, 0x0A41 + 3_000)
    asked = range(0x0A00, 0x1800)
    commit(world, t.CreateTable(), t.AddSet(front(*old)), t.Load(front(*old)))
    assert halves_held(world, asked) == set(old)
    commit(world, t.Load(front(*new), flush=True))
    assert halves_held(world, asked) == set(new)
    removed, added = set(new) - set(old), set(old) - set(new)
    commit(world, t.Change(front(*old), front(*removed), front(*added)))
    assert halves_held(world, asked) == set(old)


def test_a_front_set_holds_the_first_and_the_last_16(world: World) -> None:
    both = front(0, 0xFFFF)
    commit(world, t.CreateTable(), t.AddSet(both), t.Load(both))
    assert world.kernel.elements(v.FRONT, [b"\0\0", b"\0\1", b"\xff\xff"]) == {
        b"\0\0": 0,
        b"\xff\xff": 0,
    }


def test_a_change_of_a_front_set_says_what_is_there(world: World) -> None:
    held = front(1, 2)
    commit(world, t.CreateTable(), t.AddSet(held), t.Load(held))
    assert refused(world, t.Change(held, removed=front(3), added=front())) == errno.ENOENT
    assert halves_held(world, range(8)) == {1, 2}


def test_elements_of_a_map_that_is_not_there_are_an_error(world: World) -> None:
    commit(world, t.CreateTable())
    with pytest.raises(KernelError) as caught:
        world.kernel.elements("reg4-24-16", [b"\x0a\0\0\0"])
    assert caught.value.errno == errno.ENOENT


# --- arming -------------------------------------------------------------------------------------


def arming(world: World, left_ns: int, lease_ns: int | None = None) -> v.ArmingSet:
    return v.ArmingSet("ddos", world.now_ns() + left_ns, lease_ns)


def armed(state: t.KernelState) -> dict[int, tuple[int, int]]:
    """Family → (remaining, declared timeout), in nanoseconds."""
    return {
        family: (left, timeout)
        for family, left, timeout in state.sets["armed.ddos"].elements  # type: ignore[misc]
    }


def assert_armed_for(world: World, state: t.KernelState, timeout_ns: int) -> None:
    held = armed(state)
    assert set(held) == {4, 6}
    for left_ns, declared_ns in held.values():
        assert timeout_ns - SLACK_NS < left_ns <= declared_ns <= timeout_ns


def test_a_window_is_armed_to_its_end_and_never_longer(world: World) -> None:
    target = arming(world, 10 * e.MINUTE_NS + 999_999)
    state = commit(world, t.CreateTable(), t.AddSet(target), t.Arm(target))
    assert_armed_for(world, state, 10 * e.MINUTE_NS)


def test_a_lease_that_is_shorter_ends_it_earlier(world: World) -> None:
    target = arming(world, 10 * e.MINUTE_NS, lease_ns=2 * e.MINUTE_NS)
    state = commit(world, t.CreateTable(), t.AddSet(target), t.Arm(target))
    assert_armed_for(world, state, 2 * e.MINUTE_NS)


@pytest.mark.parametrize("present", [frozenset({4, 6}), frozenset({4}), frozenset({6})])
def test_arming_again_renews_what_is_present_and_what_is_not(
    world: World, present: frozenset[v.Family]
) -> None:
    short, long = arming(world, 2 * e.MINUTE_NS), arming(world, 60 * e.MINUTE_NS)
    commit(world, t.CreateTable(), t.AddSet(short), t.Arm(short))
    state = commit(world, t.Arm(long, present=frozenset({4, 6})))
    assert_armed_for(world, state, 60 * e.MINUTE_NS)
    # What was read may have expired by the time of sending: that is no error.
    fresh = commit(world, t.DeleteSet("armed.ddos"), t.AddSet(short))
    assert armed(fresh) == {}
    assert_armed_for(world, commit(world, t.Arm(short, present=present)), 2 * e.MINUTE_NS)


def test_arming_again_can_end_a_window_sooner(world: World) -> None:
    long, short = arming(world, 60 * e.MINUTE_NS), arming(world, 2 * e.MINUTE_NS)
    commit(world, t.CreateTable(), t.AddSet(long), t.Arm(long))
    state = commit(world, t.Arm(short, present=frozenset({4, 6})))
    assert_armed_for(world, state, 2 * e.MINUTE_NS)


@pytest.mark.parametrize("left_ns", [-e.MINUTE_NS, 0, 999_999, 19_999_999])
def test_a_window_that_is_over_is_never_armed(world: World, left_ns: int) -> None:
    over = arming(world, left_ns)
    assert armed(commit(world, t.CreateTable(), t.AddSet(over), t.Arm(over))) == {}
    running = arming(world, e.MINUTE_NS)
    commit(world, t.Arm(running))
    again = t.Arm(arming(world, left_ns), present=frozenset({4, 6}))
    assert armed(commit(world, again)) == {}


# --- taking away --------------------------------------------------------------------------------


def test_a_table_is_taken_down_in_the_order_of_its_references(world: World) -> None:
    commit(world, *e.every_word(world.now_ns()))
    names = [chain.name for chain in e.WORD_CHAINS]
    sets = [s.name for s in (*SMALL, e.CLASSES, e.SERVICES, e.MAP4, e.MAP6, e.FRONT)]
    state = commit(
        world,
        *(t.FlushChain(name) for name in names),
        *(t.DeleteSet(name) for name in (*sets, "armed.ddos")),
        *(t.DeleteChain(name) for name in names),
        t.DeleteCounter(e.COUNTER),
        t.WriteLedger(()),
    )
    assert state == t.KernelState(state.generation, exists=True, devices=state.devices)


def test_deleting_the_table_takes_everything(world: World) -> None:
    commit(world, *e.every_word(world.now_ns()))
    state = commit(world, t.DeleteTable())
    assert state == t.KernelState(state.generation, devices=state.devices)


def test_rules_are_replaced_whole(world: World) -> None:
    commit(world, *e.every_word(world.now_ns()))
    drop = v.Chain("actions", (v.Rule((v.IsFamily(6), v.Return())), v.Rule((v.Accept(),))))
    state = commit(world, t.SetRules(drop, flush=True))
    assert state.chains["actions"].rules == tuple(map(lower_rule, drop.rules))


def test_a_chain_and_a_map_can_take_the_place_of_their_namesakes(world: World) -> None:
    commit(world, *e.every_word(world.now_ns()))
    smaller = v.SmallSet(e.PORTS.name, e.PORTS.key, (b"\0\x35",))
    rules = v.Chain("matches", (v.Rule((v.PortInSet("dport", smaller.name), v.Return())),))
    state = commit(
        world,
        t.FlushChain("matches"),
        t.DeleteSet(e.PORTS.name),
        t.AddSet(smaller),
        t.SetRules(rules, flush=False),
    )
    assert state.sets[smaller.name].elements == frozenset(smaller.elements)
    assert state.chains["matches"].rules == tuple(map(lower_rule, rules.rules))


def test_the_ledger_is_replaced_whole(world: World) -> None:
    commit(world, t.CreateTable(), t.WriteLedger((("reg4-24-16", "0" * 16), ("reg6-48-16", "1"))))
    longest = "reg6-128-16777216", "f" * 16
    assert commit(world, t.WriteLedger((longest,))).ledger == dict([longest])


def test_what_there_is_nothing_to_do_for_is_no_error(world: World) -> None:
    arming = v.ArmingSet("ddos", world.now_ns() - 1, None)
    before = commit(world, *e.every_word(world.now_ns()), t.FlushChain("act"))
    for operation in (
        t.FlushChain("act"),
        t.WakeTable(),
        t.Load(e.MAP4),
        t.Load(v.RegisteredMap(e.stage4({}))),
        t.Arm(arming),
        t.SetRules(v.Chain("act"), flush=True),
    ):
        state = commit(world, operation)
        assert (state.chains, state.ledger) == (before.chains, before.ledger)
    assert commit(world, t.WriteLedger(())).ledger == {}
    assert commit(world, t.WriteLedger(())).ledger == {}


def test_counters_start_at_zero(world: World) -> None:
    commit(world, t.CreateTable(), t.AddCounter("b"), t.AddCounter("a"))
    assert world.kernel.counters() == {"a": (0, 0), "b": (0, 0)}


# --- refusals -----------------------------------------------------------------------------------


def test_a_plan_against_an_old_generation_is_refused(world: World) -> None:
    state = commit(world, t.CreateTable())
    world.other_program_commits()
    with pytest.raises(KernelError) as caught:
        world.kernel.commit(t.Transaction(state.generation, (t.AddCounter("a"),)), world.now_ns())
    assert caught.value.errno == errno.ERESTART
    assert world.kernel.read().counters == frozenset()


BAD = {
    "a table that is there": (errno.EEXIST, (t.CreateTable(),)),
    "a chain that is there": (errno.EEXIST, (t.AddChain("act", None),)),
    "a set that is there": (errno.EEXIST, (t.AddSet(e.PORTS),)),
    "a counter that is there": (errno.EEXIST, (t.AddCounter(e.COUNTER),)),
    "a device that is not there": (
        errno.ENODEV,
        (t.AddChain("guard.nope0", v.Hook("ingress", 0, "nope0")),),
    ),
    "flushing a chain that is not there": (errno.ENOENT, (t.FlushChain("nope"),)),
    "elements for a set that is not there": (
        errno.ENOENT,
        (t.PutElements(replace(e.PORTS, name="nope")),),
    ),
    "another chain for a class that is there": (
        errno.EEXIST,
        (t.PutElements(replace(e.CLASSES, verdict="jump")),),
    ),
    "loading a map that is not there": (
        errno.ENOENT,
        (t.Load(v.RegisteredMap(e.many4(1_000))),),
    ),
    "rules of a chain that is not there": (
        errno.ENOENT,
        (t.SetRules(v.Chain("nope", (v.Rule((v.Drop(),)),)), flush=False),),
    ),
    "a jump to nowhere": (
        errno.ENOENT,
        (t.SetRules(v.Chain("act", (v.Rule((v.Jump("nope"),)),)), flush=True),),
    ),
    "a set unknown to the rule's table": (
        errno.ENOENT,
        (t.SetRules(v.Chain("act", (v.Rule((v.PortInSet("dport", "nope"),)),)), flush=True),),
    ),
    "a counter unknown to the rule's table": (
        errno.ENOENT,
        (t.SetRules(v.Chain("act", (v.Rule((v.Count("nope"),)),)), flush=True),),
    ),
    "a class map to nowhere": (
        errno.ENOENT,
        (t.AddSet(v.ClassMap("m", ((1, "nope"),))),),
    ),
    "removing an element that is not there": (
        errno.ENOENT,
        (
            t.Change(
                e.MAP4,
                removed=v.RegisteredMap(e.stage4({0x7F000000: 1})),
                added=v.RegisteredMap(e.stage4({0x0A090900: 1})),
            ),
        ),
    ),
    "another class for an element that is there": (
        errno.EEXIST,
        (
            t.Change(
                e.MAP4,
                removed=v.RegisteredMap(e.stage4({})),
                added=v.RegisteredMap(e.stage4({0x0A010200: 1})),
            ),
        ),
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_is_refused_leaves_everything_as_it_was(world: World, fault: str) -> None:
    number, operations = BAD[fault]
    commit(world, *e.every_word(world.now_ns()))
    # What stands before the fault is undone with it.
    assert refused(world, t.AddCounter("first"), *operations, t.AddCounter("last")) == number


GOES = {
    "a chain in use": (errno.EBUSY, t.DeleteChain("act")),
    "a set in use": (errno.EBUSY, t.DeleteSet(e.PORTS.name)),
    "a counter in use": (errno.EBUSY, t.DeleteCounter(e.COUNTER)),
    "a chain that is not there": (errno.ENOENT, t.DeleteChain("nope")),
    "a set that is not there": (errno.ENOENT, t.DeleteSet("nope")),
    "a counter that is not there": (errno.ENOENT, t.DeleteCounter("nope")),
    "an element that is not there": (
        errno.ENOENT,
        t.TakeElements(replace(e.LIFELINES4, elements=(bytes([192, 0, 2, 1]),))),
    ),
}


@pytest.mark.parametrize("fault", GOES)
def test_what_goes_does_so_last_and_all_of_it_or_nothing(world: World, fault: str) -> None:
    """What acts is in force by then, and stays."""
    number, operation = GOES[fault]
    commit(world, *e.every_word(world.now_ns()), t.AddCounter("old"))
    goes = t.DeleteCounter("old"), operation
    before = world.kernel.read()
    tx = t.Transaction(before.generation, (*goes, t.AddCounter("new")))
    with pytest.raises(KernelError) as caught:
        world.kernel.commit(tx, world.now_ns())
    assert caught.value.errno == number
    after = world.kernel.read()
    assert after.counters == before.counters | {"new"}
    assert (after.sets.keys(), after.chains) == (before.sets.keys(), before.chains)
    assert after.sets[e.LIFELINES4.name] == before.sets[e.LIFELINES4.name]
    assert world.kernel.made() == (after.generation,)


def test_elements_of_sets_and_class_maps_come_and_go(world: World) -> None:
    state = commit(world, *e.every_word(world.now_ns()))
    lifelines, classes = e.LIFELINES4, e.CLASSES
    (class_id, chain), *others = classes.elements
    new = t.AddChain("other", None)
    one, another = replace(classes, elements=((class_id, chain),)), ((class_id, "other"),)
    more = replace(lifelines, elements=(bytes([192, 0, 2, 7]),))
    after = commit(
        world,
        new,
        t.TakeElements(one),
        t.PutElements(replace(classes, elements=another)),
        t.TakeElements(replace(lifelines, elements=lifelines.elements[:1])),
        t.PutElements(more),
    )
    led = {(c, classes.verdict, target) for c, target in (*another, *others)}
    assert after.sets[classes.name].elements == led
    held = {*lifelines.elements[1:], *more.elements}
    assert after.sets[lifelines.name].elements == held
    assert after.sets[classes.name].size == state.sets[classes.name].size


def test_more_elements_than_the_declared_size_are_refused(world: World) -> None:
    small = v.RegisteredMap(e.many4(10))
    commit(world, t.CreateTable(), t.AddSet(small))
    stage = e.many4(small.size + 1)
    removed = v.RegisteredMap(e.stage4({}))
    assert refused(world, t.Change(small, removed, v.RegisteredMap(stage))) == errno.ENFILE
    exact = replace(stage, keys=stage.keys[: small.size], classes=stage.classes[: small.size])
    commit(world, t.Change(small, removed, v.RegisteredMap(exact)))


def test_without_a_table_there_is_nothing_to_add_to(world: World) -> None:
    assert refused(world, t.AddChain("x", None)) == errno.ENOENT


def test_a_table_of_our_name_that_is_not_ours_is_never_touched(world: World) -> None:
    world.make_foreign_table()
    state = world.kernel.read()
    assert state == t.KernelState(
        state.generation, exists=True, foreign=state.foreign, devices=state.devices
    )
    assert state.foreign is not None
    before = world.untouched()
    for operation in (t.DeleteTable(), t.AddChain("x", None), t.DeleteChain("ledger")):
        assert refused(world, operation) == errno.EBUSY
    assert world.untouched() == before
    assert world.kernel.counters() == {}


def test_a_flushed_ruleset_is_an_empty_kernel_again(world: World) -> None:
    commit(world, *e.every_word(world.now_ns()))
    world.flush_ruleset()
    state = world.kernel.read()
    assert state == t.KernelState(state.generation, devices=state.devices)


def test_a_dormant_table_is_seen_and_woken(world: World) -> None:
    built = commit(world, *e.every_word(world.now_ns()))
    world.make_dormant()
    assert world.kernel.read().dormant
    state = commit(world, t.WakeTable())
    assert not state.dormant
    assert state.chains == built.chains
