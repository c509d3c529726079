"""The fake kernel's table: what each operation does to it, and when it is refused.

In: operations. Out: a changed table, or OSError with the errno that the real kernel gives.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Container, Set
from dataclasses import dataclass, field
from typing import Any

from enforcer.kernel.elements import pairs
from enforcer.kernel.encode import SHORTEST_ARMING_MS
from enforcer.policy.prefix import FAMILIES
from enforcer.ruleset import transaction as t
from enforcer.ruleset.lower import Expr, lower_rule
from enforcer.ruleset.vocabulary import (
    LEDGER_CHAIN,
    ArmingSet,
    Bulk,
    ClassMap,
    FrontSet,
    Hook,
    RegisteredMap,
    SmallSet,
)

_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Situation:
    """What an operation meets beside the table: the plan's instant, the kernel's, the devices."""

    now_ns: int
    clock_ns: int
    devices: Set[str]


@dataclass(slots=True)
class FakeSet:
    """A set of the fake: `elements` maps packed key, class id or family to the element's data."""

    kind: str
    size: int
    elements: dict[Any, Any] = field(default_factory=dict)

    def state(self, now_ns: int) -> t.SetState:
        elements: frozenset[object] = frozenset()
        if self.kind == "small":
            elements = frozenset(self.elements)
        elif self.kind == "classes":
            elements = frozenset((key, *target) for key, target in self.elements.items())
        elif self.kind == "armed":
            elements = frozenset(
                (family, ends_ns - now_ns, timeout_ns)
                for family, (ends_ns, timeout_ns) in self.elements.items()
                if ends_ns > now_ns
            )
        count = len(self.elements) if self.kind in ("registered", "front") else None
        return t.SetState(self.kind, self.size, elements, count)


