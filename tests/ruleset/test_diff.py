"""One call brings the kernel from anywhere to what is wanted, and touches nothing else."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from enforcer.errors import KernelError
from enforcer.kernel.fake import FakeKernel
from enforcer.kernel.fake_table import FakeSet, FakeTable
from enforcer.lookup.tables import Stage
from enforcer.policy.model import Activation, Guard, Mark, Reserve
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.diff import diff, teardown
from tests.examples import examples
from tests.ruleset.builders import (
    ALL_THREE,
    DEVICES,
    ENDS_NS,
    NOW_NS,
    ROWS,
    TABLES,
    TABLES_FRONT,
    WIDE,
    active,
    compiled,
    registered,
    tables,
    window,
)
from tests.ruleset.strategies import World, worlds

S = 10**9
MS = 10**6
GOOD = compiled(active(ALL_THREE))
OTHER = active(window("other", mark=Mark(7), guard=Guard("mail")))
FRONTED = compiled(active(ALL_THREE), registry=TABLES_FRONT)
UNFRONTED = compiled(active(ALL_THREE), registry=replace(TABLES_FRONT, front=None))
BIGGER = tables(*ROWS, registered("192.0.2.0/28", "mission"), registered("10.9.0.0/24", "mission"))


class Machine:
    """A fake kernel, its clock, and the daemon's sentence."""

    def __init__(self, devices: frozenset[str] = DEVICES) -> None:
        self.now_ns = NOW_NS
        self.kernel = FakeKernel(lambda: self.now_ns, devices)

    def plan(self, desired: v.Ruleset, **given: Any) -> t.Transaction | None:
        return diff(desired, self.kernel.read(), self.now_ns, **given)

    def settle(self, desired: v.Ruleset, **given: Any) -> t.Transaction | None:
        change = self.plan(desired, **given)
        if change is not None:
            self.kernel.commit(change, self.now_ns)
        assert self.plan(desired, **given) is None
        return change

    def state(self) -> t.KernelState:
        """What is there, but for the generation and for counters that only wait to be retired."""
        return replace(self.kernel.read(), generation=0, counters=frozenset())

    def maps(self, desired: v.Ruleset) -> dict[str, dict[bytes, int]]:
        """The registered elements that are really there, the front filter's among them."""
        found = {}
        for c in desired.containers:
            if isinstance(c, v.RegisteredMap):
                size = 4 if c.stage.family == 4 else 16
                keys = c.stage.keys.astype(">u4") if size == 4 else c.stage.keys
                raw = keys.tobytes()
                packed = [raw[i : i + size] for i in range(0, len(raw), size)]
                found[c.name] = self.kernel.elements(c.name, packed)
            elif isinstance(c, v.FrontSet):
                found[c.name] = self.front()
        return found

    def front(self) -> dict[bytes, int]:
        """All that the front filter lets through in the neighbourhood of the registrations."""
        near = (0, *range(0x0A00, 0x0A10), *range(0xC600, 0xC640), 0xFFFF)
        return self.kernel.elements(v.FRONT, [half.to_bytes(2, "big") for half in near])


def settled(desired: v.Ruleset = GOOD) -> Machine:
    machine = Machine()
    machine.settle(desired)
    return machine


def stages(ruleset: v.Ruleset) -> dict[str, Stage]:
    return {c.stage.digest: c.stage for c in ruleset.containers if isinstance(c, v.Bulk)}


def kinds(change: t.Transaction | None) -> list[str]:
    return [] if change is None else [type(op).__name__ for op in change.operations]


def named(change: t.Transaction | None) -> set[str]:
    """Every chain, set and counter that the transaction makes, changes or deletes."""
    names: set[str] = set()
    for op in () if change is None else change.operations:
        match op:
            case t.AddSet(made):
                names.add(made.name)
            case t.Load(target) | t.Change(target) | t.Arm(target):
                names.add(target.name)
            case t.SetRules(chain):
                names.add(chain.name)
            case t.AddShaper() | t.DeleteShaper() | t.CreateTable() | t.WriteLedger():
                pass
            case _:
                names.add(getattr(op, "name", ""))
    return names


# --- from anywhere to anywhere ----------------------------------------------------------------


def test_nothing_to_change_is_none() -> None:
    assert settled().plan(GOOD) is None
    assert settled(compiled()).plan(compiled()) is None


