"""Rules that tell of packets: they change nothing, tell header bytes only, under our own names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given

from enforcer.errors import PromiseError
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.compiler import compile_ruleset
from enforcer.ruleset.lower import lower_rule
from enforcer.ruleset.measures import SampleName, parse_sample
from enforcer.ruleset.promises import check
from enforcer.ruleset.sampling import (
    LONGEST_LABEL,
    NO_SAMPLES,
    Sampling,
    deciding,
    sampled_label,
)
from tests.examples import examples
from tests.ruleset.builders import (
    ALL_THREE,
    DEVICES,
    POLICY,
    TABLES,
    TABLES_FRONT,
    TABLES_IPV4,
    active,
    compiled,
)
from tests.ruleset.simulator import simulate
from tests.ruleset.strategies import Scene, scenes

MORE = examples(40)
ON = Sampling(10)
GOOD = compiled(active(ALL_THREE), sampling=ON)
HELD = "guard/ddos/held_back/ip4/unregistered"


def violations(ruleset: v.Ruleset) -> list[str]:
    try:
        check(ruleset, POLICY, (active(ALL_THREE),), TABLES)
    except PromiseError as error:
        return list(error.violations)
    return []


def with_rule(rule: v.Rule, chain: str = "mark.ddos") -> v.Ruleset:
    """GOOD with one more rule at the end of a chain."""
    chains = (replace(c, rules=(*c.rules, rule)) if c.name == chain else c for c in GOOD.chains)
    return replace(GOOD, chains=tuple(chains))


def sampling_rules(ruleset: v.Ruleset) -> list[v.Rule]:
    rules = [rule for chain in ruleset.chains for rule in chain.rules]
    return [r for r in rules if any(isinstance(s, v.Sample) for s in r.statements)]


# --- what the compiler makes ---------------------------------------------------------------------


@pytest.mark.parametrize("registry", [TABLES, TABLES_IPV4, TABLES_FRONT])
def test_off_is_as_if_there_were_none(registry: object) -> None:
    plain = compiled(active(ALL_THREE), registry=registry)  # type: ignore[arg-type]
    off = compiled(active(ALL_THREE), registry=registry, sampling=NO_SAMPLES)  # type: ignore[arg-type]
    on = compiled(active(ALL_THREE), registry=registry, sampling=ON)  # type: ignore[arg-type]
    assert plain == off
    assert not sampling_rules(off)
    stripped = tuple(replace(c, rules=deciding(c)) for c in on.chains)
    assert replace(on, chains=stripped) == off


def test_outside_windows_nobody_is_told_of_anything() -> None:
    assert compiled(sampling=ON) == compiled()


def test_every_counter_has_its_sample_and_every_lookup_that_misses_its_own() -> None:
    labels = {sampled_label(rule) for rule in sampling_rules(GOOD)}
    missed = {f"{m}/ddos/untouched/ip{f}/unregistered" for m in ("mark", "reserve") for f in (4, 6)}
    assert labels == {*GOOD.counters, *missed}


def test_a_sample_holds_the_ip_header_and_four_bytes() -> None:
    told = {lower_rule(rule)[-1] for rule in sampling_rules(GOOD)}
    assert {(name, group, size) for name, group, _, size in told} == {
        ("log", v.SAMPLE_GROUP, 20 + 4),
        ("log", v.SAMPLE_GROUP, 40 + 4),
    }
    families = {(label.split("/")[3], size) for _, _, label, size in told}
    assert families == {("ip4", 24), ("ip6", 44)}


def test_the_longest_names_there_can_be_fit_the_kernels_prefix() -> None:
    longest = SampleName("reserve", "w" * 64, "would_drop", 6, "c" * 32)
    assert len(str(longest)) <= LONGEST_LABEL


@pytest.mark.parametrize(
    "label",
    ["mark/w/marked/ip4/mission", "guard/w/would_drop/ip6/unregistered", HELD,
     "mark/w/untouched/ip6/unregistered", "mark/untouched/untouched/ip4/unregistered"],
)  # fmt: skip
def test_a_label_is_read_as_it_was_written(label: str) -> None:
    assert str(parse_sample(label)) == label


@pytest.mark.parametrize(
    "label",
    ["", "hello", "mark/w/untouched/ip4/mission", "mark/w/untouched/ip5/unregistered", "a/b/c/d/e",
     "mark/w/untouched/ip4", "mark/w/marked/ip4/mission/6"],
)  # fmt: skip
def test_a_strangers_label_is_none(label: str) -> None:
    assert parse_sample(label) is None


# --- what they do to packets: nothing ------------------------------------------------------------


@MORE
@given(scenes("prerouting", "postrouting"))
def test_a_sample_changes_no_packets_fate_and_tells_what_becomes_of_it(scene: Scene) -> None:
    world = scene.world
    off, on = (
        compile_ruleset(
            world.policy, world.activations, world.registry, devices=DEVICES, sampling=sampling
        )
        for sampling in (NO_SAMPLES, ON)
    )
    for packet in scene.packets:
        before, after = (simulate(ruleset, packet, scene.armed) for ruleset in (off, on))
        assert replace(after, sampled=()) == before
        if -1 in (packet.sport, packet.dport):
            assert after.sampled == (), "content would be told of"
            continue
        told = [label for label in after.sampled if "/untouched/" not in label]
        assert tuple(told) == after.counted
        # A lookup that missed is told of once for each window and measure that is armed.
        assert len(set(after.sampled)) == len(after.sampled)
        for label in after.sampled:
            name = parse_sample(label)
            assert name is not None
            assert name.window in scene.armed


# --- what the promises see -----------------------------------------------------------------------

SAMPLE = v.Sample("mark/ddos/marked/ip4/mission", 4, 10)
FRONT = (v.OneIn(64), v.IsFamily(4), v.HasTransport(), v.Armed("ddos"))


def test_a_sample_of_our_form_keeps_the_promises() -> None:
    assert violations(GOOD) == []
    assert violations(with_rule(v.Rule((*FRONT, SAMPLE)))) == []


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (v.Rule((*FRONT, v.Drop())), "chance must not drop"),
        (v.Rule((*FRONT, v.Accept())), "nor accept"),
        (v.Rule((*FRONT, SAMPLE, v.Drop())), "who tells does nothing else"),
        (v.Rule((*FRONT, SAMPLE, v.SetMark(1))), "who tells changes nothing"),
        (v.Rule((*FRONT, v.Count(HELD), SAMPLE)), "nor counts"),
        (v.Rule((v.OneIn(64), v.IsFamily(4), v.Armed("ddos"), SAMPLE)), "content of a fragment"),
        (v.Rule((v.OneIn(64), v.HasTransport(), v.Armed("ddos"), SAMPLE)), "of any family"),
        (v.Rule((v.OneIn(64), v.IsFamily(6), v.HasTransport(), v.Armed("ddos"), SAMPLE)),
         "four bytes behind an IPv4 header"),
        (v.Rule((v.IsFamily(4), v.HasTransport(), v.Armed("ddos"), SAMPLE)), "every packet"),
        (v.Rule((*FRONT, v.Protocol(17), v.PortIn("dport", 1, 2), SAMPLE)), "by port"),
    ],
)  # fmt: skip
def test_5_a_sample_is_nothing_but_a_sample(rule: v.Rule, why: str) -> None:
    found = violations(with_rule(rule))
    assert any(text.startswith("promise 5: ") for text in found), why


@pytest.mark.parametrize("number", [0, -1, 3, 65])
def test_the_chance_is_one_that_a_mask_can_say(number: int) -> None:
    with pytest.raises(ValueError, match="not a power of two"):
        v.OneIn(number)


def test_2_nobody_is_told_of_a_packet_once_the_window_is_over() -> None:
    found = violations(with_rule(v.Rule((*FRONT[:3], SAMPLE))))
    assert any(text.startswith("promise 2: ") for text in found)


@pytest.mark.parametrize(
    "label",
    ["198.51.100.7", "mark/other/marked/ip4/mission", "mark/ddos/marked/ip4/somebody",
     "mark/ddos/untouched/ip4/mission", "mark/ddos/marked/ip4/" + "c" * 110],
)  # fmt: skip
def test_6_a_sample_bears_the_operators_own_names(label: str) -> None:
    found = violations(with_rule(v.Rule((*FRONT, replace(SAMPLE, label=label)))))
    assert any(text.startswith("promise 6: ") for text in found)


@pytest.mark.parametrize("edit", [lambda c: (), lambda c: c.rules[:1]])
def test_4_a_sample_does_not_stand_for_the_rule_that_accepts(
    edit: Callable[[v.Chain], tuple[v.Rule, ...]],
) -> None:
    name = "guard.ddos.ip4.software-house"
    chains = (replace(c, rules=edit(c)) if c.name == name else c for c in GOOD.chains)
    found = violations(replace(GOOD, chains=tuple(chains)))
    assert any(text.startswith("promise 4: ") for text in found)
