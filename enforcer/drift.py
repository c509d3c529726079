"""What of ours is no longer as it was left, by kind. Pure.

In: what was settled, what the kernel holds, and the change that would bring it back. Out: kinds,
for counting and for people. Nothing is repaired or decided here: the change is made anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from enforcer.lookup.tables import Stage
from enforcer.policy.model import Policy
from enforcer.ruleset import transaction as t
from enforcer.ruleset.diff import diff
from enforcer.ruleset.lower import lower_rule
from enforcer.ruleset.vocabulary import Bulk, Ruleset

Kind = Literal[
    "table", "dormant", "chain", "rules", "set", "elements", "arming", "counter", "ledger",
    "qdisc", "link", "unseen",
]  # fmt: skip
KINDS: dict[Kind, str] = {
    "table": "the whole table was gone",
    "dormant": "the table was put to sleep",
    "chain": "a chain came, went, or was hooked elsewhere",
    "rules": "rules of a chain came, went or changed",
    "set": "a set or map came, went or changed its shape",
    "elements": "elements of a set or map came or went",
    "arming": "an armed window was disarmed, or armed for longer",
    "counter": "a counter was gone",
    "ledger": "the ledger of what is loaded was gone or changed",
    "qdisc": "our HTB was gone or changed",
    "link": "an uplink or a link is back",
    "unseen": "events were lost, so the registry was loaded anew to be certain",
}


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Sets and maps that somebody else has touched, by what events told; `everything`: events were
    lost, and any may have been. `told`: events were read, so that what they do not name is as it
    was left.
    """

    sets: frozenset[str] = frozenset()
    everything: bool = False
    told: bool = False

    def __bool__(self) -> bool:
        return self.everything or bool(self.sets)

    def __or__(self, other: Suspicion) -> Suspicion:
        return Suspicion(
            self.sets | other.sets, self.everything or other.everything, self.told or other.told
        )

    def trusted(self, ledger: Mapping[str, str]) -> dict[str, str]:
        """The ledger without the maps that may hold something else by now."""
        if self.everything:
            return {}
        return {name: digest for name, digest in ledger.items() if name not in self.sets}

    def remembered(self, there: t.KernelState, left: Mapping[str, str]) -> dict[str, str]:
        """The ledger that is there; and of maps that it does not name any more, for somebody has
        emptied it, and that nobody has touched, what it said when it was `left`.
        """
        if not self.told:
            return dict(there.ledger)
        known = {name: digest for name, digest in left.items() if name in there.sets}
        return {**self.trusted(known), **there.ledger}


def vouched(
    state: t.KernelState,
    suspicion: Suspicion,
    spoilt: frozenset[str],
    left: Mapping[str, str] | None,
) -> t.KernelState:
    """The state with a ledger of what its maps are known to hold. `spoilt` are maps that do not
    hold what it says. `left`: what it said after the last success (None: that does not count).
    """
    ledger = state.ledger if left is None else suspicion.remembered(state, left)
    doubted = Suspicion(suspicion.sets | spoilt, suspicion.everything)
    return replace(state, ledger=doubted.trusted(ledger))


@dataclass(frozen=True, slots=True)
class Settled:
    """What the kernel held after the last success, and the devices that it was compiled for."""

    ruleset: Ruleset
    devices: frozenset[str]
    foreign_qdiscs: frozenset[str]

    @property
    def ledger(self) -> dict[str, str]:
        """Map name → digest of what was loaded into it."""
        return {c.name: c.stage.digest for c in self.ruleset.containers if isinstance(c, Bulk)}

    @classmethod
    def of(cls, policy: Policy, ruleset: Ruleset, state: t.KernelState) -> Settled:
        ours = needed(policy)
        return cls(ruleset, state.devices & ours, state.foreign_qdiscs & ours)


def needed(policy: Policy) -> frozenset[str]:
    """The devices that the policy names."""
    return frozenset((*policy.gateway.uplinks, *(link.device for link in policy.links)))