def test_an_empty_kernel_gets_all_of_it() -> None:
    machine = settled()
    state = machine.kernel.read()
    assert set(state.chains) == {c.name for c in GOOD.chains}
    assert set(state.sets) == {c.name for c in GOOD.containers}
    assert state.counters == set(GOOD.counters)
    assert state.shapers == set(GOOD.shapers)
    assert all(
        len(found) == len(c.stage)
        for c in GOOD.containers
        if isinstance(c, v.RegisteredMap)
        for found in [machine.maps(GOOD)[c.name]]
    )


def test_the_order_of_containers_and_counters_means_nothing() -> None:
    turned = replace(GOOD, containers=GOOD.containers[::-1], counters=GOOD.counters[::-1])
    assert settled().plan(turned) is None


@examples(50)
@given(worlds(), worlds())
def test_the_difference_applied_to_the_old_gives_the_new(old: World, new: World) -> None:
    machine, fresh = Machine(), Machine()
    machine.settle(old.ruleset)
    machine.settle(new.ruleset, loaded=stages(old.ruleset))
    fresh.settle(new.ruleset)
    assert machine.state() == fresh.state()
    assert machine.maps(new.ruleset) == fresh.maps(new.ruleset)


@examples(30)
@given(worlds(), worlds())
def test_counters_that_are_retired_leave_nothing_behind(old: World, new: World) -> None:
    machine = Machine()
    machine.settle(old.ruleset)
    machine.settle(new.ruleset, retire=frozenset(old.ruleset.counters))
    assert machine.kernel.read().counters == set(new.ruleset.counters)


@examples(30)
@given(worlds())
def test_teardown_leaves_nothing_and_has_nothing_to_do_twice(world: World) -> None:
    machine = Machine()
    machine.settle(world.ruleset)
    change = teardown(machine.kernel.read())
    assert (change is None) == (not machine.kernel.read().exists)
    if change is not None:
        machine.kernel.commit(change, machine.now_ns)
    left = machine.kernel.read()
    assert (left.exists, left.shapers) == (False, frozenset())
    assert teardown(left) is None


def test_a_table_of_somebody_else_is_not_touched() -> None:
    machine = Machine()
    machine.kernel.make_foreign()
    with pytest.raises(KernelError) as caught:
        machine.plan(GOOD)
    assert caught.value.errno == errno.EEXIST
    assert "nft delete table inet enforcer" in str(caught.value)
    assert teardown(machine.kernel.read()) is None


# --- windows open and close -------------------------------------------------------------------


def _edges() -> list[tuple[v.Ruleset, v.Ruleset]]:
    without, with_both = GOOD, compiled(active(ALL_THREE), OTHER)
    return [(without, with_both), (with_both, without)]


@pytest.mark.parametrize(("before", "after"), _edges(), ids=["opens", "closes"])
def test_another_windows_edge_leaves_this_window_alone(before: v.Ruleset, after: v.Ruleset) -> None:
    change = settled(before).settle(after)
    assert change is not None
    assert not {name for name in named(change) if "ddos" in name}


@pytest.mark.parametrize(("before", "after"), _edges(), ids=["opens", "closes"])
def test_a_windows_edge_never_touches_the_registered_maps(
    before: v.Ruleset, after: v.Ruleset
) -> None:
    change = settled(before).settle(after)
    assert not {name for name in named(change) if name.startswith("reg")}
    assert not {"Load", "Change", "WriteLedger", "CreateTable"} & set(kinds(change))


def test_the_first_window_opens_into_loaded_maps() -> None:
    change = settled(compiled()).settle(GOOD)
    assert not {name for name in named(change) if name.startswith("reg")}


def test_the_last_window_closes_and_leaves_only_the_maps() -> None:
    machine = settled()
    machine.settle(compiled(), retire=frozenset(GOOD.counters))
    state = machine.kernel.read()
    assert set(state.chains) == {c.name for c in compiled().chains}
    assert [name for name, chain in state.chains.items() if chain.hook] == []
    assert (state.shapers, state.counters) == (frozenset(), frozenset())
    assert set(state.sets) == {c.name for c in compiled().containers}


def test_only_counters_that_were_taken_over_are_deleted() -> None:
    machine = settled()
    taken = GOOD.counters[0]
    machine.settle(compiled(), retire=frozenset({taken, "never there"}))
    assert machine.kernel.read().counters == set(GOOD.counters) - {taken}


