"""Operations → messages of one nf_tables transaction. The other half of `decode`.

In: operations of `ruleset.transaction`, and the instant of sending for what has a timeout. Out:
messages. The table is always ours: no operation can name another.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from enforcer.kernel import elements
from enforcer.kernel import numbers as n
from enforcer.kernel.series import Series
from enforcer.kernel.wire import (
    APPEND,
    CREATE,
    EXCLUSIVE,
    Message,
    attribute,
    be32,
    be64,
    nested,
    nftables,
    text,
)
from enforcer.policy.prefix import FAMILIES, Family
from enforcer.ruleset import transaction as t
from enforcer.ruleset.lower import GOTO, JUMP, RETURN, Expr, lower_rule
from enforcer.ruleset.vocabulary import (
    KEY_BYTES,
    LEDGER_CHAIN,
    NFPROTO,
    TABLE,
    ArmingSet,
    ClassMap,
    Container,
    FrontSet,
    Hook,
    KeyType,
    RegisteredMap,
    SmallSet,
)

# Shorter than this is not armed: the kernel counts jiffies (10 ms at HZ=100), and a timeout that
# rounds to zero would mean "for ever".
SHORTEST_ARMING_MS = 20
_NS_PER_MS = 1_000_000

# --- expressions --------------------------------------------------------------------------------


def _verdict(code: int, chain: str | None) -> bytes:
    inner = [be32(n.VERDICT_CODE, code)]
    if chain is not None:
        inner.append(text(n.VERDICT_CHAIN, chain))
    return nested(n.DATA_VERDICT, *inner)


def _value(number: int, data: bytes) -> bytes:
    return nested(number, attribute(n.DATA_VALUE, data))


def _numbers(*values: int | None) -> tuple[bytes, ...]:
    """Attributes 1, 2, … in order; None leaves its number out."""
    return tuple(be32(number, v) for number, v in enumerate(values, 1) if v is not None)


# The attributes of each form of `lower`, in the order of its expression's own enumeration.
_EXPRESSIONS: dict[str, tuple[str, Callable[..., tuple[bytes, ...]]]] = {
    "meta": ("meta", lambda key, dreg: _numbers(dreg, key)),
    "meta_set": ("meta", lambda key, sreg: _numbers(None, key, sreg)),
    "payload": ("payload", _numbers),
    "payload_set": (
        "payload",
        lambda sreg, base, offset, length, csum, csum_offset: _numbers(
            None, base, offset, length, sreg, csum, csum_offset
        ),
    ),
    "bitwise": (
        "bitwise",
        lambda sreg, dreg, length, mask, xor: (
            *_numbers(sreg, dreg, length),
            _value(4, mask),
            _value(5, xor),
        ),
    ),
    "cmp": ("cmp", lambda sreg, op, data: (*_numbers(sreg, op), _value(3, data))),
    "lookup": ("lookup", lambda name, sreg: (text(1, name), be32(2, sreg))),
    "lookup_map": (
        "lookup",
        lambda name, sreg, dreg: (text(1, name), be32(2, sreg), be32(3, dreg)),
    ),
    "immediate": ("immediate", lambda dreg, data: (be32(1, dreg), _value(2, data))),
    "verdict": (
        "immediate",
        lambda code, chain: (be32(1, 0), nested(2, _verdict(code, chain))),
    ),
    "limit": (
        "limit",
        lambda rate, burst: (
            be64(n.Limit.RATE, rate),
            be64(n.Limit.UNIT, n.A_SECOND),
            be32(n.Limit.BURST, burst),
            be32(n.Limit.TYPE, n.LIMIT_PACKETS),
        ),
    ),
    "log": (
        "log",
        lambda group, prefix, snaplen: (
            attribute(n.Log.GROUP, struct.pack(">H", group)),
            text(n.Log.PREFIX, prefix),
            be32(n.Log.SNAPLEN, snaplen),
        ),
    ),
    "counter": ("objref", lambda name: (be32(1, n.OBJECT_COUNTER), text(2, name))),
}


@lru_cache(maxsize=4096)
def expression(expr: Expr) -> bytes:
    """One expression of `lower` as an entry of a rule's list."""
    name, pack = _EXPRESSIONS[expr[0]]
    return nested(n.LIST_ENTRY, text(1, name), nested(2, *pack(*expr[1:])))


# --- operations ---------------------------------------------------------------------------------


def _rule(chain: str, expressions: tuple[Expr, ...], userdata: bytes = b"") -> Message:
    extra = [attribute(n.Rule.USERDATA, userdata)] if userdata else []
    return nftables(
        n.Msg.NEW_RULE,
        CREATE | APPEND,
        text(n.Rule.TABLE, TABLE),
        text(n.Rule.CHAIN, chain),
        nested(n.Rule.EXPRESSIONS, *map(expression, expressions)),
        *extra,
    )


def _flush_rules(chain: str) -> Message:
    names = text(n.Rule.TABLE, TABLE), text(n.Rule.CHAIN, chain)
    return nftables(n.Msg.DEL_RULE, 0, *names)