@dataclass(slots=True)
class FakeTable:
    dormant: bool = False
    foreign: str | None = None
    hooks: dict[str, Hook | None] = field(default_factory=lambda: {LEDGER_CHAIN: None})
    rules: dict[str, tuple[tuple[Expr, ...], ...]] = field(default_factory=dict)
    sets: dict[str, FakeSet] = field(default_factory=dict)
    counters: dict[str, tuple[int, int]] = field(default_factory=dict)
    ledger: tuple[tuple[str, str], ...] = ()
    woken: bool = False

    def references(self) -> set[tuple[str, str]]:
        """What rules and class maps refer to, as (`chain`, `set` or `counter`, name)."""
        found: set[tuple[str, str]] = set()
        for rules in self.rules.values():
            for rule in rules:
                found.update(map(_reference, rule))
        for each in self.sets.values():
            if each.kind == "classes":
                found.update(("chain", chain) for _, chain in each.elements.values())
        return found

    def apply(self, operation: t.Operation, situation: Situation) -> None:
        """Changes the table by anything but making and deleting it. Raises OSError."""
        _APPLY[type(operation)](self, operation, situation)

    def _wake(self, operation: t.WakeTable, situation: Situation) -> None:
        self.dormant = False
        self.woken = True

    def _add_set(self, operation: t.AddSet, situation: Situation) -> None:
        made = operation.container
        refuse(made.name in self.sets, errno.EEXIST)
        new = self.sets[made.name] = FakeSet(KINDS[type(made)], made.size)
        if isinstance(made, SmallSet | ClassMap):
            self._put(new, made)

    def _put(self, held: FakeSet, target: SmallSet | ClassMap) -> None:
        if isinstance(target, SmallSet):
            held.elements.update(dict.fromkeys(target.elements))
        else:
            refuse(any(chain not in self.hooks for _, chain in target.elements), errno.ENOENT)
            for key, chain in target.elements:
                # As the kernel does: an element that is there leads where it led, or none is added.
                there = held.elements.setdefault(key, (target.verdict, chain))
                refuse(there != (target.verdict, chain), errno.EEXIST)
        refuse(len(held.elements) > held.size, errno.ENFILE)

    def _put_elements(self, operation: t.PutElements, situation: Situation) -> None:
        self._put(self._find(operation.target.name), operation.target)

    def _take_elements(self, operation: t.TakeElements, situation: Situation) -> None:
        target = operation.target
        held = self._find(target.name)
        for key in target.keys:
            refuse(key not in held.elements, errno.ENOENT)
            del held.elements[key]

    def _delete_set(self, operation: t.DeleteSet, situation: Situation) -> None:
        refuse(operation.name not in self.sets, errno.ENOENT)
        refuse(("set", operation.name) in self.references(), errno.EBUSY)
        del self.sets[operation.name]

    def _load(self, operation: t.Load, situation: Situation) -> None:
        held = self._find(operation.target.name)
        if operation.flush:
            held.elements.clear()
        _insert(held, operation.target)

    def _change(self, operation: t.Change, situation: Situation) -> None:
        held = self._find(operation.target.name)
        for key, _ in pairs(operation.removed):
            refuse(key not in held.elements, errno.ENOENT)
            del held.elements[key]
        _insert(held, operation.added)

    def _arm(self, operation: t.Arm, situation: Situation) -> None:
        held = self._find(operation.target.name)
        timeout_ns = operation.target.timeout_ns(situation.now_ns) // _MS * _MS
        for family in operation.present:
            held.elements.pop(family, None)
        if timeout_ns >= SHORTEST_ARMING_MS * _MS:
            until = situation.clock_ns + timeout_ns, timeout_ns
            held.elements.update(dict.fromkeys(FAMILIES, until))

    def _add_counter(self, operation: t.AddCounter, situation: Situation) -> None:
        refuse(operation.name in self.counters, errno.EEXIST)
        self.counters[operation.name] = (0, 0)

    def _delete_counter(self, operation: t.DeleteCounter, situation: Situation) -> None:
        refuse(operation.name not in self.counters, errno.ENOENT)
        refuse(("counter", operation.name) in self.references(), errno.EBUSY)
        del self.counters[operation.name]

    def _add_chain(self, operation: t.AddChain, situation: Situation) -> None:
        refuse(operation.name in self.hooks, errno.EEXIST)
        hook = operation.hook
        gone = hook is not None and hook.device is not None and hook.device not in situation.devices
        refuse(gone, errno.ENODEV)
        # As the kernel does: not both in one batch.
        refuse(hook is not None and self.woken, errno.EINVAL)
        self.hooks[operation.name] = hook

    def _set_rules(self, operation: t.SetRules, situation: Situation) -> None:
        chain = operation.chain
        refuse(chain.name not in self.hooks, errno.ENOENT)
        known: dict[str, Container[str]] = {
            "chain": self.hooks,
            "set": self.sets,
            "counter": self.counters,
        }
        rules = tuple(lower_rule(rule) for rule in chain.rules)
        for kind, name in (_reference(expr) for rule in rules for expr in rule):
            refuse(kind != "" and name not in known[kind], errno.ENOENT)
        before = () if operation.flush else self.rules.get(chain.name, ())
        self.rules[chain.name] = before + rules

    def _flush_chain(self, operation: t.FlushChain, situation: Situation) -> None:
        refuse(operation.name not in self.hooks, errno.ENOENT)
        self.rules.pop(operation.name, None)

    def _delete_chain(self, operation: t.DeleteChain, situation: Situation) -> None:
        refuse(operation.name not in self.hooks, errno.ENOENT)
        own = self.rules.pop(operation.name, ())
        if ("chain", operation.name) in self.references():
            self.rules[operation.name] = own
            raise OSError(errno.EBUSY, "in use")
        del self.hooks[operation.name]

    def _write_ledger(self, operation: t.WriteLedger, situation: Situation) -> None:
        self.hooks.setdefault(LEDGER_CHAIN, None)
        self.ledger = operation.entries

    def _find(self, name: str) -> FakeSet:
        held = self.sets.get(name)
        if held is None:
            raise OSError(errno.ENOENT, "no set")
        return held


KINDS: dict[type, str] = {
    SmallSet: "small",
    ClassMap: "classes",
    ArmingSet: "armed",
    RegisteredMap: "registered",
    FrontSet: "front",
}

_APPLY: dict[type, Callable[[FakeTable, Any, Situation], None]] = {
    t.WakeTable: FakeTable._wake,
    t.AddSet: FakeTable._add_set,
    t.DeleteSet: FakeTable._delete_set,
    t.PutElements: FakeTable._put_elements,
    t.TakeElements: FakeTable._take_elements,
    t.Load: FakeTable._load,
    t.Change: FakeTable._change,
    t.Arm: FakeTable._arm,
    t.AddCounter: FakeTable._add_counter,
    t.DeleteCounter: FakeTable._delete_counter,
    t.AddChain: FakeTable._add_chain,
    t.SetRules: FakeTable._set_rules,
    t.FlushChain: FakeTable._flush_chain,
    t.DeleteChain: FakeTable._delete_chain,
    t.WriteLedger: FakeTable._write_ledger,
}


def _reference(expr: Expr) -> tuple[str, str]:
    match expr:
        case ("lookup" | "lookup_map", name, *_):
            return "set", name
        case ("counter", name):
            return "counter", name
        case ("verdict", _, str(chain)):
            return "chain", chain
    return "", ""


def _insert(held: FakeSet, bulk: Bulk) -> None:
    for key, class_id in pairs(bulk):
        refuse(held.elements.get(key, class_id) != class_id, errno.EEXIST)
        held.elements[key] = class_id
    refuse(len(held.elements) > held.size, errno.ENFILE)


def refuse(condition: bool, number: int) -> None:
    if condition:
        raise OSError(number, "refused")