def test_a_counter_in_use_is_not_retired() -> None:
    assert settled().plan(GOOD, retire=frozenset(GOOD.counters)) is None


# --- the registry changes ---------------------------------------------------------------------


def test_a_small_change_of_the_registry_is_a_delta_when_the_old_stage_is_at_hand() -> None:
    moved = tables(*ROWS[1:], registered("198.51.100.16/28", "software-house"))
    after = compiled(active(ALL_THREE), registry=moved)
    machine = settled()
    change = machine.settle(after, loaded=stages(GOOD))
    assert set(kinds(change)) == {"Change", "WriteLedger"}
    assert named(change) == {"reg4-28-16"}
    fresh = settled(after)
    assert machine.maps(after) == fresh.maps(after)


def test_without_the_old_stage_the_map_is_loaded_anew() -> None:
    moved = tables(*ROWS[1:], registered("198.51.100.16/28", "software-house"))
    after = compiled(active(ALL_THREE), registry=moved)
    machine = settled()
    change = machine.settle(after)
    assert change is not None
    assert [op.flush for op in change.operations if isinstance(op, t.Load)] == [True]
    assert machine.maps(after) == settled(after).maps(after)


def test_a_stage_that_outgrows_its_map_moves_in_one_transaction() -> None:
    many = tables(*ROWS, *(registered(f"10.0.0.{n}/32", "mission") for n in range(40)))
    after = compiled(active(ALL_THREE), registry=many)
    machine = settled()
    change = machine.settle(after, loaded=stages(GOOD))
    assert {"reg4-32-16", "reg4-32-256"} <= named(change)
    assert machine.maps(after) == settled(after).maps(after)


# --- the front filter -------------------------------------------------------------------------


def _classes(count: int) -> v.Ruleset:
    act = v.Chain("act", (v.Rule((v.Accept(),)),))
    return v.Ruleset((v.ClassMap("classes", tuple((n, "act") for n in range(count))),), (act,))


def _addresses(count: int) -> v.Ruleset:
    keys = tuple(n.to_bytes(4, "big") for n in range(count))
    return v.Ruleset((v.SmallSet("lifelines", "ipv4_addr", keys),))


@pytest.mark.parametrize(
    ("made", "few", "many", "too_many"), [(_classes, 3, 255, 300), (_addresses, 2, 16, 17)]
)
def test_a_small_set_stays_as_long_as_it_has_room_whatever_its_size_would_be_today(
    made: Callable[[int], v.Ruleset], few: int, many: int, too_many: int
) -> None:
    """Made anew, it would be empty to packets on their way (decision 0045)."""
    machine = Machine()
    machine.settle(made(few))
    (name,) = machine.kernel.read().sets
    for count, operations in ((many, ["PutElements"]), (few, ["TakeElements"])):
        assert kinds(machine.plan(made(count))) == operations
        machine.settle(made(count))
        assert len(machine.kernel.read().sets[name].elements) == count
    assert kinds(machine.plan(made(too_many))) == ["DeleteSet", "AddSet"]
    machine.settle(made(too_many))
    assert len(machine.kernel.read().sets[name].elements) == too_many


def _halves(*halves: int) -> dict[bytes, int]:
    return {half.to_bytes(2, "big"): 0 for half in halves}


ASKING = {"mark.ddos", "guard.ddos.new4", "reserve.ddos.link"}


def test_the_front_filter_is_loaded_and_named_in_the_ledger() -> None:
    machine = settled(FRONTED)
    assert machine.front() == _halves(0x0A04, 0x0A05, 0x0A06, 0x0A07, 0xC633)
    assert TABLES_FRONT.front is not None
    assert machine.kernel.read().ledger[v.FRONT] == TABLES_FRONT.front.digest


def test_another_windows_edge_never_touches_the_front_filter() -> None:
    both = compiled(active(ALL_THREE), OTHER, registry=TABLES_FRONT)
    for before, after in ((FRONTED, both), (both, FRONTED)):
        change = settled(before).settle(after)
        assert v.FRONT not in named(change)
        assert not {"Load", "Change", "WriteLedger"} & set(kinds(change))


