"""Whether the kernel can do what our rules never say: today, logging headers to user space.

In: a netlink socket of an empty namespace. Out: None, or the errno of its refusal.
"""

from __future__ import annotations

import struct

from enforcer.kernel import decode
from enforcer.kernel import numbers as n
from enforcer.kernel.netlink import Netlink
from enforcer.kernel.wire import CREATE, Message, attribute, be32, nested, nftables, text

_TABLE, _CHAIN = "probe", "probe"
_GROUP, _SNAPLEN = 1, 3
_HEADER_BYTES = 128


def logs_to_user_space(netfilter: Netlink) -> int | None:
    """Adds a rule with `log group` to a table of its own, and takes the table away again."""
    log = (attribute(_GROUP, struct.pack(">H", 1)), be32(_SNAPLEN, _HEADER_BYTES))
    expression = nested(n.LIST_ENTRY, text(1, "log"), nested(2, *log))
    table, chain = text(n.Table.NAME, _TABLE), text(n.Chain.NAME, _CHAIN)
    names = text(n.Rule.TABLE, _TABLE), text(n.Rule.CHAIN, _CHAIN)
    refusal = _commit(
        netfilter,
        nftables(n.Msg.NEW_TABLE, CREATE, table),
        nftables(n.Msg.NEW_CHAIN, CREATE, text(n.Chain.TABLE, _TABLE), chain),
        nftables(n.Msg.NEW_RULE, CREATE, *names, nested(n.Rule.EXPRESSIONS, expression)),
    )
    if refusal is None:
        _commit(netfilter, nftables(n.Msg.DEL_TABLE, 0, table))
    return refusal


def _commit(netfilter: Netlink, *messages: Message) -> int | None:
    (reply,) = netfilter.request(nftables(n.Msg.GET_GENERATION, 0))
    generation = decode.generation(decode.body(reply))[0]
    answers = netfilter.batch(generation, lambda _: list(messages), [])
    return next((answer for answer in answers if answer), None)
