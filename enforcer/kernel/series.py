"""Messages of one shape, one behind the other in one buffer that is sent as it lies.

In: a message whose end is a list of equal entries, as the pattern, and columns to write into them.
Out: that message many times over with its entries filled in. A million elements are written once
and never copied; what is left to put in is the sequence numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.kernel.wire import ACK, Message

WORD = np.dtype("=u4")
_HEADER_BYTES, _SEQUENCE_WORD = 16, 2


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """`words[i]` is message i, header and all, as it lies in memory, with `entries` in its list.
    Each is sent with ACK.
    """

    kind: int
    words: NDArray[np.uint32]
    entries: int

    @classmethod
    def filled(
        cls, pattern: Message, entries: int, entry_words: int, columns: Mapping[int, NDArray[Any]]
    ) -> Series:
        """The pattern, which ends in `entries` of so many words, for each that many rows of the
        columns. These are of words too, (rows, width), by the word of the entry they begin at.
        """
        one = np.frombuffer(
            Message(pattern.kind, pattern.flags | ACK, pattern.body).packed(0), WORD
        )
        count = len(next(iter(columns.values()))) // entries
        words = np.empty((count, len(one)), WORD)
        words[:] = one
        listed = words[:, -entries * entry_words :].reshape(count, entries, entry_words)
        for at, column in columns.items():
            width = column.shape[1]
            listed[:, :, at : at + width] = column.reshape(count, entries, width)
        return cls(pattern.kind, words, entries)

    def stretch(self, first: int, end: int) -> Series:
        """The messages from `first` to before `end`, in the same buffer."""
        return Series(self.kind, self.words[first:end], self.entries)

    def __len__(self) -> int:
        return len(self.words)

    @property
    def nft_kind(self) -> int:
        return self.kind & 0xFF

    def packed(self, first: int) -> memoryview:
        """The messages, numbered from `first`. The buffer is the same each time."""
        self.words[:, _SEQUENCE_WORD] = np.arange(first, first + len(self), dtype=WORD)
        return self.words.data.cast("B")


def one_by_one(parts: Iterable[Message | Series]) -> Iterator[Message]:
    """Each message by itself, those of a series as copies: for a look at them."""
    for part in parts:
        if isinstance(part, Message):
            yield part
            continue
        for words in part.words:
            packed = words.tobytes()
            _, kind, flags = struct.unpack_from("=IHH", packed)
            yield Message(kind, flags & ~ACK, packed[_HEADER_BYTES:])
