"""The real kernel: `Kernel` over nfnetlink and rtnetlink.

In: transactions. Out: states, counters and elements as the kernel holds them. Touches the table
`inet enforcer` when it is ours, HTBs with our handle, the shelter of `parking`, and nothing else.
Never dumps a registered map's elements: the ledger names what is in them.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from enforcer.errors import KernelError
from enforcer.kernel import decode, elements, shaping
from enforcer.kernel import numbers as n
from enforcer.kernel.encode import encode
from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Netlink, count
from enforcer.kernel.parking import DEVICES, Parking
from enforcer.kernel.remedies import kernel_error, label, telling
from enforcer.kernel.steps import Step, in_steps
from enforcer.kernel.underway import wait_for_packets
from enforcer.kernel.wire import MALFORMED, Message, Reply, nftables, number32, string, text
from enforcer.ruleset import transaction as t
from enforcer.ruleset.lower import Expr
from enforcer.ruleset.vocabulary import LEDGER_CHAIN, TABLE

_READ_ATTEMPTS = 10
# ENOENT, ENODEV: the table, a set or a device went away while we read.
_TORN = {errno.EINTR, errno.ENOENT, errno.ENODEV, errno.ENOBUFS, errno.EBADMSG}
_GETS_PER_SEND = 200
COPY_NS_PER_BYTE = 10
_MAY_BE_NOTHING = {n.Msg.NEW_TABLE, n.Msg.DEL_RULE, n.Msg.NEW_ELEMENT, n.Msg.DEL_ELEMENT}


class NftKernel:
    """A `Kernel` on the netlink sockets of one network namespace (None: the one we are in).

    Used by one thread. Raises KernelError when the kernel lacks nf_tables.
    """

    # The last of the generations that our last commit made, and what was read of it.
    _newest: int | None = None
    _of_newest: t.KernelState | None = None

    def __init__(self, namespace: str | None = None) -> None:
        self._made: list[int] = []
        with telling("open netlink"), in_namespace(namespace):
            self._netfilter = Netlink(NETLINK_NETFILTER)
            self._route = Netlink(NETLINK_ROUTE)
        self.ports = frozenset({self._route.port})

    def close(self) -> None:
        self._netfilter.close()
        self._route.close()

    # --- reading --------------------------------------------------------------------------------

    def generation(self) -> int:
        with telling("read"):
            (reply,) = self._netfilter.request(nftables(n.Msg.GET_GENERATION, 0))
            return decode.generation(decode.body(reply))[0]

    def read(self) -> t.KernelState:
        # The kernel does not flag torn element dumps: only an unmoved generation proves a read.
        failed = errno.EINTR
        for _ in range(_READ_ATTEMPTS):
            before = self.generation()
            try:
                with telling("read"):
                    state = self._read_links(self._read_rules(before))
            except KernelError as error:
                self._of_newest = None
                if error.errno not in _TORN:
                    raise
                failed = errno.EBADMSG if error.errno == errno.EBADMSG else errno.EINTR
                continue
            if self.generation() == before:
                self._of_newest = state if before == self._newest and _stays(state) else None
                return state
        raise kernel_error("read", failed)

    def _read_rules(self, generation: int) -> t.KernelState:
        """What is in our table, without devices. After a commit of ours it is read in full once,
        and again when the generation has moved; until then only timeouts run.

        Only a generation of our own making counts: the kernel raises the number a moment before it
        puts a commit in force, so that of another program may be read with the rules before it.
        """
        seen = self._of_newest
        if seen is None or seen.generation != generation:
            return self._read_table(t.KernelState(generation))
        left = {
            name: replace(held, elements=self._held(name, held.kind))
            for name, held in seen.sets.items()
            if held.kind == "armed"
        }
        return replace(seen, sets={**seen.sets, **left})

    def _table_attributes(self) -> decode.Attributes | None:
        try:
            (reply,) = self._netfilter.request(
                nftables(n.Msg.GET_TABLE, 0, text(n.Table.NAME, TABLE))
            )
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return decode.body(reply)

    def _read_table(self, state: t.KernelState) -> t.KernelState:
        table = self._table_attributes()
        if table is None:
            return state
        state = replace(state, exists=True, foreign=_foreign(table))
        if state.foreign is not None:
            return state
        rules: dict[str, list[tuple[Expr, ...]]] = {}
        ledger = {}
        for attrs in self._dump(n.Msg.GET_RULE):
            chain = string(attrs[n.Rule.CHAIN])
            if chain != LEDGER_CHAIN:
                rules.setdefault(chain, []).append(decode.rule(attrs))
            elif (entry := decode.ledger_entry(attrs)) is not None:
                ledger[entry[0]] = entry[1]
        chains = {
            string(attrs[n.Chain.NAME]): decode.hook(attrs) for attrs in self._dump(n.Msg.GET_CHAIN)
        }
        return replace(
            state,
            dormant=bool(number32(table[n.Table.FLAGS]) & n.FLAG_DORMANT),
            chains={
                name: t.ChainState(hook, tuple(rules.get(name, ())))
                for name, hook in chains.items()
                if name != LEDGER_CHAIN
            },
            sets=dict(map(self._read_set, self._dump(n.Msg.GET_SET))),
            counters=frozenset(self._read_counters()),
            ledger=ledger,
        )

    def _dump(self, kind: n.Msg, *more: bytes) -> list[decode.Attributes]:
        """The attributes of all objects of our table."""
        replies = self._netfilter.dump(nftables(kind, 0, text(1, TABLE), *more))
        found = map(decode.in_our_table, replies)
        return [attrs for attrs in found if attrs is not None]

    def _read_set(self, attrs: decode.Attributes) -> tuple[str, t.SetState]:
        name = string(attrs[n.Set.NAME])
        kind, size = decode.set_shape(attrs)
        count = decode.set_count(attrs) if kind in ("registered", "front") else None
        held = self._held(name, kind) if kind in decode.ELEMENT else frozenset()
        return name, t.SetState(kind, size, held, count)

    def _held(self, name: str, kind: str) -> frozenset[object]:
        """The elements of a set or map of this kind, all of them."""
        element = decode.ELEMENT[kind]
        dumped = self._dump(n.Msg.GET_ELEMENT, text(n.Elements.SET, name))
        return frozenset(element(entry) for part in dumped for entry in decode.entries(part))

    def _read_counters(self) -> dict[str, tuple[int, int]]:
        return {
            string(attrs[n.Object.NAME]): decode.counter(attrs)
            for attrs in self._dump(n.Msg.GET_OBJECT)
            if number32(attrs[n.Object.TYPE]) == n.OBJECT_COUNTER
        }

    def _read_links(self, state: t.KernelState) -> t.KernelState:
        everything = shaping.read_devices(self._route)
        devices = {at: name for at, name in everything.items() if name not in DEVICES}
        roots = [root for root in shaping.read_roots(self._route) if root.device_index in devices]
        return replace(
            state,
            devices=frozenset(devices.values()),
            shapers=frozenset(
                shaping.read_shaper(self._route, root, devices[root.device_index])
                for root in roots
                if root.ours
            ),
            foreign_qdiscs=frozenset(devices[root.device_index] for root in roots if root.foreign),
            parking=len(devices) < len(everything),
        )

    def counters(self) -> dict[str, tuple[int, int]]:
        try:
            with telling("counters"):
                table = self._table_attributes()
                if table is None or _foreign(table) is not None:
                    return {}
                return self._read_counters()
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return {}
            raise

    def elements(self, map_name: str, keys: list[bytes]) -> dict[bytes, int]:
        found = {}
        for at in range(0, len(keys), _GETS_PER_SEND):
            asked = keys[at : at + _GETS_PER_SEND]
            requests = [elements.get_element(map_name, key) for key in asked]
            replies = self._gets(map_name, requests)
            with telling(f"elements of {map_name}"):
                for key, reply in zip(asked, replies, strict=True):
                    for entry in decode.entries(decode.body(reply)) if reply.error is None else ():
                        found[key] = decode.class_of(entry)
        return found

    def _gets(self, map_name: str, requests: list[Message]) -> list[Reply]:
        operation = f"elements of {map_name}"
        with telling(operation):
            replies = self._netfilter.gets(requests)
            missing = any(reply.error == errno.ENOENT for reply in replies)
            if missing:
                # A missing element and a missing map have the same errno: ask for the map itself.
                names = text(n.Set.TABLE, TABLE), text(n.Set.NAME, map_name)
                self._netfilter.request(nftables(n.Msg.GET_SET, 0, *names))
        for reply in replies:
            if reply.error not in (None, errno.ENOENT):
                raise kernel_error(operation, reply.error or errno.EIO)
        return replies

    # --- changing -------------------------------------------------------------------------------

    def commit(self, transaction: t.Transaction, now_ns: int) -> None:
        started_ns = time.monotonic_ns() - now_ns
        self._newest = self._of_newest = None
        self._made = []
        devices: Mapping[str, int] = {}
        with telling("commit"):
            if transaction.shaping or _ingress(transaction):
                found = shaping.read_devices(self._route)
                devices = {name: index for index, name in found.items()}
            _refuse_missing_devices(transaction, devices)
            if transaction.netfilter:
                self._refuse_stale_or_foreign(transaction)
            parking = Parking(self._netfilter, self._route, self._made)
            try:
                self._apply(transaction, devices, parking, started_ns)
            finally:
                # What stays of it the next read tells of.
                with suppress(OSError, *MALFORMED):
                    parking.close()
            # Nobody else's transaction came between when the kernel is at this number.
            if self._made:
                self._newest = _after(transaction.generation, len(self._made))
        self._verify(transaction)

    def _apply(
        self,
        transaction: t.Transaction,
        devices: Mapping[str, int],
        parking: Parking,
        started_ns: int,
    ) -> None:
        if t.ClearParking() in transaction.shaping:
            parking.clear()
        for added in (op for op in transaction.shaping if isinstance(op, t.AddShaper)):
            index = devices[added.shaper.device]
            shaping.put(self._route, added.shaper, index, label(added), parking.parked)
        if transaction.netfilter:
            # That of parking, and of nobody else.
            generation = _after(transaction.generation, len(self._made))
            self._commit_netfilter(replace(transaction, generation=generation), started_ns)
        for removed in (op for op in transaction.shaping if isinstance(op, t.DeleteShaper)):
            # A device that is gone took its qdisc along.
            if (at := devices.get(removed.device)) is not None:
                shaping.remove(self._route, removed.device, at, parking.parked)

    def made(self) -> tuple[int, ...]:
        return tuple(self._made)

    def _refuse_stale_or_foreign(self, transaction: t.Transaction) -> None:
        # Both are settled by the batch itself but for the foreign table; the generation in the
        # batch keeps this answer true until it is applied.
        if self.generation() != transaction.generation:
            raise kernel_error("commit", errno.ERESTART)
        table = self._table_attributes()
        if table is not None and (why := _foreign(table)) is not None:
            raise kernel_error("commit", errno.EBUSY, why)

    def _commit_netfilter(self, transaction: t.Transaction, started_ns: int) -> None:
        plan = in_steps(transaction.netfilter)
        generation, done = transaction.generation, 0
        try:
            for done, step in enumerate(plan.steps):
                if 0 < done <= plan.filling:
                    # What others commit meanwhile holds no load up: the look behind it meets it.
                    generation = self.generation()
                if step.waits:
                    wait_for_packets()
                generation = self._send(generation, step, started_ns)
        except BaseException:
            # One by one, for somebody else may have taken one of them.
            for operation in plan.undo if 0 < done <= plan.filling else ():
                with suppress(OSError, KernelError):
                    self._send(self.generation(), Step((operation,), ()), started_ns)
            raise

    def _send(self, generation: int, step: Step, started_ns: int) -> int:
        """One batch, and what became of it; the generation that it leaves."""
        owners: list[t.Operation] = []
        kinds = {part.nft_kind for _, part in step.bulk}

        def small_messages(bulk_bytes: int) -> list[Message]:
            # An arming must be true when the kernel reads it. The bulk comes behind it, but is
            # copied into the kernel before: 4.5 ns a byte measured, and rather early than late.
            now_ns = time.monotonic_ns() - started_ns + COPY_NS_PER_BYTE * bulk_bytes
            owned = [(op, message) for op in step.small for message in encode(op, now_ns)]
            owners.extend(op for op, _ in owned)
            kinds.update(message.nft_kind for _, message in owned)
            return [message for _, message in owned]

        bulk = [part for _, part in step.bulk]
        answers = self._netfilter.batch(generation, small_messages, bulk)
        owners.extend(op for op, part in step.bulk for _ in range(count([part])))
        if answers[0]:
            raise kernel_error("commit", answers[0])
        for operation, answer in zip(owners, answers[1:], strict=True):
            if answer:
                raise kernel_error(label(operation), answer)
        # Answers may be lost, and all may be well without a commit: only the generation proves it,
        # unless there may have been nothing to do (a flush of nothing, an element that is there).
        if self.generation() == generation:
            if None in answers[1:]:
                raise kernel_error("commit", errno.ENOBUFS)
            if kinds - _MAY_BE_NOTHING:
                raise kernel_error("commit", errno.EIO)
            return generation
        # Applied to that very generation or not at all, and answered: it is complete.
        self._made.append(n.next_generation(generation))
        return self._made[-1]

    def _verify(self, transaction: t.Transaction) -> None:
        """Looks up a few elements of what was loaded: the kernel's answer, not ours. The only error
        after which the transaction is in force, and only our bug or the kernel's can cause it.
        """
        for operation in transaction.netfilter:
            if isinstance(operation, t.Load | t.Change):
                target = operation.target
                expected = dict(elements.pairs(elements.sample(target)))
                gone: set[bytes] = set()
                if isinstance(operation, t.Change):
                    expected |= dict(elements.pairs(elements.sample(operation.added)))
                    gone = elements.taken_out(operation)
                if self.elements(target.name, [*expected, *gone]) != expected:
                    raise kernel_error(label(operation), errno.EIO, "read back other elements")


def _after(generation: int, transactions: int) -> int:
    for _ in range(transactions):
        generation = n.next_generation(generation)
    return generation


def _foreign(table: decode.Attributes) -> str | None:
    """Why the table of our name is not ours, or None."""
    # Whatever it says of itself, nobody but its owner's socket may change such a table.
    if number32(table[n.Table.FLAGS]) & n.FLAG_OWNER:
        owner = number32(table[n.Table.OWNER]) if n.Table.OWNER in table else 0
        return f"the flag owner gives it to an open socket, that of process {owner or 'unknown'}"
    comment = n.comment_text(bytes(table.get(n.Table.USERDATA, b"")))
    if comment == n.OUR_COMMENT:
        return None
    return f"table inet {TABLE} does not carry the comment {n.OUR_COMMENT!r}"


def _stays(state: t.KernelState) -> bool:
    """Whether a table stays as it is while the generation does. Not when its owner's socket may
    close, nor with a chain on a device that may go: then the kernel takes out without counting.
    """
    on_device = any(c.hook is not None and c.hook.device for c in state.chains.values())
    return state.exists and state.foreign is None and not on_device


def _ingress(transaction: t.Transaction) -> list[tuple[t.AddChain, str]]:
    return [
        (op, op.hook.device)
        for op in transaction.netfilter
        if isinstance(op, t.AddChain) and op.hook is not None and op.hook.device is not None
    ]


def _refuse_missing_devices(transaction: t.Transaction, devices: Mapping[str, int]) -> None:
    # Kernels before 6.16 refuse a hook on a device that is not there, later ones accept it and
    # wait for the device: here both refuse.
    for operation, device in _ingress(transaction):
        if device not in devices:
            raise kernel_error(label(operation), errno.ENODEV, device)
    for added in transaction.shaping:
        if isinstance(added, t.AddShaper) and added.shaper.device not in devices:
            raise kernel_error(label(added), errno.ENODEV)
