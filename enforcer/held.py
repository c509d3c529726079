"""What the kernel holds, as `explain` and `status` tell it: armed windows, the class of an address.

In: a kernel to ask. Out: values; None where it cannot be asked. It changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from enforcer.errors import KernelError
from enforcer.lookup.planner import classify
from enforcer.lookup.tables import LookupClass, Tables
from enforcer.policy.prefix import BITS, Family, Prefix
from enforcer.ruleset.transaction import Kernel, KernelState
from enforcer.ruleset.vocabulary import FRONT

_REGISTERED = re.compile(r"reg([46])-(\d+)-\d+")
_ARMED = "armed."


@dataclass(frozen=True, slots=True)
class Held:
    """The kernel at one reading. `state` is None when it could not be read, for `reason`.

    `armed` maps each armed window to what is left of it: the shorter of the two families.
    """

    state: KernelState | None
    reason: str | None = None
    armed: Mapping[str, timedelta] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether there is a table of ours to speak of."""
        return self.state is not None and self.state.exists and self.state.foreign is None


def read_held(kernel: Kernel) -> Held:
    try:
        state = kernel.read()
    except KernelError as error:
        return Held(None, str(error))
    return Held(state, state.foreign, armed_windows(state))


def armed_windows(state: KernelState) -> dict[str, timedelta]:
    """Window → how long the kernel still arms it, in the order of their names."""
    found: dict[str, timedelta] = {}
    for name, held in sorted(state.sets.items()):
        left = [e[1] for e in held.elements if isinstance(e, tuple) and isinstance(e[1], int)]
        if held.kind == "armed" and left:
            found[name.removeprefix(_ARMED)] = timedelta(microseconds=min(left) // 1000)
    return found


def class_held(kernel: Kernel, held: Held, address: Prefix) -> int | None:
    """The class id that a packet of this address meets: the maps that are there, from the longest
    prefixes to the shortest, as the rules ask them. None when no map holds it.
    """
    state = held.state
    assert state is not None
    front = state.sets.get(FRONT)
    if address.family == 4 and front is not None and front.kind == "front":
        # What the filter does not know is never looked up, whatever the maps hold.
        half = address.packed[:2]
        if not kernel.elements(FRONT, [half]):
            return None
    for length, name in _maps(state, address.family):
        masked = address.network >> (BITS[address.family] - length)
        key = Prefix(address.family, masked << (BITS[address.family] - length), length).packed
        found = kernel.elements(name, [key])
        if found:
            return found[key]
    return None


def _maps(state: KernelState, family: Family) -> list[tuple[int, str]]:
    found = []
    for name, held in state.sets.items():
        match = _REGISTERED.fullmatch(name)
        if match and held.kind == "registered" and int(match[1]) == family:
            found.append((int(match[2]), name))
    return sorted(found, reverse=True)


@dataclass(frozen=True, slots=True)
class EndHeld:
    """One end of a flow: whether the kernel's maps hold it (None: not asked), as which class, and
    in words what differs from the registry.
    """

    member: bool | None
    class_id: int | None = None
    means: str | None = None
    difference: str | None = None


def end_held(kernel: Kernel, held: Held, tables: Tables, name: str, address: Prefix) -> EndHeld:
    """Compares the kernel's answer for an address with that of the registry. `name`: for people."""
    if not held.ours:
        return EndHeld(None)
    try:
        class_id = class_held(kernel, held, address)
    except KernelError:
        # A map went away while we asked; the next call sees what came in its place.
        return EndHeld(None)
    wanted = classify(tables, address.family, address.network)
    by_id = {entry.id: entry for entry in tables.classes}
    means = None if class_id is None else meaning(by_id.get(class_id))
    if class_id == (wanted.id if wanted else None):
        return EndHeld(class_id is not None, class_id, means)
    there = "the kernel does not hold it" if means is None else f"the kernel holds {means}"
    due = "it is not registered" if wanted is None else f"it is registered as {meaning(wanted)}"
    return EndHeld(class_id is not None, class_id, means, f"{name}: {due}, but {there}")


def meaning(entry: LookupClass | None) -> str:
    """`software-house`, or `freelancer for udp/51820, else mission`."""
    if entry is None:
        return "a class that no registration has today"
    parts = []
    for term in entry.terms:
        services = " ".join(map(str, term.services))
        parts.append(f"{term.category} for {services}" if services else term.category)
    return ", else ".join(parts)


def armed_differences(held: Held, on: Iterable[str]) -> list[str]:
    """Windows that are due by the schedule and not in the kernel, or the other way round."""
    if held.state is None or held.state.foreign is not None:
        return []
    due = set(on)
    missing = [f"window {w} is due, but the kernel does not arm it" for w in sorted(due)
               if w not in held.armed]  # fmt: skip
    extra = [f"window {w} is not on, but the kernel arms it" for w in held.armed if w not in due]
    return missing + extra
