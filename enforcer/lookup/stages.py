"""Which prefix lengths become hash stages: the cheapest choice that fits the memory budget.

In: how many prefixes of each length there are. Out: a few lengths for each family. A dynamic
programme over the lengths keeps, for each, the choices that no other beats in both memory and cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2

from enforcer.errors import PolicyError, Problem
from enforcer.policy.prefix import FAMILIES, Family

# Kernel memory of one element of a map with its share of the buckets (nft_set_hash.c), measured at
# a million rows, where the budget matters: 111 bytes for IPv4, 117 for IPv6 (`make bench`). Small
# tables take up to 131, as their buckets are sparser.
ELEMENT_BYTES: dict[Family, int] = {4: 112, 6: 128}

# Cost of one lookup as a share of the cost of a bare forwarded packet, measured: 0.12 at 20,000
# elements, 0.44 at a million, growing with the misses in the cache, so with the logarithm. Below
# some 10,000 elements everything is in the cache and the instructions remain.
_COST_AT, _ELEMENTS_AT, _COST_PER_DOUBLING = 0.12, 20_000, 0.32 / log2(50)
_LEAST_COST = 0.10
# A million elements more take half a second to a second to load, and an update of a wide prefix
# touches as many more: worth something on the packet path.
_COST_PER_ELEMENT = 0.15e-6


def estimated_cost(elements: int) -> float:
    """One lookup in a hash of so many elements, as a share of a bare forwarded packet's cost."""
    if not elements:
        return 0.0
    return max(_LEAST_COST, _COST_AT + _COST_PER_DOUBLING * log2(elements / _ELEMENTS_AT))


def kernel_bytes(family: Family, elements: int) -> int:
    """Estimated kernel memory of a stage."""
    return elements * ELEMENT_BYTES[family]


@dataclass(frozen=True, slots=True, order=True)
class _Choice:
    """`lengths` from longest to shortest."""

    cost: float
    memory: int
    lengths: tuple[int, ...]


def choose_lengths(
    counts: Mapping[Family, Sequence[int]], budget_bytes: int
) -> dict[Family, tuple[int, ...]]:
    """Stage lengths by family, longest first; `counts[family][length]` prefixes go in.

    Raises PolicyError when the smallest choice is over the budget.
    """
    least = sum(kernel_bytes(family, sum(counts[family])) for family in FAMILIES)
    if least > budget_bytes:
        raise _over_budget(sum(sum(counts[f]) for f in FAMILIES), least, budget_bytes)
    choices = {family: _frontier(family, counts[family], budget_bytes) for family in FAMILIES}
    best = min(
        (round(four.cost + six.cost, 9), four.memory + six.memory, four.lengths, six.lengths)
        for four in choices[4]
        for six in choices[6]
        if four.memory + six.memory <= budget_bytes
    )
    return {4: best[2], 6: best[3]}


def _over_budget(prefixes: int, least: int, budget_bytes: int) -> PolicyError:
    megabyte = 2**20
    return PolicyError(
        [
            Problem(
                "registry",
                0,
                0,
                "",
                f"{prefixes:,} prefixes need {least / megabyte:,.1f} MB of kernel memory with "
                f"every choice of stages, over the {budget_bytes / megabyte:,.1f} MB of "
                "registry.kernel_memory; raise it, or register fewer and wider prefixes",
            )
        ]
    )


def _frontier(family: Family, counts: Sequence[int], budget_bytes: int) -> list[_Choice]:
    """The choices that none beats in both cost and memory, for one family."""
    present = [length for length, count in enumerate(counts) if count]
    # best[i]: choices that hold the first i of the lengths, all in stages.
    best: list[list[_Choice]] = [[_Choice(0.0, 0, ())]]
    for i, stage in enumerate(present, 1):
        found: list[_Choice] = []
        elements = 0
        for j in range(i - 1, -1, -1):
            elements += counts[present[j]] << (stage - present[j])
            memory = kernel_bytes(family, elements)
            if memory > budget_bytes:
                break
            cost = estimated_cost(elements) + _COST_PER_ELEMENT * elements
            found += [
                _Choice(before.cost + cost, before.memory + memory, (stage, *before.lengths))
                for before in best[j]
                if before.memory + memory <= budget_bytes
            ]
        best.append(_unbeaten(found))
    return best[-1]


def _unbeaten(choices: list[_Choice]) -> list[_Choice]:
    kept: list[_Choice] = []
    for choice in sorted(choices):
        if not kept or choice.memory < kept[-1].memory:
            kept.append(choice)
    return kept
