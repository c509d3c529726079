"""The numbers of nf_tables that we speak. Source: <linux/netfilter/nf_tables.h>, nft datatype.h."""

from __future__ import annotations

import struct
from enum import IntEnum

from enforcer.ruleset.vocabulary import HookName, KeyType


class Msg(IntEnum):
    """Message types (NFT_MSG_*)."""

    NEW_TABLE = 0
    GET_TABLE = 1
    DEL_TABLE = 2
    NEW_CHAIN = 3
    GET_CHAIN = 4
    DEL_CHAIN = 5
    NEW_RULE = 6
    GET_RULE = 7
    DEL_RULE = 8
    NEW_SET = 9
    GET_SET = 10
    DEL_SET = 11
    NEW_ELEMENT = 12
    GET_ELEMENT = 13
    DEL_ELEMENT = 14
    NEW_GENERATION = 15
    GET_GENERATION = 16
    NEW_OBJECT = 18
    GET_OBJECT = 19
    DEL_OBJECT = 20


class Table(IntEnum):
    NAME = 1
    FLAGS = 2
    USERDATA = 6
    OWNER = 7


class Chain(IntEnum):
    TABLE = 1
    NAME = 3
    HOOK = 4
    POLICY = 5
    TYPE = 7


class HookAttr(IntEnum):
    NUMBER = 1
    PRIORITY = 2
    DEVICE = 3
    DEVICES = 4


class Rule(IntEnum):
    TABLE = 1
    CHAIN = 2
    EXPRESSIONS = 4
    USERDATA = 7


class Set(IntEnum):
    TABLE = 1
    NAME = 2
    FLAGS = 3
    KEY_TYPE = 4
    KEY_LENGTH = 5
    DATA_TYPE = 6
    DATA_LENGTH = 7
    DESCRIPTION = 9
    ID = 10
    USERDATA = 13
    # Kernels from 6.16 tell how many elements there are.
    COUNT = 20


class Elements(IntEnum):
    TABLE = 1
    SET = 2
    LIST = 3


class Element(IntEnum):
    KEY = 1
    DATA = 2
    FLAGS = 3
    TIMEOUT = 4
    EXPIRATION = 5


class Object(IntEnum):
    TABLE = 1
    NAME = 2
    TYPE = 3
    DATA = 4


class Limit(IntEnum):
    RATE = 1
    UNIT = 2
    BURST = 3
    TYPE = 4
    FLAGS = 5


class Log(IntEnum):
    GROUP = 1
    PREFIX = 2
    SNAPLEN = 3


class Generation(IntEnum):
    ID = 1
    PROCESS = 2
    PROGRAM = 3


A_SECOND, LIMIT_PACKETS = 1, 0
LIST_ENTRY = 1
DATA_VALUE, DATA_VERDICT = 1, 2
VERDICT_CODE, VERDICT_CHAIN = 1, 2
SET_DESCRIPTION_SIZE = 1
COUNTER_BYTES, COUNTER_PACKETS = 1, 2
OBJECT_COUNTER = 1
FLAG_DORMANT, FLAG_OWNER = 1, 2
SET_MAP, SET_TIMEOUT = 0x8, 0x10
POLICY_ACCEPT = 1
# The kernel's "data type" of a verdict map (NFT_DATA_VERDICT).
TYPE_VERDICT = 0xFFFFFF00

# Only nft reads the data types: they make `nft list` print keys as people write them.
KEY_TYPES: dict[KeyType, int] = {
    "nf_proto": 2,
    "ipv4_addr": 7,
    "ipv6_addr": 8,
    "inet_service": 13,
    "classid": 23,
    # An integer; nft learns from the user data that it is `typeof @nh,96,16`.
    "half": 4,
}
HOOKS: dict[HookName, int] = {"prerouting": 0, "postrouting": 4, "ingress": 5}

# What `nft list` shows as the comment of our table, and how we know it for ours. User data:
# type, length, text (libnftnl's udata.h); type 0 is the comment of a table and of a rule alike.
OUR_COMMENT = "made by enforcer, edits are undone"


# Class ids are host order, as skb->priority is; without this word nft lists them byte-swapped
# (NFTNL_UDATA_SET_KEYBYTEORDER and _DATABYTEORDER, enum byteorder).
_HOST_ORDER = struct.pack("=I", 1)
KEY_IN_HOST_ORDER = bytes([0, 4]) + _HOST_ORDER
# NFTNL_UDATA_SET_KEYBYTEORDER (big endian) and _KEY_TYPEOF: a payload expression with base network
# header, offset 96 and length 16, as nft 1.0.6 writes it for `typeof @nh,96,16`.
KEY_IS_HALF_ADDRESS = bytes.fromhex(
    "0004020000000326000407000000011e000400000000010400000000020402000000030460000000040410000000"
)
DATA_IN_HOST_ORDER = bytes([1, 4]) + _HOST_ORDER


def next_generation(generation: int) -> int:
    """The number after it: it wraps at 32 bits, and is never 0 (nft_gencursor_next)."""
    return generation % 0xFFFFFFFF + 1


def comment(words: str) -> bytes:
    data = words.encode() + b"\0"
    return bytes([0, len(data)]) + data


def comment_text(userdata: bytes) -> str | None:
    """The comment in user data, or None. Reads no further than the data goes."""
    at = 0
    while at + 2 <= len(userdata):
        kind, size = userdata[at], userdata[at + 1]
        if kind == 0:
            return userdata[at + 2 : at + 2 + size].rstrip(b"\0").decode(errors="replace")
        at += 2 + size
    return None
