"""No change of the registry loses a packet that is on its way through the rules meanwhile.

As the kernel does it (decision 0045): a packet keeps the rules of the generation that it began in,
by that generation's parity, and looks each thing up in whatever is the newest by then. Between two
transactions of ours any number of its steps may lie, but for those that wait for it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from enforcer.kernel.fake import FakeKernel
from enforcer.kernel.steps import apart
from enforcer.lookup.tables import Tables
from enforcer.policy.model import Guard
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.diff import diff
from tests.ruleset.builders import (
    DEVICES,
    NOW_NS,
    Registered,
    active,
    compiled,
    registered,
    tables,
    window,
)

GUARDED = active(window("w", guard=Guard("mail")))
LOOKUP, CLASSES = "guard.w.saddr4", "guard.w.classes4"
Chains = dict[str, tuple[v.Rule, ...]]


@dataclass(frozen=True)
class Moment:
    """What there is between two transactions. `through`: whether all packets were before it."""

    chains: Chains
    maps: dict[str, dict[bytes, int]]
    led: dict[int, str]
    through: bool


def moments(old: Tables, new: Tables) -> list[Moment]:
    """From one registry to the other in the kernel, a window guarding all the time."""
    kernel = FakeKernel(lambda: NOW_NS, DEVICES)
    found: list[Moment] = []
    chains: Chains = {}
    loaded = {stage.digest: stage for stage in old.stages}
    for registry in (old, new):
        ruleset = compiled(GUARDED, registry=registry)
        change = diff(ruleset, kernel.read(), NOW_NS, loaded=loaded)
        for part in apart(change.netfilter) if change is not None else []:
            ours = t.Transaction(kernel.generation(), part.operations)
            kernel.commit(ours, NOW_NS)
            chains = {**chains}
            for operation in part.operations:
                match operation:
                    case t.AddChain(name=name) | t.FlushChain(name=name):
                        chains[name] = ()
                    case t.SetRules(chain=chain):
                        chains[chain.name] = chain.rules
                    case t.DeleteChain(name=name):
                        del chains[name]
            found.append(Moment(chains, *held(kernel), part.waits))
        if registry is old:
            del found[:-1]
    return found


def held(kernel: FakeKernel) -> tuple[dict[str, dict[bytes, int]], dict[int, str]]:
    assert kernel._table is not None
    sets = kernel._table.sets
    maps = {name: dict(s.elements) for name, s in sets.items() if s.kind == "registered"}
    return maps, {key: chain for key, (_, chain) in sets[CLASSES].elements.items()}


class Packet:
    """One that begins in moment `begun`; every way that it may be held up."""

    def __init__(self, during: list[Moment], begun: int, address: int) -> None:
        self.during, self.begun, self.address = during, begun, address
        ends = (at for at, m in enumerate(during) if at > begun and m.through)
        self.until = next(ends, len(during))

    def from_(self, at: int) -> Iterator[int]:
        return iter(range(at, self.until))

    def rules(self, chain: str, at: int) -> tuple[v.Rule, ...]:
        """A chain keeps two lists, and a transaction sets the one of its own generation."""
        newest = at - (at - self.begun) % 2
        return self.during[newest].chains.get(chain, ())

    def may_be_lost(self) -> bool:
        return any(
            self._missed(self.rules(LOOKUP, at), at)
            for at in self.from_(self.begun)
            if LOOKUP in self.during[at].chains
        )

    def _missed(self, rules: tuple[v.Rule, ...], at: int) -> bool:
        """Whether it may come to the end of the lookup, with these rules left, from `at` on."""
        if not rules:
            return True
        take = next(s for s in rules[0].statements if isinstance(s, v.TakeClass))
        masked = self.address >> (32 - take.length) << (32 - take.length)
        key = masked.to_bytes(4, "big")
        for asked in self.from_(at):
            class_id = self.during[asked].maps.get(take.map_name, {}).get(key)
            if class_id is None:
                if self._missed(rules[1:], asked):
                    return True
                continue
            for led in self.from_(asked):
                chain = self.during[led].led.get(class_id)
                if chain is None:
                    if self._missed(rules[1:], led):
                        return True
                elif not all(self.rules(chain, there) for there in self.from_(led)):
                    return True
        return False


def lost(old: tuple[Registered, ...], new: tuple[Registered, ...]) -> set[int]:
    """The addresses, registered in both, of which a packet may be lost on its way."""
    during = moments(tables(*old), tables(*new))
    edges = {edge for r in (*old, *new) for edge in (r.prefix.network, r.prefix.last)}
    return {
        address
        for address in edges
        if all(any(address in r.prefix for r in rows) for rows in (old, new))
        and any(Packet(during, begun, address).may_be_lost() for begun in range(len(during)))
    }


@st.composite
def rows(draw: st.DrawFn) -> tuple[Registered, ...]:
    length = st.sampled_from((16, 20, 24, 28, 32))
    address = st.sampled_from([10 << 24 | at for at in (0, 1, 16, 256, 4096, 4112)])
    category = st.sampled_from(("mission", "freelancer", "call-centre"))
    services = st.sampled_from(("", "", "tcp/993", "sctp/36412"))
    drawn = draw(st.lists(st.tuples(address, length, category, services), min_size=1, max_size=9))
    found = {(address >> 32 - n << 32 - n, n): as_ for address, n, *as_ in drawn}
    # Some maps outgrow their size.
    more = draw(st.sampled_from((0, 0, 14, 40)))
    found |= {(11 << 24 | at << 8, 24): ["mission", ""] for at in range(more)}
    return tuple(
        registered(f"{ipaddress.ip_address(network)}/{n}", *as_)
        for (network, n), as_ in found.items()
    )


@given(rows(), rows())
def test_no_change_of_the_registry_loses_a_packet_on_its_way(
    old: tuple[Registered, ...], new: tuple[Registered, ...]
) -> None:
    assert lost(old, new) == set()


@given(rows(), rows())
def test_nor_does_one_whose_classes_would_get_a_map_of_another_size(
    old: tuple[Registered, ...], new: tuple[Registered, ...]
) -> None:
    with patch.object(v, "_CLASSES", 16):
        assert lost(old, new) == set()


def test_the_oracle_knows_a_loss() -> None:
    """All in one transaction, as it was: to a finer stage, and to a category that comes."""
    coarse, fine = registered("10.0.0.0/16", "mission"), registered("10.0.0.0/28", "freelancer")
    always = registered("10.1.0.0/28", "mission"), registered("10.1.0.0/16", "mission")
    during = moments(tables(coarse, *always), tables(fine, *always))
    assert len(during) > 3
    address = coarse.prefix.network
    assert not any(Packet(during, at, address).may_be_lost() for at in range(len(during)))
    at_once = [during[0], replace(during[-1], through=False)]
    assert Packet(at_once, 0, address).may_be_lost()
