"""The ways a packet can take through a ruleset, as facts: what must hold when a rule is reached.

In: a Ruleset. Out: one `Step` for each rule and each different set of facts with which it can be
reached, from the base chains through jump, goto and class maps. A match adds a fact, so a step's
facts are what every packet there has in common.

Where no drop can be reached any more, the facts that only a drop needs are forgotten: estates times
services times stages times classes would be hundreds of thousands of steps, and a check that takes
seconds is a window that opens late. Forgetting is safe: with fewer facts a check can only become
stricter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from enforcer.ruleset.registered import SERVICES
from enforcer.ruleset.vocabulary import (
    MATCHES,
    Armed,
    ByClass,
    Chain,
    ClassMap,
    Drop,
    Goto,
    Hook,
    IsFamily,
    Jump,
    Rule,
    Ruleset,
    Statement,
    TakeClass,
)

# Deeper than any chain of ours; the kernel's own limit is 16 (NFT_JUMP_STACK_SIZE).
DEPTH = 16
Facts = frozenset[Statement]


@dataclass(frozen=True, slots=True)
class Step:
    """`rule` of `chain`, reached from `hook` by the base chain `base` with the matches `facts` (its
    own included). `before` are the rules of the same chain that the packet fell through.
    """

    hook: Hook
    base: str
    chain: str
    rule: Rule
    facts: Facts
    before: tuple[Rule, ...]


def steps(ruleset: Ruleset) -> Iterator[Step]:
    """Every step of every path. Raises ValueError when chains go in circles or to nowhere."""
    maps = {c.name: c for c in ruleset.containers if isinstance(c, ClassMap)}
    ways = {c.name: _leads(c, maps) for c in ruleset.chains}
    if len(ways) != len(ruleset.chains):
        raise ValueError("two chains have one name")
    droppers = _droppers(ruleset, ways)
    for chain in ruleset.chains:
        if chain.hook:
            walk = _Walk(ruleset, ways, droppers, chain.name, chain.hook, set())
            yield from walk.through(chain, (), frozenset())


def _leads(chain: Chain, maps: dict[str, ClassMap]) -> tuple[tuple[str, ...], ...]:
    """For each rule of a chain, where it can send a packet."""
    if chain.words.isdisjoint((Jump, Goto, ByClass)):
        return ((),) * len(chain.rules)
    return tuple(targets(rule, maps) for rule in chain.rules)


def targets(rule: Rule, maps: dict[str, ClassMap]) -> tuple[str, ...]:
    """The chains that a rule can send a packet to and that decide what becomes of it.

    Chains of services only note a category and return (`class_violations` looks at every word of
    them), so no path goes through them: there may be hundreds.
    """
    found: list[str] = []
    for s in rule.statements:
        if isinstance(s, Jump | Goto):
            found.append(s.chain)
        elif isinstance(s, ByClass) and s.map_name == SERVICES:
            continue
        elif isinstance(s, ByClass):
            if s.map_name not in maps:
                raise ValueError(f"class map {s.map_name} does not exist")
            found += sorted({chain for _, chain in maps[s.map_name].elements})
    return tuple(found)


Ways = dict[str, tuple[tuple[str, ...], ...]]


def _droppers(ruleset: Ruleset, ways: Ways) -> frozenset[str]:
    """The chains in which, or behind which, there is a drop."""
    found = {chain.name for chain in ruleset.chains if Drop in chain.words}
    while True:
        more = {
            name
            for name, of_rules in ways.items()
            if name not in found and any(not found.isdisjoint(of_rule) for of_rule in of_rules)
        }
        if not more:
            return frozenset(found)
        found |= more


def _forget(facts: Facts) -> Facts:
    """What is needed where nothing is dropped: family, arming, and that some stage was hit."""
    kept: set[Statement] = set()
    for s in facts:
        if isinstance(s, IsFamily | Armed):
            kept.add(s)
        elif isinstance(s, TakeClass):
            kept.add(TakeClass("saddr", s.family, 0, "", s.window))
    return frozenset(kept)


@dataclass(frozen=True, slots=True)
class _Walk:
    """The way from one base chain; `seen` are the chains entered, each with its facts."""

    ruleset: Ruleset
    ways: Ways
    droppers: frozenset[str]
    base: str
    hook: Hook
    seen: set[tuple[str, Facts]]

    def through(self, chain: Chain, above: tuple[str, ...], facts: Facts) -> Iterator[Step]:
        if chain.name in above:
            raise ValueError(f"chain {chain.name} is reached from itself")
        if len(above) > DEPTH:
            raise ValueError(f"chain {chain.name} is reached by more than {DEPTH} jumps")
        if above and chain.hook:
            raise ValueError(f"chain {above[-1]} jumps to {chain.name}, a base chain")
        if chain.name not in self.droppers:
            facts = _forget(facts)
        if (chain.name, facts) in self.seen:
            return
        self.seen.add((chain.name, facts))
        of_rules = self.ways[chain.name]
        for index, rule in enumerate(chain.rules):
            here = facts | {s for s in rule.statements if isinstance(s, MATCHES)}
            yield Step(self.hook, self.base, chain.name, rule, here, chain.rules[:index])
            for target in of_rules[index]:
                behind = self.ruleset.chain(target)
                if behind is None:
                    raise ValueError(f"chain {chain.name} points at {target}, which does not exist")
                yield from self.through(behind, (*above, chain.name), here)