def _named(kind: n.Msg, name_attribute: int, name: str, *more: bytes) -> Message:
    # The table's name is attribute 1 of chains, sets, elements and objects alike.
    return nftables(kind, 0, text(1, TABLE), text(name_attribute, name), *more)


def _create_table(_: t.CreateTable, now_ns: int) -> list[Message]:
    ours = attribute(n.Table.USERDATA, n.comment(n.OUR_COMMENT))
    table = nftables(n.Msg.NEW_TABLE, CREATE | EXCLUSIVE, text(n.Table.NAME, TABLE), ours)
    return [table, *_add_chain(t.AddChain(LEDGER_CHAIN, None), now_ns)]


def _add_chain(operation: t.AddChain, now_ns: int, *, exclusive: bool = True) -> list[Message]:
    hook = [] if operation.hook is None else _hook(operation.hook)
    names = text(n.Chain.TABLE, TABLE), text(n.Chain.NAME, operation.name)
    flags = CREATE | EXCLUSIVE if exclusive else CREATE
    return [nftables(n.Msg.NEW_CHAIN, flags, *names, *hook)]


def _hook(hook: Hook) -> list[bytes]:
    place = [
        be32(n.HookAttr.NUMBER, n.HOOKS[hook.name]),
        be32(n.HookAttr.PRIORITY, hook.priority),
    ]
    if hook.device is not None:
        place.append(text(n.HookAttr.DEVICE, hook.device))
    return [
        nested(n.Chain.HOOK, *place),
        be32(n.Chain.POLICY, n.POLICY_ACCEPT),
        text(n.Chain.TYPE, "filter"),
    ]


def _set_rules(operation: t.SetRules, now_ns: int) -> list[Message]:
    chain = operation.chain
    flush = [_flush_rules(chain.name)] if operation.flush else []
    return flush + [_rule(chain.name, lower_rule(rule)) for rule in chain.rules]


def _write_ledger(operation: t.WriteLedger, now_ns: int) -> list[Message]:
    # A digest is the comment of a rule that nothing reaches: it can be replaced in the same
    # transaction as the elements it names, and `nft list` shows it.
    nothing: tuple[Expr, ...] = (("verdict", RETURN, None),)
    # The chain again, in case somebody has deleted just it.
    made = _add_chain(t.AddChain(LEDGER_CHAIN, None), now_ns, exclusive=False)
    return [*made, _flush_rules(LEDGER_CHAIN)] + [
        _rule(LEDGER_CHAIN, nothing, n.comment(f"{name} {digest}"))
        for name, digest in operation.entries
    ]


def _container_shape(container: Container) -> tuple[int, KeyType, tuple[bytes, ...]]:
    """(flags, key type, attributes of the data and of the byte order)."""
    match container:
        case SmallSet(key=key):
            return 0, key, ()
        case ClassMap():
            verdicts = be32(n.Set.DATA_TYPE, n.TYPE_VERDICT), be32(n.Set.DATA_LENGTH, 0)
            order = attribute(n.Set.USERDATA, n.KEY_IN_HOST_ORDER)
            return n.SET_MAP, "classid", (*verdicts, order)
        case ArmingSet():
            return n.SET_TIMEOUT, "nf_proto", ()
        case FrontSet():
            return 0, "half", (attribute(n.Set.USERDATA, n.KEY_IS_HALF_ADDRESS),)
        case RegisteredMap():
            kind = be32(n.Set.DATA_TYPE, n.KEY_TYPES["classid"])
            order = attribute(n.Set.USERDATA, n.DATA_IN_HOST_ORDER)
            return n.SET_MAP, container.key, (kind, be32(n.Set.DATA_LENGTH, 4), order)


def _add_set(operation: t.AddSet, now_ns: int) -> list[Message]:
    container = operation.container
    flags, key, data = _container_shape(container)
    made = nftables(
        n.Msg.NEW_SET,
        CREATE | EXCLUSIVE,
        text(n.Set.TABLE, TABLE),
        text(n.Set.NAME, container.name),
        be32(n.Set.FLAGS, flags),
        be32(n.Set.KEY_TYPE, n.KEY_TYPES[key]),
        be32(n.Set.KEY_LENGTH, KEY_BYTES[key]),
        *data,
        # The declared size brings the fast hash (nft_hash_fast_estimate).
        nested(n.Set.DESCRIPTION, be32(n.SET_DESCRIPTION_SIZE, container.size)),
        # Required, but we refer to sets by name: the newest of a name is found first.
        be32(n.Set.ID, 1),
    )
    if isinstance(container, SmallSet | ClassMap):
        return [made, *_put_elements(container)]
    return [made]


