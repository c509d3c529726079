"""Dumps → what the kernel holds, in the canonical forms of `ruleset.lower`.

In: bodies of replies (after their nfgenmsg). Out: names, states and expression tuples. Whatever we
never make becomes `("unknown", name, raw)` or the kind `foreign`, so that it never equals ours.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Any

from enforcer.kernel import numbers as n
from enforcer.kernel.elements import class_id
from enforcer.kernel.wire import (
    FAMILY_INET,
    Reply,
    attributes,
    each_attribute,
    number32,
    number64,
    signed32,
    string,
)
from enforcer.policy.prefix import Family
from enforcer.ruleset.lower import GOTO, JUMP, Expr
from enforcer.ruleset.vocabulary import KEY_BYTES, NFPROTO, TABLE, Hook, HookName, KeyType

Attributes = dict[int, memoryview]

_NFGENMSG = 4
_HOOK_NAMES: dict[int, HookName] = {number: name for name, number in n.HOOKS.items()}
_FAMILY_OF: dict[int, Family] = {number: family for family, number in NFPROTO.items()}
_KEY_NAMES: dict[int, KeyType] = {number: name for name, number in n.KEY_TYPES.items()}
_NS_PER_MS = 1_000_000


def body(reply: Reply) -> Attributes:
    return attributes(reply.body[_NFGENMSG:])


def in_our_table(reply: Reply) -> Attributes | None:
    """The attributes of an object of our table, or None: some kernels do not filter their dumps."""
    if reply.body[0] != FAMILY_INET:
        return None
    attrs = body(reply)
    # Attribute 1 names the table of chains, rules, sets, elements and objects alike.
    return attrs if string(attrs[1]) == TABLE else None


# --- expressions --------------------------------------------------------------------------------


def rule(attrs: Attributes) -> tuple[Expr, ...]:
    if n.Rule.EXPRESSIONS not in attrs:
        return ()
    return _expressions(bytes(attrs[n.Rule.EXPRESSIONS]))


@functools.lru_cache(maxsize=8192)
def _expressions(raw: bytes) -> tuple[Expr, ...]:
    """Most rules stay as they are from one read to the next: equal bytes are decoded once."""
    return tuple(expression(entry) for _, entry in each_attribute(memoryview(raw)))


def expression(entry: memoryview) -> Expr:
    """One entry of a rule's list, or `("unknown", name, raw)`."""
    outer = attributes(entry)
    name, raw = string(outer[1]), outer.get(2, memoryview(b""))
    try:
        return _EXPRESSIONS[name](attributes(raw))
    except (KeyError, _UnknownFormError, struct.error):
        return "unknown", name, bytes(raw)


class _UnknownFormError(Exception):
    """An expression that we know, in a form that we never make."""


def _only(attrs: Attributes, known: set[int], zero: tuple[int, ...] = ()) -> None:
    """Refuses attributes that would change the meaning; those of `zero` may stand there as 0."""
    for number, data in attrs.items():
        if number in known or (number in zero and not any(data)):
            continue
        raise _UnknownFormError


def _data(attrs: Attributes, number: int) -> bytes:
    return bytes(attributes(attrs[number])[n.DATA_VALUE])


def _meta(a: Attributes) -> Expr:
    _only(a, {1, 2, 3})
    if 3 in a:
        return "meta_set", number32(a[2]), number32(a[3])
    return "meta", number32(a[2]), number32(a[1])


def _payload(a: Attributes) -> Expr:
    base, offset, length = number32(a[2]), number32(a[3]), number32(a[4])
    if 5 in a:
        _only(a, {2, 3, 4, 5, 6, 7}, zero=(8,))
        return "payload_set", number32(a[5]), base, offset, length, number32(a[6]), number32(a[7])
    _only(a, {1, 2, 3, 4})
    return "payload", number32(a[1]), base, offset, length


def _bitwise(a: Attributes) -> Expr:
    _only(a, {1, 2, 3, 4, 5}, zero=(6,))
    return "bitwise", number32(a[1]), number32(a[2]), number32(a[3]), _data(a, 4), _data(a, 5)


