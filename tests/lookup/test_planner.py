"""The staged lookup says what the radix tree says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.errors import PolicyError
from enforcer.lab.registry import CATEGORIES as LAB_CATEGORIES
from enforcer.lab.registry import generate
from enforcer.lookup.classes import classify_nodes
from enforcer.lookup.planner import classify, explain_plan, plan
from enforcer.lookup.stages import choose_lengths
from enforcer.lookup.tables import Tables, Term
from enforcer.lookup.tree import RadixTree
from enforcer.policy.prefix import BITS, Family
from enforcer.policy.registry import empty_registry, parse_registry
from tests.examples import examples
from tests.lookup.drawn_registries import CATEGORIES, DAY, Drawn, registries

BUDGET = 256 << 20


def planned(text: str) -> Tables:
    header = "id,prefix,category,valid_from,valid_until,services\n"
    registry = parse_registry("r.csv", (header + text).encode(), CATEGORIES)
    return plan(RadixTree.build(registry, DAY), BUDGET)


def shape(tables: Tables) -> list[tuple[Family, int, int]]:
    return [(stage.family, stage.length, len(stage)) for stage in tables.stages]


# A small budget forces more stages, a large one wide expansions.
@examples(80)
@given(registries(), st.sampled_from([1 << 14, 1 << 20, BUDGET]))
def test_the_staged_lookup_equals_the_tree_at_every_edge(drawn: Drawn, budget: int) -> None:
    tree = RadixTree.build(drawn.registry, DAY)
    tables = plan(tree, budget)
    for family, address in drawn.edges():
        if 0 <= address < 1 << BITS[family]:
            found = classify(tables, family, address)
            assert (found.terms if found else ()) == drawn.terms(family, address)


@settings(deadline=None)
@given(registries())
def test_keys_are_sorted_unique_and_cut_to_their_stage(drawn: Drawn) -> None:
    tables = plan(RadixTree.build(drawn.registry, DAY), BUDGET)
    for stage in tables.stages:
        bits = BITS[stage.family]
        keys = [int(k) if bits == 32 else int.from_bytes(k.tobytes(), "big") for k in stage.keys]
        assert keys == sorted(set(keys))
        assert all(key % (1 << (bits - stage.length)) == 0 for key in keys)
    for family in (4, 6):
        lengths = [stage.length for stage in tables.of_family(family)]
        assert lengths == sorted(lengths, reverse=True)
    counted = drawn.registry.count(DAY)
    assert tables.prefixes == tuple((f, name, count) for (f, name), count in counted.items())
    used = {number for stage in tables.stages for number in stage.classes.tolist()}
    assert used <= {entry.id for entry in tables.classes}


def test_equal_registries_give_equal_tables_whatever_the_order_of_their_rows() -> None:
    rows = [
        "a,20.0.0.0/24,house,,,",
        "b,20.0.0.128/25,centre,,,esp",
        "c,20.0.1.0/30,house,,,",
        "d,2a01::/48,mission,,,",
    ]
    assert planned("\n".join(rows)) == planned("\n".join(reversed(rows)))
    assert planned("\n".join(rows)) != planned("\n".join(rows[1:]))


def test_halves_of_one_class_become_one_prefix_and_what_repeats_its_surroundings_goes() -> None:
    assert shape(planned("a,20.0.0.0/25,house,,,\nb,20.0.0.128/25,house,,,")) == [(4, 24, 1)]
    assert shape(planned("a,20.0.0.0/24,house,,,\nb,20.0.0.7/32,house,,,")) == [(4, 24, 1)]
    # All four quarters, two levels up; the prefix around the halves is of no more use.
    quarters = "\n".join(f"{n},20.0.0.{64 * n}/26,house,,," for n in range(4))
    assert shape(planned(quarters + "\nz,20.0.0.0/24,centre,,,")) == [(4, 24, 1)]
    other = planned("a,20.0.0.0/25,house,,,\nb,20.0.0.128/25,centre,,,")
    assert shape(other) == [(4, 25, 2)]


def test_a_stage_knows_the_classes_that_occur_in_it() -> None:
    registry = parse_registry("r.csv", generate(2000, 1), LAB_CATEGORIES)
    for stage in plan(RadixTree.build(registry, DAY), BUDGET).stages:
        assert stage.class_ids() == frozenset(stage.classes.tolist())


def test_no_registrations_are_no_stages() -> None:
    tables = plan(RadixTree.build(empty_registry(CATEGORIES), DAY), BUDGET)
    assert tables == Tables()
    assert explain_plan(tables, BUDGET) == [
        "IPv4: nothing registered, no lookup",
        "IPv6: nothing registered, no lookup",
        "0.0 MB of kernel memory of 256 MB allowed, 0 classes; costs are estimates",
    ]


def test_services_are_looked_up_with_their_prefix() -> None:
    tables = planned("a,20.0.0.0/24,house,,,udp/51820\nb,20.0.0.0/16,centre,,,")
    found = classify(tables, 4, 0x14000001)
    assert found is not None
    assert [term.category for term in found.terms] == ["house", "centre"]
    around = classify(tables, 4, 0x14000101)
    assert around is not None
    assert around.terms == (Term("centre"),)


def test_prefixes_are_counted_as_registered_not_as_expanded() -> None:
    tables = planned("a,20.0.0.0/24,house,,,\nb,20.0.0.0/24,house,,,\nc,2a01::/48,mission,,,")
    assert tables.prefixes == ((4, "house", 1), (6, "mission", 1))


def test_more_prefixes_than_the_budget_holds_are_refused_with_the_numbers() -> None:
    registry = parse_registry("r.csv", generate(2000, 1), LAB_CATEGORIES)
    with pytest.raises(PolicyError) as refused:
        plan(RadixTree.build(registry, DAY), 100_000)
    assert str(refused.value) == REFUSED


def test_the_choice_is_cheap_fits_the_budget_and_explains_itself() -> None:
    registry = parse_registry("r.csv", generate(2000, 1), LAB_CATEGORIES)
    tables = plan(RadixTree.build(registry, DAY), BUDGET)
    assert explain_plan(tables, BUDGET) == EXPLAINED


def test_stages_get_narrower_as_the_budget_shrinks() -> None:
    counts = {4: [0] * 33, 6: [0] * 129}
    counts[4][24], counts[4][26], counts[4][32] = 10, 40, 10
    assert choose_lengths(counts, BUDGET) == {4: (32,), 6: ()}
    assert choose_lengths(counts, 100 * 112) == {4: (32, 26), 6: ()}
    assert choose_lengths(counts, 60 * 112) == {4: (32, 26, 24), 6: ()}


def test_a_large_registry_is_looked_up_as_the_tree_does() -> None:
    registry = parse_registry("r.csv", generate(3000, 7, clustered=True), LAB_CATEGORIES)
    tree = RadixTree.build(registry, DAY)
    tables, classes = plan(tree, BUDGET), classify_nodes(tree)
    for family in (4, 6):
        part = tree.of_family(family)
        for node in range(0, len(part), 7):
            for address in (part.prefix(node).network, part.prefix(node).last + 1):
                found = classify(tables, family, address)
                number = part.node_of(address)
                expected = classes.of_family(family)[number] if number >= 0 else None
                assert found == (None if expected is None else classes.classes[expected])


REFUSED = (
    "registry: 1,995 prefixes need 0.2 MB of kernel memory with every choice of stages, over the "
    "0.1 MB of registry.kernel_memory; raise it, or register fewer and wider prefixes"
)
EXPLAINED = [
    (
        "IPv4: 1,800 registered prefixes in 2 stages; a packet that misses them all costs 0.20 of "
        "a bare forwarded packet more"
    ),
    "  1. /32: 8,024 elements, 0.9 MB, cost 0.10",
    "  2. /26: 4,589 elements, 0.5 MB, cost 0.10",
    (
        "IPv6: 200 registered prefixes in 3 stages; a packet that misses them all costs 0.30 of "
        "a bare forwarded packet more"
    ),
    "  1. /64: 13,751 elements, 1.7 MB, cost 0.10",
    "  2. /48: 149 elements, 0.0 MB, cost 0.10",
    "  3. /40: 514 elements, 0.1 MB, cost 0.10",
    "3.1 MB of kernel memory of 256 MB allowed, 27 classes; costs are estimates",
]
