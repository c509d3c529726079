"""The kernel in memory: copies, applies, swaps. For tests, `plan` against nothing, and the lab.

In: transactions and a clock. Out: the same states and the same refusals as the real kernel, held to
it by one contract suite (tests/kernel/test_kernel_contract.py). Never touches a socket.
"""

from __future__ import annotations

import copy
import errno
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from enforcer.kernel.elements import pairs
from enforcer.kernel.encode import SHORTEST_ARMING_MS
from enforcer.kernel.remedies import kernel_error, label
from enforcer.policy.prefix import Family
from enforcer.ruleset import transaction as t
from enforcer.ruleset.lower import Expr, lower_rule
from enforcer.ruleset.vocabulary import (
    LEDGER_CHAIN,
    ArmingSet,
    ClassMap,
    Hook,
    RegisteredMap,
    Shaper,
    SmallSet,
)

_MS = 1_000_000


@dataclass(slots=True)
class _Set:
    """A set of the fake: `elements` maps packed key, class id or family to the element's data."""

    kind: str
    size: int
    elements: dict[Any, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Table:
    dormant: bool = False
    foreign: str | None = None
    hooks: dict[str, Hook | None] = field(default_factory=lambda: {LEDGER_CHAIN: None})
    rules: dict[str, tuple[tuple[Expr, ...], ...]] = field(default_factory=dict)
    sets: dict[str, _Set] = field(default_factory=dict)
    counters: dict[str, tuple[int, int]] = field(default_factory=dict)
    ledger: tuple[tuple[str, str], ...] = ()

    def references(self) -> set[tuple[str, str]]:
        """What rules and class maps refer to, as (`chain`, `set` or `counter`, name)."""
        found: set[tuple[str, str]] = set()
        for rules in self.rules.values():
            for rule in rules:
                found.update(map(_reference, rule))
        for each in self.sets.values():
            if each.kind == "classes":
                found.update(("chain", chain) for chain in each.elements.values())
        return found


def _reference(expr: Expr) -> tuple[str, str]:
    match expr:
        case ("lookup" | "lookup_map", name, *_):
            return "set", name
        case ("counter", name):
            return "counter", name
        case ("verdict", _, str(chain)):
            return "chain", chain
    return "", ""


class FakeKernel:
    """A `Kernel` in memory. `clock` gives nanoseconds since the epoch; arming ends by it.

    The rest of the public face is for tests: what other programs, devices and packets do.
    """

    def __init__(self, clock: Callable[[], int], devices: Iterable[str] = ()) -> None:
        self._clock = clock
        self._generation = 1
        self._table: _Table | None = None
        self._shapers: dict[str, Shaper] = {}
        self._faults: list[tuple[type, int]] = []
        self.devices = set(devices)
        self.foreign_qdiscs: set[str] = set()
        self.transactions: list[t.Transaction] = []

    # --- what tests do to it --------------------------------------------------------------------

    def bump(self, counter: str, packets: int, bytes_: int) -> None:
        """Packets pass: adds to a counter of ours."""
        assert self._table is not None
        before = self._table.counters[counter]
        self._table.counters[counter] = (before[0] + packets, before[1] + bytes_)

    def fail_next(self, operation: type, number: int) -> None:
        """The next transaction with an operation of this type is refused with errno `number`."""
        self._faults.append((operation, number))

    def edit(self, change: Callable[[Any], None] | None = None) -> None:
        """Another program commits: `change` gets the table's innards (None: an unrelated table)."""
        if change is not None:
            change(self._table)
        self._generation += 1

    def flush(self) -> None:
        """Another program runs `nft flush ruleset`."""
        self._table = None
        self._generation += 1

    def set_dormant(self) -> None:
        assert self._table is not None
        self._table.dormant = True
        self._generation += 1

    def make_foreign(self, why: str = "it has no mark of ours") -> None:
        """A table of our name that is not ours takes the place of whatever there was."""
        self._table = _Table(foreign=why)
        self._generation += 1

    # --- Kernel ---------------------------------------------------------------------------------

    def read(self) -> t.KernelState:
        table, devices = self._table, frozenset(self.devices)
        bare = t.KernelState(
            self._generation,
            exists=table is not None,
            foreign=None if table is None else table.foreign,
            shapers=frozenset(s for d, s in self._shapers.items() if d in devices),
            foreign_qdiscs=frozenset(self.foreign_qdiscs & devices),
            devices=devices,
        )
        if table is None or table.foreign is not None:
            return bare
        return replace(
            bare,
            dormant=table.dormant,
            chains={
                name: t.ChainState(hook, table.rules.get(name, ()))
                for name, hook in table.hooks.items()
                if name != LEDGER_CHAIN
            },
            sets={name: self._set_state(each) for name, each in table.sets.items()},
            counters=frozenset(table.counters),
            ledger=dict(table.ledger),
        )

    def generation(self) -> int:
        return self._generation

    def commit(self, transaction: t.Transaction, now_ns: int) -> None:
        if transaction.generation != self._generation and transaction.netfilter:
            raise kernel_error("commit", errno.ERESTART)
        shapers, table = dict(self._shapers), copy.deepcopy(self._table)
        for shaping in (op for op in transaction.shaping if isinstance(op, t.AddShaper)):
            self._shape(shaping, shapers)
        # As in the kernel, an added shaper stays when the batch after it is refused.
        self._shapers = dict(shapers)
        for operation in transaction.netfilter:
            try:
                self._fault(operation)
                table = self._apply(table, operation, now_ns)
            except OSError as error:
                raise kernel_error(label(operation), error.errno or 0) from None
        if transaction.netfilter:
            self._table, self._generation = table, self._generation + 1
        for removal in (op for op in transaction.shaping if isinstance(op, t.DeleteShaper)):
            self._shape(removal, shapers)
        self._shapers = shapers
        self.transactions.append(transaction)

    def counters(self) -> dict[str, tuple[int, int]]:
        ours = self._table is not None and self._table.foreign is None
        return dict(self._table.counters) if ours and self._table is not None else {}

    def elements(self, map_name: str, keys: list[bytes]) -> dict[bytes, int]:
        if self._table is None or map_name not in self._table.sets:
            raise kernel_error(f"elements of {map_name}", errno.ENOENT)
        held = self._table.sets[map_name].elements
        return {key: held[key] for key in keys if key in held}

    def close(self) -> None:
        pass

    # --- how it applies -------------------------------------------------------------------------

    def _fault(self, operation: t.Operation) -> None:
        for index, (kind, number) in enumerate(self._faults):
            if isinstance(operation, kind):
                del self._faults[index]
                raise OSError(number, "injected")

    def _set_state(self, each: _Set) -> t.SetState:
        elements: frozenset[object] = frozenset()
        if each.kind == "small":
            elements = frozenset(each.elements)
        elif each.kind == "classes":
            elements = frozenset(each.elements.items())
        elif each.kind == "armed":
            now = self._clock()
            elements = frozenset(
                (family, ends_ns - now, timeout_ns)
                for family, (ends_ns, timeout_ns) in each.elements.items()
                if ends_ns > now
            )
        return t.SetState(each.kind, each.size, elements)

    def _shape(self, operation: t.Operation, shapers: dict[str, Shaper]) -> None:
        try:
            self._fault(operation)
        except OSError as error:
            raise kernel_error(label(operation), error.errno or 0) from None
        if isinstance(operation, t.AddShaper):
            device = operation.shaper.device
            if device not in self.devices:
                raise kernel_error(label(operation), errno.ENODEV)
            if device in self.foreign_qdiscs:
                raise kernel_error(label(operation), errno.EBUSY)
            shapers[device] = operation.shaper
        elif isinstance(operation, t.DeleteShaper):
            shapers.pop(operation.device, None)

    def _apply(self, table: _Table | None, operation: t.Operation, now_ns: int) -> _Table | None:
        if isinstance(operation, t.CreateTable):
            _refuse(table is not None, errno.EEXIST)
            return _Table()
        if table is None:
            raise OSError(errno.ENOENT, "no table")
        _refuse(table.foreign is not None, errno.EBUSY)
        if isinstance(operation, t.DeleteTable):
            return None
        _APPLY[type(operation)](self, table, operation, now_ns)
        return table

    def _wake(self, table: _Table, operation: t.WakeTable, now_ns: int) -> None:
        table.dormant = False

    def _add_set(self, table: _Table, operation: t.AddSet, now_ns: int) -> None:
        made = operation.container
        _refuse(made.name in table.sets, errno.EEXIST)
        new = table.sets[made.name] = _Set(KINDS[type(made)], made.size)
        if isinstance(made, SmallSet):
            new.elements = dict.fromkeys(made.elements)
        elif isinstance(made, ClassMap):
            new.elements = dict(made.elements)
            _refuse(any(chain not in table.hooks for _, chain in made.elements), errno.ENOENT)
        _refuse(len(new.elements) > new.size, errno.ENFILE)

    def _delete_set(self, table: _Table, operation: t.DeleteSet, now_ns: int) -> None:
        _refuse(operation.name not in table.sets, errno.ENOENT)
        _refuse(("set", operation.name) in table.references(), errno.EBUSY)
        del table.sets[operation.name]

    def _load(self, table: _Table, operation: t.Load, now_ns: int) -> None:
        held = _find(table, operation.target.name)
        if operation.flush:
            held.elements.clear()
        _insert(held, operation.target)

    def _change(self, table: _Table, operation: t.Change, now_ns: int) -> None:
        held = _find(table, operation.target.name)
        for key, _ in pairs(operation.removed.stage):
            _refuse(key not in held.elements, errno.ENOENT)
            del held.elements[key]
        _insert(held, operation.added)

    def _arm(self, table: _Table, operation: t.Arm, now_ns: int) -> None:
        held = _find(table, operation.target.name)
        timeout_ns = operation.target.timeout_ns(now_ns) // _MS * _MS
        families: tuple[Family, Family] = (4, 6)
        for family in families:
            held.elements.pop(family, None)
            if timeout_ns >= SHORTEST_ARMING_MS * _MS:
                held.elements[family] = (self._clock() + timeout_ns, timeout_ns)

    def _add_counter(self, table: _Table, operation: t.AddCounter, now_ns: int) -> None:
        _refuse(operation.name in table.counters, errno.EEXIST)
        table.counters[operation.name] = (0, 0)

    def _delete_counter(self, table: _Table, operation: t.DeleteCounter, now_ns: int) -> None:
        _refuse(operation.name not in table.counters, errno.ENOENT)
        _refuse(("counter", operation.name) in table.references(), errno.EBUSY)
        del table.counters[operation.name]

    def _add_chain(self, table: _Table, operation: t.AddChain, now_ns: int) -> None:
        _refuse(operation.name in table.hooks, errno.EEXIST)
        hook = operation.hook
        gone = hook is not None and hook.device is not None and hook.device not in self.devices
        _refuse(gone, errno.ENODEV)
        table.hooks[operation.name] = hook

    def _set_rules(self, table: _Table, operation: t.SetRules, now_ns: int) -> None:
        chain = operation.chain
        _refuse(chain.name not in table.hooks, errno.ENOENT)
        known: dict[str, Container[str]] = {
            "chain": table.hooks,
            "set": table.sets,
            "counter": table.counters,
        }
        rules = tuple(lower_rule(rule) for rule in chain.rules)
        for kind, name in (_reference(expr) for rule in rules for expr in rule):
            _refuse(kind != "" and name not in known[kind], errno.ENOENT)
        before = () if operation.flush else table.rules.get(chain.name, ())
        table.rules[chain.name] = before + rules

    def _flush_chain(self, table: _Table, operation: t.FlushChain, now_ns: int) -> None:
        _refuse(operation.name not in table.hooks, errno.ENOENT)
        table.rules.pop(operation.name, None)

    def _delete_chain(self, table: _Table, operation: t.DeleteChain, now_ns: int) -> None:
        _refuse(operation.name not in table.hooks, errno.ENOENT)
        own = table.rules.pop(operation.name, ())
        if ("chain", operation.name) in table.references():
            table.rules[operation.name] = own
            raise OSError(errno.EBUSY, "in use")
        del table.hooks[operation.name]

    def _write_ledger(self, table: _Table, operation: t.WriteLedger, now_ns: int) -> None:
        table.ledger = operation.entries


KINDS: dict[type, str] = {
    SmallSet: "small",
    ClassMap: "classes",
    ArmingSet: "armed",
    RegisteredMap: "registered",
}

_APPLY: dict[type, Callable[[FakeKernel, _Table, Any, int], None]] = {
    t.WakeTable: FakeKernel._wake,
    t.AddSet: FakeKernel._add_set,
    t.DeleteSet: FakeKernel._delete_set,
    t.Load: FakeKernel._load,
    t.Change: FakeKernel._change,
    t.Arm: FakeKernel._arm,
    t.AddCounter: FakeKernel._add_counter,
    t.DeleteCounter: FakeKernel._delete_counter,
    t.AddChain: FakeKernel._add_chain,
    t.SetRules: FakeKernel._set_rules,
    t.FlushChain: FakeKernel._flush_chain,
    t.DeleteChain: FakeKernel._delete_chain,
    t.WriteLedger: FakeKernel._write_ledger,
}


def _find(table: _Table, name: str) -> _Set:
    held = table.sets.get(name)
    if held is None:
        raise OSError(errno.ENOENT, "no set")
    return held


def _insert(held: _Set, registered: RegisteredMap) -> None:
    for key, class_id in pairs(registered.stage):
        _refuse(held.elements.get(key, class_id) != class_id, errno.EEXIST)
        held.elements[key] = class_id
    _refuse(len(held.elements) > held.size, errno.ENFILE)


def _refuse(condition: bool, number: int) -> None:
    if condition:
        raise OSError(number, "refused")
