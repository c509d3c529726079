"""The kernel in memory: copies, applies, swaps. For tests, `plan` against nothing, and the lab.

In: transactions and a clock. Out: the same states and the same refusals as the real kernel, held to
it by one contract suite (tests/kernel/test_kernel_contract.py). Never touches a socket.
"""

from __future__ import annotations

import copy
import errno
from collections.abc import Callable, Iterable
from dataclasses import replace

from enforcer.kernel.fake_table import FakeTable, Situation, refuse
from enforcer.kernel.remedies import kernel_error, label
from enforcer.kernel.steps import apart
from enforcer.ruleset import transaction as t
from enforcer.ruleset.vocabulary import LEDGER_CHAIN, Shaper


class FakeKernel:
    """A `Kernel` in memory. `clock` gives nanoseconds since the epoch; arming ends by it.

    The rest of the public face is for tests: what other programs, devices and packets do.
    """

    ports: frozenset[int] = frozenset()

    def __init__(self, clock: Callable[[], int], devices: Iterable[str] = ()) -> None:
        self._clock = clock
        self._generation = 1
        self._table: FakeTable | None = None
        self._shapers: dict[str, Shaper] = {}
        self._faults: list[tuple[type, int]] = []
        self._call_fault: tuple[int, int, bool] | None = None
        # How often the kernel was asked or told anything, since a test set it to 0.
        self.calls = 0
        self.devices = set(devices)
        self.foreign_qdiscs: set[str] = set()
        # Left by a daemon that was killed while it exchanged a root qdisc.
        self.parking = False
        self._made: tuple[int, ...] = ()
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

    def fail_call(self, call: int, number: int, *, after: bool = False) -> None:
        """The call after `call` others from now on fails with errno `number`; with `after` only its
        answer is lost, and what it was to do is done.
        """
        self.calls, self._call_fault = 0, (call, number, after)

    def edit(self, change: Callable[[FakeTable | None], None] | None = None) -> None:
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
        self._table = FakeTable(foreign=why)
        self._generation += 1

    # --- Kernel ---------------------------------------------------------------------------------

    def read(self) -> t.KernelState:
        self._call("read")
        table, devices = self._table, frozenset(self.devices)
        bare = t.KernelState(
            self._generation,
            exists=table is not None,
            foreign=None if table is None else table.foreign,
            shapers=frozenset(s for d, s in self._shapers.items() if d in devices),
            foreign_qdiscs=frozenset(self.foreign_qdiscs & devices),
            devices=devices,
            parking=self.parking,
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
            sets={name: each.state(self._clock()) for name, each in table.sets.items()},
            counters=frozenset(table.counters),
            ledger=dict(table.ledger),
        )

    def generation(self) -> int:
        self._call("read")
        return self._generation

    def commit(self, transaction: t.Transaction, now_ns: int) -> None:
        self._made = ()
        lost = self._call("commit")
        self._commit(transaction, now_ns)
        if lost:
            raise kernel_error("commit", lost)

    def _commit(self, transaction: t.Transaction, now_ns: int) -> None:
        if transaction.generation != self._generation and transaction.netfilter:
            raise kernel_error("commit", errno.ERESTART)
        shapers = dict(self._shapers)
        for shaping in (op for op in transaction.shaping if isinstance(op, t.AddShaper)):
            self._shape(shaping, shapers)
        # As in the kernel, an added shaper stays when the batch after it is refused.
        self._shapers = dict(shapers)
        for part in apart(transaction.netfilter):
            table = copy.deepcopy(self._table)
            if table is not None:
                table.woken = False
            for operation in part.operations:
                try:
                    self._fault(operation)
                    table = self._apply(table, operation, now_ns)
                except OSError as error:
                    raise kernel_error(label(operation), error.errno or 0) from None
            self._table, self._generation = table, self._generation + 1
            self._made = (*self._made, self._generation)
        for removal in (op for op in transaction.shaping if isinstance(op, t.DeleteShaper)):
            self._shape(removal, shapers)
        self._shapers = shapers
        if t.ClearParking() in transaction.shaping:
            self.parking = False
        self.transactions.append(transaction)

    def made(self) -> tuple[int, ...]:
        return self._made

    def counters(self) -> dict[str, tuple[int, int]]:
        self._call("counters")
        ours = self._table is not None and self._table.foreign is None
        return dict(self._table.counters) if ours and self._table is not None else {}

    def elements(self, map_name: str, keys: list[bytes]) -> dict[bytes, int]:
        self._call(f"elements of {map_name}")
        if self._table is None or map_name not in self._table.sets:
            raise kernel_error(f"elements of {map_name}", errno.ENOENT)
        held = self._table.sets[map_name].elements
        return {key: held[key] for key in keys if key in held}

    def close(self) -> None:
        pass

    # --- how it applies -------------------------------------------------------------------------

    def _call(self, operation: str) -> int:
        """Counts a call and fails it in its turn; the errno when only its answer is lost."""
        self.calls += 1
        if self._call_fault is None or self._call_fault[0] != self.calls - 1:
            return 0
        _, number, after = self._call_fault
        self._call_fault = None
        if after:
            return number
        raise kernel_error(operation, number)

    def _fault(self, operation: t.Operation) -> None:
        for index, (kind, number) in enumerate(self._faults):
            if isinstance(operation, kind):
                del self._faults[index]
                raise OSError(number, "injected")

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

    def _apply(
        self, table: FakeTable | None, operation: t.Operation, now_ns: int
    ) -> FakeTable | None:
        if isinstance(operation, t.CreateTable):
            refuse(table is not None, errno.EEXIST)
            return FakeTable()
        if table is None:
            raise OSError(errno.ENOENT, "no table")
        refuse(table.foreign is not None, errno.EBUSY)
        if isinstance(operation, t.DeleteTable):
            return None
        table.apply(operation, Situation(now_ns, self._clock(), self.devices))
        return table