def test_a_small_change_of_the_front_filter_is_a_delta() -> None:
    moved = tables(*WIDE[:-1], registered("10.8.0.0/14", "mission", "esp"), front=True)
    after = compiled(active(ALL_THREE), registry=moved)
    machine = settled(FRONTED)
    change = machine.settle(after, loaded=stages(FRONTED))
    assert change is not None
    fronts = [
        (op.removed.stage.keys.tolist(), op.added.stage.keys.tolist())
        for op in change.operations
        if isinstance(op, t.Change) and isinstance(op.target, v.FrontSet)
    ]
    old, new = range(0x0A04, 0x0A08), range(0x0A08, 0x0A0C)
    assert fronts == [([half << 16 for half in old], [half << 16 for half in new])]
    assert set(kinds(change)) == {"Change", "WriteLedger"}
    assert machine.maps(after) == settled(after).maps(after)


def test_without_the_old_front_filter_it_is_loaded_anew() -> None:
    after = compiled(active(ALL_THREE), registry=tables(*ROWS, front=True))
    machine = settled(FRONTED)
    change = machine.settle(after)
    assert change is not None
    assert [op.flush for op in change.operations if isinstance(op, t.Load)] == [True]
    assert machine.front() == _halves(0xC633)


def test_the_front_filter_comes_while_a_window_is_armed() -> None:
    machine = settled(UNFRONTED)
    left = _left(machine)
    change = machine.settle(FRONTED)
    assert change is not None
    assert named(change) == {v.FRONT, *ASKING}
    assert (_left(machine), "Arm" in kinds(change)) == (left, False)
    assert machine.state() == settled(FRONTED).state()
    # It is full before any rule asks it.
    last_load = max(i for i, kind in enumerate(kinds(change)) if kind == "Load")
    assert last_load < kinds(change).index("SetRules")


def test_the_front_filter_goes_while_a_window_is_armed() -> None:
    machine = settled(FRONTED)
    left = _left(machine)
    change = machine.settle(UNFRONTED)
    assert named(change) == {v.FRONT, *ASKING}
    assert (_left(machine), "Arm" in kinds(change)) == (left, False)
    assert machine.state() == settled(UNFRONTED).state()


@pytest.mark.parametrize("at_hand", [False, True], ids=["loaded anew", "as deltas"])
def test_the_front_filter_comes_and_goes_with_the_registry_in_one_transaction(
    at_hand: bool,
) -> None:
    for before, after in ((GOOD, FRONTED), (FRONTED, GOOD)):
        machine = settled(before)
        change = machine.settle(after, loaded=stages(before) if at_hand else {})
        assert named(change) > {v.FRONT, "reg4-14-16", *ASKING}
        assert machine.state() == settled(after).state()
        assert machine.maps(after) == settled(after).maps(after)


def _front_lost(table: FakeTable) -> None:
    for name in ASKING:
        table.rules[name] = ()
    del table.sets[v.FRONT]


def _front_of_another_kind(table: FakeTable) -> None:
    _front_lost(table)
    table.sets[v.FRONT] = FakeSet("foreign", 16)


def _front_of_another_kind_under_its_rules(table: FakeTable) -> None:
    table.sets[v.FRONT] = FakeSet("foreign", 16)


@pytest.mark.parametrize(
    "drift",
    [
        _front_lost,
        _front_of_another_kind,
        _front_of_another_kind_under_its_rules,
    ],
)
def test_a_front_filter_that_drifted_is_put_back(drift: Callable[[FakeTable], None]) -> None:
    machine, untouched = settled(FRONTED), settled(FRONTED)
    machine.kernel.edit(drift)
    machine.settle(FRONTED)
    assert machine.state() == untouched.state()
    assert machine.maps(FRONTED) == untouched.maps(FRONTED)


# --- arming -----------------------------------------------------------------------------------


def _left(machine: Machine, name: str = "ddos") -> list[int]:
    return sorted(ns for _, ns, _ in machine.kernel.read().sets[f"armed.{name}"].elements)  # type: ignore[misc]


def test_a_lease_is_renewed_when_a_third_of_it_is_gone_and_not_before() -> None:
    machine = settled()
    machine.now_ns += 199 * S
    assert machine.plan(GOOD) is None
    machine.now_ns += 2 * S
    assert kinds(machine.settle(GOOD)) == ["Arm"]
    assert _left(machine) == [600 * S, 600 * S]


def test_a_lease_never_reaches_past_the_end() -> None:
    machine = Machine()
    machine.now_ns = ENDS_NS - 90 * S
    machine.settle(GOOD)
    assert _left(machine) == [90 * S, 90 * S]


