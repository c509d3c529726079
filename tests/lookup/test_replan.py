"""A plan made of the one before it is the plan made anew, to the last digest."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.lab.registry import CATEGORIES, generate
from enforcer.lookup import replan as room
from enforcer.lookup.planner import Planned, classify, planned
from enforcer.lookup.replan import replan
from enforcer.lookup.splice import splice
from enforcer.lookup.tables import Tables
from enforcer.lookup.tree import RadixTree
from enforcer.policy.prefix import FAMILIES
from enforcer.policy.registry import Registry, parse_registry
from tests.examples import examples
from tests.lookup.drawn_registries import DAY, updates

BUDGET = 256 << 20


def assert_same(found: Planned, wanted: Planned) -> None:
    assert_same_tables(found.tables, wanted.tables)
    assert found.uses == wanted.uses
    assert found.counts == wanted.counts
    for family in FAMILIES:
        mine, theirs = found.nodes[family], wanted.nodes[family]
        assert mine.length.tolist() == theirs.length.tolist()
        assert mine.class_number.tolist() == theirs.class_number.tolist()
        for a, b in zip(mine.words, theirs.words, strict=True):
            assert a.tolist() == b.tolist()
            assert a.dtype == b.dtype


def assert_same_tables(found: Tables, wanted: Tables) -> None:
    assert found == wanted
    for mine, theirs in zip(found.stages, wanted.stages, strict=True):
        assert mine.keys.tobytes() == theirs.keys.tobytes()
        assert mine.classes.tobytes() == theirs.classes.tobytes()
        assert mine.uses() == theirs.uses()


def planned_of(registry: Registry, shift: int = 0) -> Planned:
    return planned(RadixTree.build(registry, DAY + timedelta(shift)), BUDGET)


def followed(before: Planned, registry: Registry, shift: int = 0) -> Planned | None:
    change = splice(before.tree, registry, DAY + timedelta(shift))
    assert change is not None
    return replan(before, change)


@examples(100)
@given(updates(max_size=40), st.lists(st.sampled_from((0, 0, 0, 1, -1)), min_size=4, max_size=4))
def test_a_plan_followed_is_the_plan_made_anew(registries: list[Registry], days: list[int]) -> None:
    before = planned_of(registries[0], days[0])
    for registry, shift in zip(registries[1:], days[1:], strict=False):
        wanted = planned_of(registry, shift)
        found = followed(before, registry, shift)
        if found is None:
            # Other lengths are cheaper by now: then, and only then.
            assert lengths(before) != lengths(wanted)
        else:
            assert_same(found, wanted)
        before = wanted


def lengths(plan: Planned) -> list[tuple[int, int]]:
    return [(stage.family, stage.length) for stage in plan.tables.stages]


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_in_a_registry_of_thousands_as_well(seed: int, clustered: bool) -> None:
    random = Random(seed)
    lines = generate(6000, seed, clustered=clustered).splitlines(keepends=True)
    fresh = generate(300, 100 + seed, clustered=clustered).splitlines(keepends=True)[1:]
    before = planned_of(parse_registry("r", b"".join(lines), CATEGORIES))
    done = 0
    for _ in range(15):
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(1, len(lines))
            match random.randrange(4):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(at, random.choice(fresh))
                case 2:
                    # The other half of it, to be merged with.
                    lines.insert(at, sibling(lines[at]))
                case 3:
                    fields = lines[at].split(b",")
                    fields[2] = random.choice(CATEGORIES).encode()
                    lines[at] = b",".join(fields)
        registry = parse_registry("r", b"".join(lines), CATEGORIES)
        found, wanted = followed(before, registry), planned_of(registry)
        if found is not None:
            assert_same(found, wanted)
            done += 1
        before = found or wanted
    assert done >= 12


def sibling(line: bytes) -> bytes:
    """The row again, for the other half of the prefix around its own, where both are allowed."""
    registry = parse_registry("r", HEAD + line, CATEGORIES)
    prefix = registry.row(0).prefix
    if prefix.length in (8, 19):
        return line
    bits = 32 if prefix.family == 4 else 128
    other = type(prefix)(prefix.family, prefix.network ^ 1 << (bits - prefix.length), prefix.length)
    fields = line.split(b",")
    fields[1] = str(other).encode()
    try:
        parse_registry("r", HEAD + b",".join(fields), CATEGORIES)
    except Exception:  # a bogon, as it happens
        return line
    return b",".join(fields)


HEAD = b"id,prefix,category,valid_from,valid_until,services\n"


def rows(*prefixes: str) -> Registry:
    text = "".join(f"a,{prefix},mission,,,\n" for prefix in prefixes)
    return parse_registry("r", HEAD + text.encode(), CATEGORIES)


def test_what_becomes_one_prefix_far_up_is_followed_up_there() -> None:
    """The last /32 of a /24 that is there in parts: the change shows beyond the first block."""
    far = [f"30.{n}.{m}.0/24" for n in range(200) for m in (0, 2)]
    far += [f"40.{n}.0.{m}/32" for n in range(200) for m in (1, 4, 7)]
    parts = [f"20.0.0.{n}/28" for n in range(16, 256, 16)] + [f"20.0.0.{n}/32" for n in range(15)]
    before = planned_of(rows(*far, *parts))
    whole = rows(*far, *parts, "20.0.0.15/32")
    found, wanted = followed(before, whole), planned_of(whole)
    assert (20 << 24, 24) in zip(
        wanted.nodes[4].words[0].tolist(), wanted.nodes[4].length.tolist(), strict=True
    )
    assert found is not None
    assert_same(found, wanted)
    back = followed(found, before.tree.registry)
    assert back is not None
    assert_same(back, before)


def test_a_wide_prefix_comes_around_others_and_goes_again() -> None:
    inner = [f"20.1.{n}.0/24" for n in range(0, 200, 3)]
    one = planned_of(rows(*inner))
    text = "".join(f"a,{p},mission,,,\n" for p in inner) + "w,20.1.0.0/20,call-centre,,,udp/7\n"
    wide = parse_registry("r", HEAD + text.encode(), CATEGORIES)
    two = followed(one, wide)
    assert two is not None
    assert_same(two, planned_of(wide))
    back = followed(two, rows(*inner))
    assert back is not None
    assert_same(back, one)


def test_what_is_not_touched_stays_the_same_object() -> None:
    lines = generate(3000, 1).splitlines(keepends=True)
    before = planned_of(parse_registry("r", b"".join(lines), CATEGORIES))
    lines.append(b"R-new,198.18.7.0/24,mission,,,\n")
    after = followed(before, parse_registry("r", b"".join(lines), CATEGORIES))
    assert after is not None
    same = [a is b for a, b in zip(before.tables.stages, after.tables.stages, strict=True)]
    assert same.count(False) == 1


@examples(30)
@given(updates())
def test_the_tables_followed_find_what_the_tree_finds(changed: list[Registry]) -> None:
    before = planned_of(changed[0])
    after = followed(before, changed[1])
    if after is None:
        return
    fresh = planned_of(changed[1])
    for family in FAMILIES:
        part = fresh.tree.of_family(family)
        for node in range(len(part)):
            prefix = part.prefix(node)
            for address in {prefix.network, prefix.last, prefix.last + 1}:
                if address < 1 << (32 if family == 4 else 128):
                    found = classify(after.tables, family, address)
                    assert found == classify(fresh.tables, family, address)


def test_too_much_is_left_to_the_plan_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = planned_of(rows("20.0.0.0/24"))
    after = rows("20.0.0.0/24", "30.0.0.0/24")
    assert followed(before, after) is not None
    monkeypatch.setattr(room, "MOST_TOUCHED", 0)
    assert followed(before, after) is None