def _cmp(a: Attributes) -> Expr:
    _only(a, {1, 2, 3})
    return "cmp", number32(a[1]), number32(a[2]), _data(a, 3)


def _lookup(a: Attributes) -> Expr:
    _only(a, {1, 2, 3}, zero=(4, 5))
    if 3 in a:
        return "lookup_map", string(a[1]), number32(a[2]), number32(a[3])
    return "lookup", string(a[1]), number32(a[2])


def _immediate(a: Attributes) -> Expr:
    _only(a, {1, 2})
    data = attributes(a[2])
    if n.DATA_VERDICT in data:
        return "verdict", *verdict(data[n.DATA_VERDICT])
    return "immediate", number32(a[1]), bytes(data[n.DATA_VALUE])


def verdict(data: memoryview) -> tuple[int, str | None]:
    """(code, chain) of a verdict; the chain is None for verdicts without one."""
    attrs = attributes(data)
    chain = attrs.get(n.VERDICT_CHAIN)
    return signed32(attrs[n.VERDICT_CODE]), None if chain is None else string(chain)


def _objref(a: Attributes) -> Expr:
    _only(a, {1, 2})
    if number32(a[1]) != n.OBJECT_COUNTER:
        raise _UnknownFormError
    return "counter", string(a[2])


def _limit(a: Attributes) -> Expr:
    _only(a, {n.Limit.RATE, n.Limit.UNIT, n.Limit.BURST}, zero=(n.Limit.TYPE, n.Limit.FLAGS))
    if number64(a[n.Limit.UNIT]) != n.A_SECOND:
        raise _UnknownFormError
    return "limit", number64(a[n.Limit.RATE]), number32(a[n.Limit.BURST])


def _log(a: Attributes) -> Expr:
    _only(a, {n.Log.GROUP, n.Log.PREFIX, n.Log.SNAPLEN})
    (group,) = struct.unpack(">H", a[n.Log.GROUP])
    return "log", group, string(a[n.Log.PREFIX]), number32(a[n.Log.SNAPLEN])


_EXPRESSIONS: dict[str, Callable[[Attributes], Expr]] = {
    "meta": _meta,
    "payload": _payload,
    "bitwise": _bitwise,
    "cmp": _cmp,
    "lookup": _lookup,
    "immediate": _immediate,
    "objref": _objref,
    "limit": _limit,
    "log": _log,
}

# --- chains, sets, elements, objects ------------------------------------------------------------


def hook(attrs: Attributes) -> Hook | None:
    """A chain's hook, or None. A policy other than accept, a type other than filter and a second
    device are none of ours: such a hook gets a priority that we never use, so it never equals.
    """
    if n.Chain.HOOK not in attrs:
        return None
    place = attributes(attrs[n.Chain.HOOK])
    devices = [string(data) for _, data in each_attribute(place.get(n.HookAttr.DEVICES, b""))]
    if not devices and n.HookAttr.DEVICE in place:
        devices = [string(place[n.HookAttr.DEVICE])]
    name = _HOOK_NAMES.get(number32(place[n.HookAttr.NUMBER]))
    ours = (
        name is not None
        and number32(attrs[n.Chain.POLICY]) == n.POLICY_ACCEPT
        and string(attrs[n.Chain.TYPE]) == "filter"
        and len(devices) == (name == "ingress")
    )
    if not ours or name is None:
        return Hook(name or "prerouting", FOREIGN_PRIORITY, ",".join(devices) or None)
    return Hook(name, signed32(place[n.HookAttr.PRIORITY]), devices[0] if devices else None)


FOREIGN_PRIORITY = -(1 << 31)