def test_every_renewal_ends_at_or_before_the_end() -> None:
    machine = settled()
    while machine.now_ns < ENDS_NS:
        machine.settle(GOOD)
        assert all(machine.now_ns + left <= ENDS_NS for left in _left(machine))
        assert _left(machine), "armed until the end"
        machine.now_ns += 60 * S


def test_until_end_is_armed_once_and_for_all() -> None:
    whole = compiled(active(window("cut", mark=Mark(1), lease="until-end")))
    machine = settled(whole)
    assert _left(machine, "cut") == [ENDS_NS - NOW_NS] * 2
    machine.now_ns = ENDS_NS - S
    assert machine.plan(whole) is None


def test_a_window_that_is_shortened_is_rearmed_for_less() -> None:
    machine = settled(compiled(active(window("cut", mark=Mark(1), lease="until-end"), 12)))
    machine.settle(compiled(active(window("cut", mark=Mark(1), lease="until-end"), 1)))
    assert _left(machine, "cut") == [3600 * S] * 2


def test_a_window_that_was_given_a_lease_is_rearmed_for_the_lease() -> None:
    machine = settled(compiled(active(window("cut", mark=Mark(1), lease="until-end"))))
    machine.settle(compiled(active(window("cut", mark=Mark(1)))))
    assert _left(machine, "cut") == [600 * S] * 2


def test_the_last_moments_of_a_window_ask_for_nothing() -> None:
    machine = settled()
    machine.now_ns = ENDS_NS - S
    machine.settle(GOOD)
    for before_end_ns in (500 * MS, 30 * MS, 10 * MS, 1 * MS, 0, -5 * S):
        machine.now_ns = ENDS_NS - before_end_ns
        assert machine.plan(GOOD) is None


def test_nothing_is_armed_when_the_end_is_past() -> None:
    machine = Machine()
    machine.now_ns = ENDS_NS + S
    change = machine.settle(GOOD)
    assert "Arm" not in kinds(change)
    assert _left(machine) == []


def test_what_is_armed_past_the_end_is_taken_back() -> None:
    machine = settled()
    past = compiled(Activation(active(ALL_THREE).starts_at, active(ALL_THREE).starts_at, ALL_THREE))
    machine.settle(past)
    assert _left(machine) == []


def test_a_lost_arming_element_is_armed_again() -> None:
    machine = settled()
    machine.kernel.edit(lambda table: table.sets["armed.ddos"].elements.pop(4))
    assert kinds(machine.settle(GOOD)) == ["Arm"]
    assert _left(machine) == [600 * S, 600 * S]


# --- drift: somebody else was here ------------------------------------------------------------

FOREIGN_DROP = (("verdict", 0, None),)


def _chain_missing(table: FakeTable) -> None:
    del table.hooks["mark.ddos"], table.rules["mark.ddos"]


def _foreign_rule(table: FakeTable) -> None:
    table.rules["mark.ddos"] = (FOREIGN_DROP, *table.rules["mark.ddos"])


def _rules_flushed(table: FakeTable) -> None:
    table.rules["guard.ddos.new4"] = ()


def _foreign_chain(table: FakeTable) -> None:
    table.hooks["evil"] = v.Hook("prerouting", -300)
    table.rules["evil"] = (FOREIGN_DROP,)


def _foreign_chain_that_uses_ours(table: FakeTable) -> None:
    table.hooks["evil"] = v.Hook("prerouting", -300)
    table.rules["evil"] = (
        (("verdict", -3, "guard.ddos.hit4"),),
        (("lookup", "guard.ddos.ports17", 1), ("counter", GOOD.counters[0])),
    )
    table.sets["guard.ddos.ports17"].elements[b"\x00\x35"] = None


def _set_missing(table: FakeTable) -> None:
    # What refers to it must have gone first.
    for name in ("guard.ddos.flow4", "guard.ddos.flow6"):
        table.rules[name] = ()
    del table.sets["guard.ddos.ports17"]


def _one_too_many(table: FakeTable) -> None:
    table.sets["guard.ddos.lifelines4-32"].elements[b"\x0a\x00\x00\x01"] = None


def _one_too_few(table: FakeTable) -> None:
    table.sets["guard.ddos.estate4-28"].elements.popitem()


def _class_moved(table: FakeTable) -> None:
    classes = table.sets["guard.ddos.classes4"].elements
    one, other = list(classes)[:2]
    classes[one], classes[other] = classes[other], classes[one]


def _foreign_set(table: FakeTable) -> None:
    table.sets["strangers"] = FakeSet("foreign", 16)


