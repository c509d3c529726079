"""The registered maps' elements as messages: byte matrices, a million and more a second.

In: keys and class ids as columns. Out: element messages of at most 64 KiB each. The layout of one
element is constant, so that one pattern is repeated and two columns are written over it.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from enforcer.kernel.numbers import DATA_VALUE, LIST_ENTRY, Element, Elements, Msg
from enforcer.kernel.series import WORD, Series
from enforcer.kernel.wire import (
    CREATE,
    LONGEST_ATTRIBUTE,
    Message,
    attribute,
    nested,
    nftables,
    text,
)
from enforcer.ruleset.transaction import Change
from enforcer.ruleset.vocabulary import KEY_BYTES, TABLE, Bulk, FrontSet, RegisteredMap

_LIST_HEADER = 4
_SAMPLES = 8


def packed_keys(bulk: Bulk) -> bytes:
    """The keys one after another, in network order: 4 or 16 bytes each, 2 for the front set."""
    keys = bulk.stage.keys
    packed = (keys.astype(">u4") if bulk.stage.family == 4 else keys).tobytes()
    if isinstance(bulk, FrontSet):
        return np.frombuffer(packed, ">u2")[::2].tobytes()
    return packed


def pairs(bulk: Bulk) -> list[tuple[bytes, int]]:
    """(packed key, class id) of each element, for a few elements or a fake."""
    packed, width, stage = packed_keys(bulk), KEY_BYTES[bulk.key], bulk.stage
    return [
        (packed[at * width : (at + 1) * width], class_id)
        for at, class_id in enumerate(stage.classes.tolist())
    ]


def sample(bulk: Bulk) -> Bulk:
    """A few elements of a stage, the first and the last among them."""
    stage, count = bulk.stage, len(bulk.stage)
    at = np.unique(np.linspace(0, count - 1, min(count, _SAMPLES)).astype(np.intp))
    return type(bulk)(replace(stage, keys=stage.keys[at], classes=stage.classes[at]))


def add_elements(name: str, bulk: Bulk) -> list[Series]:
    with_data = isinstance(bulk, RegisteredMap)
    return _series(Msg.NEW_ELEMENT, CREATE, name, bulk, with_data=with_data)


def delete_elements(name: str, bulk: Bulk) -> list[Series]:
    return _series(Msg.DEL_ELEMENT, 0, name, bulk, with_data=False)


def _series(kind: Msg, flags: int, name: str, bulk: Bulk, *, with_data: bool) -> list[Series]:
    """As many full messages as there are, and one with the rest."""
    if not len(bulk.stage):
        return []
    width = KEY_BYTES[bulk.key]
    inner = [nested(Element.KEY, attribute(DATA_VALUE, bytes(width)))]
    # Three headers of four bytes stand before the key; behind it two more before the class id.
    columns = {3: _key_words(bulk, width)}
    if with_data:
        inner.append(nested(Element.DATA, attribute(DATA_VALUE, bytes(4))))
        classes = np.ascontiguousarray(bulk.stage.classes, WORD)
        columns[5 + columns[3].shape[1]] = classes.reshape(-1, 1)
    entry = nested(LIST_ENTRY, *inner)
    most = (LONGEST_ATTRIBUTE - _LIST_HEADER) // len(entry)
    names = text(Elements.TABLE, TABLE), text(Elements.SET, name)
    whole = len(bulk.stage) // most * most
    found = []
    for rows, entries in ((slice(0, whole), most), (slice(whole, None), len(bulk.stage) - whole)):
        part = {at: column[rows] for at, column in columns.items()}
        if len(part[3]):
            pattern = nftables(kind, flags, *names, nested(Elements.LIST, entry * entries))
            found.append(Series.filled(pattern, entries, len(entry) // WORD.itemsize, part))
    return found


def _key_words(bulk: Bulk, width: int) -> NDArray[np.uint32]:
    """The keys in network order, a row each; shorter ones than a word with their padding."""
    keys = packed_keys(bulk)
    if width % WORD.itemsize:
        padded = np.zeros((len(bulk.stage), WORD.itemsize), np.uint8)
        padded[:, :width] = np.frombuffer(keys, np.uint8).reshape(-1, width)
        keys = padded.tobytes()
    return np.frombuffer(keys, WORD).reshape(len(bulk.stage), -1)


def get_element(map_name: str, key: bytes) -> Message:
    """Asks for one element by its key: answers with it, or ENOENT."""
    entry = nested(LIST_ENTRY, nested(Element.KEY, attribute(DATA_VALUE, key)))
    return nftables(
        Msg.GET_ELEMENT,
        0,
        text(Elements.TABLE, TABLE),
        text(Elements.SET, map_name),
        nested(Elements.LIST, entry),
    )


def taken_out(change: Change) -> set[bytes]:
    """A few keys that a delta takes out and does not put back."""
    removed = sample(change.removed)
    stay = np.isin(removed.stage.keys, change.added.stage.keys)
    return {key for (key, _), kept in zip(pairs(removed), stay, strict=True) if not kept}


def class_id(data: bytes | memoryview) -> int:
    """The class id in an element's data: host order, as `meta priority` holds it."""
    value: int = struct.unpack("=I", data)[0]
    return value