def set_shape(attrs: Attributes) -> tuple[str, int]:
    """(kind, declared size) of a set: the kinds of `SetState`."""
    # Flags of 0 are left out of the dump.
    flags = number32(attrs[n.Set.FLAGS]) if n.Set.FLAGS in attrs else 0
    key = _KEY_NAMES.get(number32(attrs[n.Set.KEY_TYPE]))
    data = number32(attrs[n.Set.DATA_TYPE]) if n.Set.DATA_TYPE in attrs else None
    description = attributes(attrs.get(n.Set.DESCRIPTION, b""))
    size = description.get(n.SET_DESCRIPTION_SIZE)
    length_fits = key is not None and number32(attrs[n.Set.KEY_LENGTH]) == KEY_BYTES[key]
    kind = "foreign"
    if length_fits and key is not None:
        kind = _SET_KINDS.get((flags, data), "foreign")
        if kind == "small" and key == "half":
            kind = "front"
        if key not in _KEYS_OF_KIND[kind]:
            kind = "foreign"
    return kind, 0 if size is None else number32(size)


def set_count(attrs: Attributes) -> int | None:
    """How many elements there are, where the kernel tells."""
    return number32(attrs[n.Set.COUNT]) if n.Set.COUNT in attrs else None


_SET_KINDS = {
    (0, None): "small",
    (n.SET_TIMEOUT, None): "armed",
    (n.SET_MAP, n.TYPE_VERDICT): "classes",
    (n.SET_MAP, n.KEY_TYPES["classid"]): "registered",
}
_KEYS_OF_KIND: dict[str, set[KeyType]] = {
    "small": set(KEY_BYTES) - {"half"},
    "front": {"half"},
    "armed": {"nf_proto"},
    "classes": {"classid"},
    "registered": {"ipv4_addr", "ipv6_addr"},
    "foreign": set(),
}


def entries(attrs: Attributes) -> list[Attributes]:
    """The elements of one reply of an element dump."""
    if n.Elements.LIST not in attrs:
        return []
    return [attributes(entry) for _, entry in each_attribute(attrs[n.Elements.LIST])]


def _small(entry: Attributes) -> object:
    return _data(entry, n.Element.KEY)


_CLASS_VERDICTS = {GOTO: "goto", JUMP: "jump"}


def _class(entry: Attributes) -> object:
    key = class_id(_data(entry, n.Element.KEY))
    code, chain = verdict(attributes(entry[n.Element.DATA])[n.DATA_VERDICT])
    # Another verdict than ours is kept apart from what we would have put there.
    return (key, _CLASS_VERDICTS.get(code, code), chain)


def class_of(entry: Attributes) -> int:
    """The class id of an element of a registered map; 0 for an element of the front set."""
    if n.Element.DATA not in entry:
        return 0
    return class_id(attributes(entry[n.Element.DATA])[n.DATA_VALUE])


def _armed(entry: Attributes) -> object:
    family = _FAMILY_OF.get(_data(entry, n.Element.KEY)[0], 0)
    # Without a timeout it would never end: shown as such, so that no arming of ours equals it.
    if n.Element.EXPIRATION not in entry:
        return family, 1 << 62, 1 << 62
    return (
        family,
        number64(entry[n.Element.EXPIRATION]) * _NS_PER_MS,
        number64(entry[n.Element.TIMEOUT]) * _NS_PER_MS,
    )


ELEMENT: dict[str, Callable[[Attributes], object]] = {
    "small": _small,
    "classes": _class,
    "armed": _armed,
}


def counter(attrs: Attributes) -> tuple[int, int]:
    """(packets, bytes) of a counter object."""
    data = attributes(attrs[n.Object.DATA])
    return number64(data[n.COUNTER_PACKETS]), number64(data[n.COUNTER_BYTES])


def generation(attrs: Attributes) -> tuple[int, int | None, str | None]:
    """(id, process id, program) of a generation message; the latter two only in events."""
    process, program = attrs.get(n.Generation.PROCESS), attrs.get(n.Generation.PROGRAM)
    return (
        number32(attrs[n.Generation.ID]),
        None if process is None else number32(process),
        None if program is None else string(program),
    )


def ledger_entry(attrs: Attributes) -> tuple[str, str] | None:
    """(map name, digest) of a rule of the ledger chain."""
    words: Any = n.comment_text(bytes(attrs.get(n.Rule.USERDATA, b"")))
    name, _, digest = (words or "").partition(" ")
    return (name, digest) if digest else None
