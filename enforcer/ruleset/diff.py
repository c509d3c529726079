"""Desired ruleset and kernel state → the Transaction that turns one into the other, or None.

It depends on current state, never on history: first install, a window that opens, drift repair and
a restart are the same call. What stands in our table is ours: a foreign chain there is taken out.

The order is one the kernel accepts in one batch: rules first lose their grip on what must go, then
sets go (class maps hold chains), then chains; then what is new is made, filled, and last of all
referred to. `inert` transactions (nothing but loads into maps no rule uses) need no care at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import replace
from typing import Any

from enforcer.errors import KernelError
from enforcer.lookup.delta import delta
from enforcer.lookup.tables import Stage
from enforcer.policy.prefix import FAMILIES
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.lower import Expr, lower_rule

# The kernel tells what is left of a timeout in milliseconds and counts it in jiffies.
LATE_TOLERANCE_NS = 20 * 10**6
# A window that would be disarmed early harms nobody; how long a read takes is part of this.
EARLY_TOLERANCE_NS = 200 * 10**6
_EEXIST = 17


def diff(
    desired: v.Ruleset,
    state: t.KernelState,
    now_ns: int,
    *,
    loaded: Mapping[str, Stage] | None = None,
    retire: frozenset[str] = frozenset(),
    written: Mapping[str, str] | None = None,
) -> t.Transaction | None:
    """What to change so that the kernel holds `desired`; None when it does.

    `loaded` maps digests to stages still at hand, from which a delta can be made. `retire` names
    counters whose totals have been taken over: only those are deleted. `written` is the ledger as
    it stands in the kernel, where `state` has more of it. Raises KernelError when a table of our
    name belongs to somebody else.
    """
    if state.foreign is not None:
        raise KernelError(
            "read",
            _EEXIST,
            f"somebody else's table inet {v.TABLE} is there ({state.foreign}); "
            f"have its owner use another name, or: nft delete table inet {v.TABLE} (with the flag "
            "owner it goes when its program ends)",
        )
    ledger = state.ledger if written is None else written
    operations = _Difference(desired, state, now_ns, loaded or {}, retire, ledger).operations()
    if state.dormant and any(isinstance(op, t.AddChain) and op.hook for op in operations):
        # The kernel does not hook a chain in the transaction that wakes its table (EINVAL); a
        # dormant table passes everything, so nothing is lost by making it anew.
        gone = replace(
            state, exists=False, dormant=False, chains={}, sets={}, counters=frozenset(), ledger={}
        )
        anew = _Difference(desired, gone, now_ns, {}, frozenset(), {})
        operations = [t.DeleteTable(), *anew.operations()]
    return t.Transaction(state.generation, tuple(operations)) if operations else None


def teardown(state: t.KernelState) -> t.Transaction | None:
    """The Transaction that leaves nothing of ours: `disarm` and `on_stop: release`."""
    operations: list[t.Operation] = []
    if state.exists and state.foreign is None:
        # Nothing acts any more before anything goes that it asks (docs/decisions/0045).
        hooked = (name for name, chain in state.chains.items() if chain.hook and chain.rules)
        operations += [*map(t.FlushChain, sorted(hooked)), t.DeleteTable()]
    operations += [t.DeleteShaper(s.device) for s in sorted(state.shapers, key=lambda s: s.device)]
    operations += [t.ClearParking()] * state.parking
    return t.Transaction(state.generation, tuple(operations)) if operations else None


_Listed = v.SmallSet | v.ClassMap


class _Difference:
    def __init__(
        self,
        desired: v.Ruleset,
        state: t.KernelState,
        now_ns: int,
        loaded: Mapping[str, Stage],
        retire: frozenset[str],
        written: Mapping[str, str],
    ) -> None:
        self.desired, self.state, self.now_ns = desired, state, now_ns
        self.loaded, self.retire, self.written = loaded, retire, written
        self.containers = {c.name: c for c in desired.containers}
        self.stale_sets = {n for n in state.sets if not self._set_fits(n)}
        self.new_sets = [
            c for c in desired.containers if c.name not in state.sets or c.name in self.stale_sets
        ]
        self.stale_chains = {c for c in state.chains if not self._chain_fits(c)}
        self.elements = [*self._elements()]
        self.changed_chains = [c for c in desired.chains if self._rules_change(c)]

    def operations(self) -> list[t.Operation]:
        ops: list[t.Operation] = []
        if not self.state.exists:
            ops.append(t.CreateTable())
        elif self.state.dormant:
            ops.append(t.WakeTable())
        return [*ops, *self._take_out(), *self._put_in(), *self._ledger(), *self._shapers()]

    # --- what fits ---------------------------------------------------------------------------

    def _set_fits(self, name: str) -> bool:
        there, wanted = self.state.sets[name], self.containers.get(name)
        if wanted is None or there.kind != _KIND[type(wanted)]:
            return False
        if not isinstance(wanted, _Listed):
            return there.size == wanted.size
        # Whatever size it was made with: made anew, it would be empty to packets on their way.
        # What leaves does so last.
        return len(_listed(wanted) | there.elements) <= there.size

    def _chain_fits(self, name: str) -> bool:
        wanted = self.desired.chain(name)
        return wanted is not None and wanted.hook == self.state.chains[name].hook

    def _rules_change(self, chain: v.Chain) -> bool:
        there = self.state.chains.get(chain.name)
        if there is None or chain.name in self.stale_chains:
            return True
        if self.stale_sets and not self.stale_sets.isdisjoint(chain.once("sets", _set_names)):
            return True
        return there.rules != chain.once("lowered", _lowered)

    def _elements(self) -> Iterator[t.TakeElements | t.PutElements]:
        """What leaves small sets and class maps that stay, and what arrives in them. They are not
        made anew: packets on their way would find them empty (docs/decisions/0045).
        """
        for c in self.desired.containers:
            held = self.state.sets.get(c.name)
            if not isinstance(c, _Listed) or held is None or c.name in self.stale_sets:
                continue
            there, wanted = held.elements, _listed(c)
            arrive = {_key(e): e for e in wanted - there}
            leave = {_key(e): e for e in there - wanted}
            led_elsewhere = leave.keys() & arrive.keys()
            for keys in (led_elsewhere, leave.keys() - led_elsewhere):
                if keys:
                    yield t.TakeElements(_part(c, [leave[key] for key in keys]))
            if arrive:
                yield t.PutElements(_part(c, arrive.values()))

    # --- out, then in ------------------------------------------------------------------------

    def _take_out(self) -> list[t.Operation]:
        loosened = self.stale_chains | {
            c.name for c in self.changed_chains if c.name in self.state.chains
        }
        ops: list[t.Operation] = [
            t.FlushChain(name, going=there.hook is None and self.desired.chain(name) is None)
            for name in sorted(loosened)
            if (there := self.state.chains[name]).rules
        ]
        ops += [op for op in self.elements if isinstance(op, t.TakeElements)]
        # Class maps first: they hold chains that may go.
        order = sorted(self.stale_sets, key=lambda n: (self.state.sets[n].kind != "classes", n))
        ops += [t.DeleteSet(name) for name in order]
        ops += [t.DeleteChain(name) for name in sorted(self.stale_chains)]
        gone = (self.state.counters - set(self.desired.counters)) & self.retire
        return ops + [t.DeleteCounter(name) for name in sorted(gone)]

    def _put_in(self) -> list[t.Operation]:
        missing = set(self.desired.counters) - self.state.counters
        ops: list[t.Operation] = [t.AddCounter(name) for name in sorted(missing)]
        maps = [c for c in self.new_sets if isinstance(c, v.ClassMap)]
        ops += [t.AddSet(c) for c in self.new_sets if not isinstance(c, v.ClassMap)]
        ops += self._loads()
        ops += [
            t.AddChain(c.name, c.hook)
            for c in self.desired.chains
            if c.name not in self.state.chains or c.name in self.stale_chains
        ]
        ops += [t.AddSet(c) for c in maps]
        ops += [op for op in self.elements if isinstance(op, t.PutElements)]
        ops += [t.SetRules(c, flush=False) for c in self.changed_chains if c.rules]
        return ops + self._arms()

    def _loads(self) -> list[t.Operation]:
        ops: list[t.Operation] = []
        new = {c.name for c in self.new_sets}
        for c in self.desired.containers:
            if not isinstance(c, v.Bulk):
                continue
            if c.name in new:
                ops.append(t.Load(c))
            elif self.state.sets[c.name].count not in (None, self._ledgered(c)):
                # Somebody has put elements in or taken some out: no delta fits what is there.
                ops.append(t.Load(c, flush=True))
            elif self.state.ledger.get(c.name) != c.stage.digest:
                ops += self._update(c)
        return ops

    def _ledgered(self, wanted: v.Bulk) -> int | None:
        """How many elements the map must hold now; None when what is in it is not known."""
        digest = self.state.ledger.get(wanted.name, "")
        held = wanted.stage if digest == wanted.stage.digest else self.loaded.get(digest)
        return None if held is None else len(held)

    def _update(self, wanted: v.Bulk) -> list[t.Operation]:
        old = self.loaded.get(self.state.ledger.get(wanted.name, ""))
        if old is None or (old.family, old.length) != (wanted.stage.family, wanted.stage.length):
            return [t.Load(wanted, flush=True)]
        change = delta(old, wanted.stage)
        if change is None:
            return []
        removed, added = change
        kind = type(wanted)
        return [t.Change(wanted, kind(removed), kind(added))]

    def _arms(self) -> list[t.Operation]:
        ops: list[t.Operation] = []
        for c in self.desired.containers:
            if not isinstance(c, v.ArmingSet):
                continue
            there = self.state.sets.get(c.name)
            fresh = there is None or c.name in self.stale_sets
            left = {} if fresh or there is None else remaining(there)
            if not _armed_well(c, left, self.now_ns):
                ops.append(t.Arm(c, frozenset(f for f in FAMILIES if f in left)))
        return ops

    def _ledger(self) -> list[t.Operation]:
        wanted = {c.name: c.stage.digest for c in self.containers.values() if isinstance(c, v.Bulk)}
        if wanted == dict(self.written):
            return []
        return [t.WriteLedger(tuple(sorted(wanted.items())))]

    def _shapers(self) -> list[t.Operation]:
        wanted = {s.device: s for s in self.desired.shapers}
        there = {s.device: s for s in self.state.shapers}
        ops: list[t.Operation] = [
            t.AddShaper(s) for device, s in sorted(wanted.items()) if there.get(device) != s
        ]
        ops += [t.DeleteShaper(d) for d in sorted(there.keys() - wanted.keys())]
        return ops + [t.ClearParking()] * self.state.parking


def _listed(c: _Listed) -> Set[Any]:
    """The elements as a read has them."""
    if isinstance(c, v.SmallSet):
        return set(c.elements)
    return {(class_id, c.verdict, chain) for class_id, chain in c.elements}


def _key(element: Any) -> bytes | int:
    key: bytes | int = element if isinstance(element, bytes) else element[0]
    return key


def _part(c: _Listed, elements: Iterable[Any]) -> _Listed:
    if isinstance(c, v.SmallSet):
        return replace(c, elements=tuple(sorted(elements)))
    return replace(c, elements=tuple((e[0], e[-1]) for e in sorted(elements)))


_KIND: dict[type, str] = {
    v.SmallSet: "small",
    v.ClassMap: "classes",
    v.ArmingSet: "armed",
    v.RegisteredMap: "registered",
    v.FrontSet: "front",
}


def _lowered(chain: v.Chain) -> tuple[tuple[Expr, ...], ...]:
    return tuple(lower_rule(rule) for rule in chain.rules)


def _set_names(chain: v.Chain) -> frozenset[str]:
    """The sets and maps that its rules refer to."""
    names: list[str] = []
    for s in (s for rule in chain.rules for s in rule.statements):
        if isinstance(s, v.MaskedIn | v.PortInSet | v.Armed):
            names.append(s.set_name)
        elif isinstance(s, v.FrontIn):
            names.append(v.FRONT)
        elif isinstance(s, v.TakeClass | v.ByClass):
            names.append(s.map_name)
            if isinstance(s, v.TakeClass) and s.window is not None:
                names.append(v.armed_set(s.window))
    return frozenset(names)


def remaining(there: t.SetState) -> dict[int, int]:
    """Family → nanoseconds left, of an arming set as it was read."""
    left: dict[int, int] = {}
    for element in there.elements:
        if isinstance(element, tuple):
            family, remaining_ns, _ = element
            left[family] = remaining_ns
    return left


def _armed_well(wanted: v.ArmingSet, left: Mapping[int, int], now_ns: int) -> bool:
    """Both families armed, never past the end; a lease is renewed when a third of it is gone."""
    timeout_ns = wanted.timeout_ns(now_ns)
    if timeout_ns <= LATE_TOLERANCE_NS:
        # Too late to arm anew; what is armed for longer is taken back.
        return all(ns <= max(timeout_ns, 0) + LATE_TOLERANCE_NS for ns in left.values())
    least = timeout_ns - EARLY_TOLERANCE_NS
    if wanted.lease_ns is not None and timeout_ns == wanted.lease_ns:
        least = timeout_ns * 2 // 3
    return all(
        family in left and least <= left[family] <= timeout_ns + LATE_TOLERANCE_NS
        for family in FAMILIES
    )
