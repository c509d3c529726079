"""The ways a packet can take through a ruleset, as facts: what must hold when a rule is reached.

In: a Ruleset. Out: one `Step` for each rule and each different set of facts with which it can be
reached, from the base chains through jump, goto and class maps. A match adds a fact; nothing is
ever forgotten on the way, so a step's facts are what every packet there has in common.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from enforcer.ruleset.vocabulary import (
    MATCHES,
    ByClass,
    Chain,
    ClassMap,
    Goto,
    Hook,
    Jump,
    Rule,
    Ruleset,
    Statement,
)

# Deeper than any chain of ours; the kernel's own limit is 16 (NFT_JUMP_STACK_SIZE).
DEPTH = 16


@dataclass(frozen=True, slots=True)
class Step:
    """`rule` of `chain`, reached from `hook` with the matches `facts` (its own included).

    `before` are the rules of the same chain that the packet fell through.
    """

    hook: Hook
    base: str
    chain: str
    rule: Rule
    facts: frozenset[Statement]
    before: tuple[Rule, ...]


def steps(ruleset: Ruleset) -> Iterator[Step]:
    """Every step of every path. Raises ValueError when chains go in circles or to nowhere."""
    maps = {c.name: c for c in ruleset.containers if isinstance(c, ClassMap)}
    for chain in ruleset.chains:
        if chain.hook:
            seen: set[tuple[str, frozenset[Statement]]] = set()
            yield from _walk(ruleset, maps, chain, chain.hook, (), frozenset(), seen)


def _walk(
    ruleset: Ruleset,
    maps: dict[str, ClassMap],
    chain: Chain,
    hook: Hook,
    above: tuple[str, ...],
    facts: frozenset[Statement],
    seen: set[tuple[str, frozenset[Statement]]],
) -> Iterator[Step]:
    if chain.name in above:
        raise ValueError(f"chain {chain.name} is reached from itself")
    if len(above) > DEPTH:
        raise ValueError(f"chain {chain.name} is reached by more than {DEPTH} jumps")
    if above and chain.hook:
        raise ValueError(f"chain {above[-1]} jumps to {chain.name}, a base chain")
    if (chain.name, facts) in seen:
        return
    seen.add((chain.name, facts))
    way = (*above, chain.name)
    for index, rule in enumerate(chain.rules):
        here = facts | {s for s in rule.statements if isinstance(s, MATCHES)}
        yield Step(hook, way[0], chain.name, rule, here, chain.rules[:index])
        for target in targets(rule, maps):
            behind = ruleset.chain(target)
            if behind is None:
                raise ValueError(f"chain {chain.name} points at {target}, which does not exist")
            yield from _walk(ruleset, maps, behind, hook, way, here, seen)


def targets(rule: Rule, maps: dict[str, ClassMap]) -> tuple[str, ...]:
    """The chains that a rule can send a packet to."""
    found: list[str] = []
    for s in rule.statements:
        if isinstance(s, Jump | Goto):
            found.append(s.chain)
        elif isinstance(s, ByClass):
            if s.map_name not in maps:
                raise ValueError(f"class map {s.map_name} does not exist")
            found += sorted({chain for _, chain in maps[s.map_name].elements})
    return tuple(found)