def _put_elements(target: SmallSet | ClassMap) -> list[Message]:
    if isinstance(target, SmallSet):
        entries = [_entry(key_bytes) for key_bytes in target.elements]
    else:
        code = GOTO if target.verdict == "goto" else JUMP
        entries = [
            _entry(struct.pack("=I", class_id), nested(n.Element.DATA, _verdict(code, chain)))
            for class_id, chain in target.elements
        ]
    return _small_elements(n.Msg.NEW_ELEMENT, target.name, entries)


def _take_elements(target: SmallSet | ClassMap) -> list[Message]:
    entries = [
        _entry(key if isinstance(key, bytes) else struct.pack("=I", key)) for key in target.keys
    ]
    return _small_elements(n.Msg.DEL_ELEMENT, target.name, entries)


def _entry(key: bytes, *more: bytes) -> bytes:
    return nested(n.LIST_ENTRY, _value(n.Element.KEY, key), *more)


_ENTRIES_PER_MESSAGE = 500


def _small_elements(kind: n.Msg, name: str, entries: list[bytes]) -> list[Message]:
    flags = CREATE if kind == n.Msg.NEW_ELEMENT else 0
    names = text(n.Elements.TABLE, TABLE), text(n.Elements.SET, name)
    return [
        nftables(kind, flags, *names, nested(n.Elements.LIST, *entries[at:][:_ENTRIES_PER_MESSAGE]))
        for at in range(0, len(entries), _ENTRIES_PER_MESSAGE)
    ]


def _arm(operation: t.Arm, now_ns: int) -> list[Message]:
    target = operation.target
    # Rounded down, never up: the kernel must not outlast the window's end.
    timeout_ms = target.timeout_ns(now_ns) // _NS_PER_MS
    armed = timeout_ms >= SHORTEST_ARMING_MS
    timeout = be64(n.Element.TIMEOUT, max(timeout_ms, SHORTEST_ARMING_MS))

    def change(kind: n.Msg, families: list[Family]) -> list[Message]:
        more = (timeout,) if kind == n.Msg.NEW_ELEMENT else ()
        entries = [_entry(bytes([NFPROTO[family]]), *more) for family in families]
        return _small_elements(kind, target.name, entries)

    # Kernels before 6.12 keep the old timeout of an element that is added again, so it is deleted
    # first; and it may have expired since it was read, so it is added before it is deleted.
    present = sorted(operation.present)
    renew = change(n.Msg.NEW_ELEMENT, present) + change(n.Msg.DEL_ELEMENT, present)
    return renew + (change(n.Msg.NEW_ELEMENT, list(FAMILIES)) if armed else [])


def _add_counter(operation: t.AddCounter, now_ns: int) -> list[Message]:
    names = text(n.Object.TABLE, TABLE), text(n.Object.NAME, operation.name)
    kind = be32(n.Object.TYPE, n.OBJECT_COUNTER)
    return [nftables(n.Msg.NEW_OBJECT, CREATE | EXCLUSIVE, *names, kind, nested(n.Object.DATA))]


_ENCODE: dict[type, Callable[[Any, int], list[Message]]] = {
    t.CreateTable: _create_table,
    t.DeleteTable: lambda op, _: [nftables(n.Msg.DEL_TABLE, 0, text(n.Table.NAME, TABLE))],
    t.WakeTable: lambda op, _: [
        nftables(n.Msg.NEW_TABLE, 0, text(n.Table.NAME, TABLE), be32(n.Table.FLAGS, 0))
    ],
    t.AddSet: _add_set,
    t.DeleteSet: lambda op, _: [_named(n.Msg.DEL_SET, n.Set.NAME, op.name)],
    t.PutElements: lambda op, _: _put_elements(op.target),
    t.TakeElements: lambda op, _: _take_elements(op.target),
    t.Arm: _arm,
    t.AddCounter: _add_counter,
    t.DeleteCounter: lambda op, _: [
        _named(n.Msg.DEL_OBJECT, n.Object.NAME, op.name, be32(n.Object.TYPE, n.OBJECT_COUNTER))
    ],
    t.AddChain: _add_chain,
    t.SetRules: _set_rules,
    t.FlushChain: lambda op, _: [_flush_rules(op.name)],
    t.DeleteChain: lambda op, _: [_named(n.Msg.DEL_CHAIN, n.Chain.NAME, op.name)],
    t.WriteLedger: _write_ledger,
}


def encode(operation: t.Operation, now_ns: int) -> list[Message]:
    """The messages of one operation that is neither shaping nor bulk."""
    return _ENCODE[type(operation)](operation, now_ns)


def encode_bulk(operation: t.Load | t.Change) -> list[Message | Series]:
    """The messages of a load or a delta. They go last in the batch and depend on no instant."""
    name = operation.target.name
    if isinstance(operation, t.Load):
        # Without a list the kernel takes out all elements of the set.
        flush = _named(n.Msg.DEL_ELEMENT, n.Elements.SET, name)
        return [*[flush] * operation.flush, *elements.add_elements(name, operation.target)]
    return [
        *elements.delete_elements(name, operation.removed),
        *elements.add_elements(name, operation.added),
    ]