def _other_size(table: FakeTable) -> None:
    table.sets["reg4-28-16"].size = 8


def _hook_moved(table: FakeTable) -> None:
    table.hooks["mark.ddos"] = v.Hook("prerouting", 0)


def _other_kind(table: FakeTable) -> None:
    table.sets["armed.ddos"] = FakeSet("foreign", 16)


def _dormant(table: FakeTable) -> None:
    table.dormant = True


def _dormant_and_chain_missing(table: FakeTable) -> None:
    _dormant(table)
    _chain_missing(table)


def _ledger_lost(table: FakeTable) -> None:
    table.ledger = ()


DRIFTS: list[Callable[[FakeTable], None]] = [
    _chain_missing,
    _foreign_rule,
    _rules_flushed,
    _foreign_chain,
    _foreign_chain_that_uses_ours,
    _set_missing,
    _one_too_many,
    _one_too_few,
    _class_moved,
    _foreign_set,
    _other_size,
    _hook_moved,
    _other_kind,
    _dormant,
    _dormant_and_chain_missing,
    _ledger_lost,
]


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.__name__.strip("_"))
def test_drift_is_repaired_in_one_transaction(drift: Callable[[FakeTable], None]) -> None:
    machine, untouched = settled(), settled()
    machine.kernel.edit(drift)
    assert machine.settle(GOOD) is not None
    assert machine.state() == untouched.state()
    assert machine.maps(GOOD) == untouched.maps(GOOD)


def test_a_table_that_is_gone_is_made_again() -> None:
    machine, untouched = settled(), settled()
    machine.kernel.flush()
    assert kinds(machine.settle(GOOD))[0] == "CreateTable"
    assert machine.state() == untouched.state()


def test_a_dormant_table_is_woken_and_not_rebuilt() -> None:
    machine = settled()
    machine.kernel.set_dormant()
    assert kinds(machine.settle(GOOD)) == ["WakeTable"]


def test_no_chain_is_hooked_in_the_transaction_that_wakes_the_table() -> None:
    """The kernel answers EINVAL to that (measured on 6.18)."""
    machine = settled(compiled())
    machine.kernel.set_dormant()
    change = machine.settle(GOOD)
    assert kinds(change)[:2] == ["DeleteTable", "CreateTable"]
    assert "WakeTable" not in kinds(change)


def test_a_lost_shaper_is_put_back_and_a_changed_one_replaced() -> None:
    machine = settled()
    bare = replace(machine.kernel.read(), shapers=frozenset())
    assert kinds(diff(GOOD, bare, NOW_NS)) == ["AddShaper"]
    other = frozenset({v.Shaper("wan0", 10**9, 10**8)})
    assert kinds(diff(GOOD, replace(bare, shapers=other), NOW_NS)) == ["AddShaper"]
    stray = frozenset({*GOOD.shapers, v.Shaper("lan0", 10**9, 10**8)})
    change = diff(GOOD, replace(bare, shapers=stray), NOW_NS)
    assert change is not None
    assert change.operations == (t.DeleteShaper("lan0"),)


def test_a_window_on_a_device_that_is_gone_waits_for_it() -> None:
    gone = compiled(active(ALL_THREE), devices=frozenset({"lo", "wan1"}))
    machine = Machine(frozenset({"lo", "wan1"}))
    machine.settle(gone)
    assert "reserve.ddos" not in machine.kernel.read().chains
    assert machine.kernel.read().shapers == frozenset()
    machine.kernel.devices.add("wan0")
    machine.settle(GOOD)
    assert "reserve.ddos" in machine.kernel.read().chains


def test_two_windows_that_share_a_link_have_one_shaper() -> None:
    one = active(window("a", reserve=Reserve("wan", 0.2)))
    two = active(window("b", reserve=Reserve("wan", 0.3)))
    machine = settled(compiled(one))
    change = machine.settle(compiled(one, two))
    assert change is not None
    assert [op.shaper for op in change.shaping if isinstance(op, t.AddShaper)] == [
        v.Shaper("wan0", 10**9, 5 * 10**8)
    ]


def test_the_registry_is_named_by_its_digest_in_the_ledger() -> None:
    machine = settled(compiled(registry=BIGGER))
    ledger = machine.kernel.read().ledger
    assert sorted(ledger.values()) == sorted(stage.digest for stage in BIGGER.stages)
    assert TABLES.stages != BIGGER.stages
