"""What the kernel holds, and what to change: two values, and the interface that turns one into the
other. A Transaction is applied whole or not at all (shapers beside it, see `Transaction`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from enforcer.policy.prefix import Family
from enforcer.ruleset.lower import Expr
from enforcer.ruleset.vocabulary import (
    ArmingSet,
    Bulk,
    Chain,
    ClassMap,
    Container,
    Hook,
    Shaper,
    SmallSet,
)

# --- what is there ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChainState:
    """A chain as the kernel holds it: its hook (None: not hooked) and its rules, lowered.

    An expression that we never make is kept as `("unknown", name, raw bytes)`, so it never equals.
    """

    hook: Hook | None
    rules: tuple[tuple[Expr, ...], ...]


@dataclass(frozen=True, slots=True)
class SetState:
    """A set or map as the kernel holds it.

    `kind` is `small`, `classes`, `armed`, `registered`, `front` or `foreign` (never made by us).
    `elements`: packed keys for `small`; `(class id, verdict, chain)` for `classes`; `(family,
    remaining nanoseconds, declared timeout in nanoseconds)` for `armed`, expired ones left out;
    empty for `registered` and `front`, whose content is named by the ledger. `count` is how many
    elements there are of the latter two, where the kernel tells (None: it does not).
    """

    kind: str
    size: int
    elements: frozenset[object] = frozenset()
    count: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class KernelState:
    """A consistent read of everything of ours (generation id the same before and after).

    `ledger` maps a registered map's name to the digest of what was loaded into it. `shapers` are
    qdiscs of ours; `foreign_qdiscs` names devices whose root qdisc somebody else configured.
    `foreign` says why a table of our name is not ours (None when it is ours or absent): such a
    table is never touched. `dormant` is the table flag. `parking`: the shelter for packets while a
    root qdisc is exchanged stands, left by a daemon that was killed at that moment.
    """

    generation: int
    exists: bool = False
    dormant: bool = False
    foreign: str | None = None
    chains: Mapping[str, ChainState] = field(default_factory=dict)
    sets: Mapping[str, SetState] = field(default_factory=dict)
    counters: frozenset[str] = frozenset()
    ledger: Mapping[str, str] = field(default_factory=dict)
    shapers: frozenset[Shaper] = frozenset()
    foreign_qdiscs: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    parking: bool = False


# --- what to change -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateTable:
    """Creates the table and its unhooked ledger chain."""


@dataclass(frozen=True, slots=True)
class DeleteTable:
    pass


@dataclass(frozen=True, slots=True)
class WakeTable:
    """Takes the dormant flag off."""


@dataclass(frozen=True, slots=True)
class AddSet:
    """Creates a set or map. Small sets and class maps come with their elements; an arming set and
    a registered map come empty (`Arm` and `Load` fill them).
    """

    container: Container


@dataclass(frozen=True, slots=True)
class DeleteSet:
    name: str


@dataclass(frozen=True, slots=True)
class PutElements:
    """Adds the target's elements to the set or map of its name, which has others already."""

    target: SmallSet | ClassMap


@dataclass(frozen=True, slots=True)
class TakeElements:
    """Takes the target's elements out of the set or map of its name, whatever they lead to."""

    target: SmallSet | ClassMap


@dataclass(frozen=True, slots=True)
class Load:
    """Adds the stage's elements to its registered map; with `flush`, in place of all there is."""

    target: Bulk
    flush: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A delta for the registered map `target`, which exists and holds `target.stage` afterwards.

    `removed` and `added` are stages of the same family and length whose keys leave or arrive. A key
    whose class changes is in both.
    """

    target: Bulk
    removed: Bulk
    added: Bulk


@dataclass(frozen=True, slots=True)
class Arm:
    """Arms a window for `target.timeout_ns(now)` as of the moment of sending.

    `present` are the families whose elements are there already and are replaced (deleted and
    added in the one transaction: kernels before 6.12 do not update a timeout on re-adding).
    """

    target: ArmingSet
    present: frozenset[Family] = frozenset()


@dataclass(frozen=True, slots=True)
class AddCounter:
    name: str


@dataclass(frozen=True, slots=True)
class DeleteCounter:
    name: str


@dataclass(frozen=True, slots=True)
class AddChain:
    """Creates a chain without rules."""

    name: str
    hook: Hook | None


@dataclass(frozen=True, slots=True)
class SetRules:
    """The chain's rules in place of all there are; `flush` when there may be some."""

    chain: Chain
    flush: bool


@dataclass(frozen=True, slots=True)
class FlushChain:
    name: str
    # Of a chain without a hook that goes: whom an element still leads there must find its rules.
    going: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class DeleteChain:
    name: str


@dataclass(frozen=True, slots=True)
class WriteLedger:
    """The ledger in place of the old one: (map name, digest) pairs, sorted."""

    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AddShaper:
    """Puts our HTB on a device, in place of the default qdisc or of an older one of ours."""

    shaper: Shaper


@dataclass(frozen=True, slots=True)
class DeleteShaper:
    device: str


@dataclass(frozen=True, slots=True)
class ClearParking:
    """Takes away what a killed daemon left of the shelter for packets."""


Operation = (
    CreateTable
    | DeleteTable
    | WakeTable
    | AddSet
    | DeleteSet
    | PutElements
    | TakeElements
    | Load
    | Change
    | Arm
    | AddCounter
    | DeleteCounter
    | AddChain
    | SetRules
    | FlushChain
    | DeleteChain
    | WriteLedger
    | AddShaper
    | DeleteShaper
    | ClearParking
)
Shaping = AddShaper | DeleteShaper | ClearParking


@dataclass(frozen=True, slots=True)
class Transaction:
    """Operations in an order the kernel accepts, planned against `generation`.

    Everything but shapers goes as one netlink batch, or a few in which no packet on its way is lost
    (`kernel.steps`). `AddShaper`s run before them and `DeleteShaper`s after, so that no packet is
    classified to a class that is not there; both shelter what leaves by the device meanwhile, with
    transactions of their own.
    """

    generation: int
    operations: tuple[Operation, ...]

    @property
    def shaping(self) -> tuple[Shaping, ...]:
        return tuple(op for op in self.operations if isinstance(op, Shaping))

    @property
    def netfilter(self) -> tuple[Operation, ...]:
        return tuple(op for op in self.operations if not isinstance(op, Shaping))


class Kernel(Protocol):
    """The kernel, real or fake. One contract suite runs against both.

    All raise `KernelError` with the errno; after an error nothing of the transaction is in force,
    apart from an `AddShaper` (idle without rules) that the next diff takes away, and unless only
    that was refused to go which nothing asks any more: it goes last. `ports`: the
    netlink ports by which it changes links and qdiscs; events name their maker so.
    """

    ports: frozenset[int]

    def read(self) -> KernelState:
        """A consistent view of what is ours, and of the devices."""

    def generation(self) -> int:
        """The ruleset's generation id, of all tables of the namespace."""

    def commit(self, transaction: Transaction, now_ns: int) -> None:
        """Applies it whole, or raises: ESTALE-like `errno.ERESTART` when the generation moved."""

    def made(self) -> tuple[int, ...]:
        """The generations that the last `commit` made, also when it raised."""

    def counters(self) -> dict[str, tuple[int, int]]:
        """Name → (packets, bytes) of our named counters; empty when there is no table."""

    def elements(self, map_name: str, keys: list[bytes]) -> dict[bytes, int]:
        """Class ids that a registered map holds for packed keys (single look-ups, no dump)."""

    def close(self) -> None: ...