def drift(
    settled: Settled | None,
    desired: Ruleset,
    state: t.KernelState,
    change: t.Transaction,
    policy: Policy,
    *,
    now_ns: int,
    loaded: Mapping[str, Stage],
    suspicion: Suspicion = Suspicion(),
) -> frozenset[Kind]:
    """How the kernel differs from what was settled; empty when it does not, or nothing was.

    `change` brings `state` to `desired`. A device that vanished is no drift: what hung on it is
    left out until it is back.
    """
    if settled is None:
        return frozenset()
    here = Settled.of(policy, desired, state)
    if (here.devices, here.foreign_qdiscs) != (settled.devices, settled.foreign_qdiscs):
        back = here.devices - settled.devices
        freed = settled.foreign_qdiscs - here.foreign_qdiscs
        adds = any(isinstance(op, t.AddChain | t.AddShaper) for op in change.operations)
        return frozenset({"link"}) if (back or freed) and adds else frozenset()
    if desired == settled.ruleset:
        back_again: t.Transaction | None = change
    else:
        trusted = suspicion.trusted(state.ledger)
        seen = replace(state, ledger=trusted)
        back_again = diff(settled.ruleset, seen, now_ns, loaded=loaded)
    return kinds(back_again, state, suspicion) if back_again else frozenset()


def kinds(
    change: t.Transaction, state: t.KernelState, suspicion: Suspicion = Suspicion()
) -> frozenset[Kind]:
    """The kinds of what a change puts right in `state`."""
    made = {type(op) for op in change.operations}
    shaped: set[Kind] = {"qdisc"} if made & {t.AddShaper, t.DeleteShaper} else set()
    if t.DeleteTable in made or t.WakeTable in made:
        return frozenset(shaped | {"dormant"})
    if t.CreateTable in made:
        return frozenset(shaped | {"table"})
    chains = {op.name for op in change.operations if isinstance(op, t.AddChain | t.DeleteChain)}
    rewritten = {op.chain.name for op in change.operations if isinstance(op, t.SetRules)}
    found: set[Kind | None] = {*shaped}
    for op in change.operations:
        match op:
            case t.AddChain() | t.DeleteChain():
                found.add("chain")
            case t.SetRules(chain=chain) if chain.name not in chains:
                there = state.chains[chain.name].rules
                # The same rules again: only because a set that they name is made anew.
                if there != tuple(map(lower_rule, chain.rules)):
                    found.add("rules")
            case t.FlushChain(name=name) if name not in chains | rewritten:
                found.add("rules")
            case t.AddSet(container=made_set):
                there_set = state.sets.get(made_set.name)
                found.add("elements" if there_set and _same_shape(there_set, op) else "set")
            case t.DeleteSet(name=name) if not _is_added(name, change):
                found.add("set")
            case t.PutElements() | t.TakeElements():
                found.add("elements")
            case t.Load(target=target) | t.Change(target=target):
                found.add(_of_load(target, state, suspicion))
            case t.Arm(target=arming) if arming.name in suspicion.sets:
                found.add("arming")
            case t.AddCounter():
                found.add("counter")
            case t.WriteLedger() if not any(
                isinstance(each, t.Load | t.Change | t.DeleteSet) for each in change.operations
            ):
                found.add("ledger")
    return frozenset(kind for kind in found if kind is not None)


def _same_shape(there: t.SetState, op: t.AddSet) -> bool:
    return there.kind in ("small", "classes") and there.size == op.container.size


def _is_added(name: str, change: t.Transaction) -> bool:
    return any(isinstance(op, t.AddSet) and op.container.name == name for op in change.operations)


def _of_load(target: Bulk, state: t.KernelState, suspicion: Suspicion) -> Kind | None:
    there = state.sets.get(target.name)
    if there is None:
        # Told of by its AddSet.
        return None
    if target.name in suspicion.sets or there.count not in (None, len(target.stage)):
        return "elements"
    if suspicion.everything:
        return "unseen"
    return "elements" if target.name in state.ledger else "ledger"
