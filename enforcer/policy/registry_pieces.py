"""A registry file in pieces of whole lines, cut where its own text says so, each read by itself.

In: the bytes of a file, and how it was read before. Out: for each piece its rows. What a piece says
depends on its bytes alone, so pieces can be read side by side, and one whose bytes were read before
is taken over from the registry that came of it: a changed row costs the parsing of one piece.
Where pieces end depends on the text around, not on how far it is from the beginning: behind a row
that came or went the cuts are where they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from enforcer.policy.prefix import FAMILIES, Family, Service
from enforcer.policy.registry_chunks import Chunk, Decoders, Rows, read_csv, read_plain
from enforcer.policy.registry_columns import Registry, pick
from enforcer.policy.registry_rows import LONGEST_LINE, parse_services

# A cut is looked for in this share of a piece, behind it.
_WINDOW_SHARE = 8
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
# More lists of services than a column counts are left to the careful path, which says so.
_SERVICE_LISTS = 65535
_Services = tuple[Service, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """`data[start:stop]` are whole lines. `stop` None: the line at `full` has no end."""

    start: int
    full: int
    stop: int | None


def cut(data: bytes, at: int, least: int) -> Iterator[Cut]:
    """The pieces of `data[at:]`, each of `least` bytes and some more."""
    while at < len(data):
        full = at + least
        stop = _end(data, full, least // _WINDOW_SHARE) if full < len(data) else len(data)
        yield Cut(at, full, stop)
        if stop is None:
            return
        at = stop


def _end(data: bytes, full: int, window: int) -> int | None:
    """Behind `full` the end of the line whose successor begins with the least of all hashes."""
    first = data.find(b"\n", full, full + LONGEST_LINE) + 1
    if not first:
        # The last line may do without its end.
        return len(data) if len(data) - full <= LONGEST_LINE else None
    # The sixteen bytes behind a line end: as a rule an id and a part of the prefix.
    seen = data[first - 1 : first + window + 16]
    ends = np.flatnonzero(np.frombuffer(seen, np.uint8) == ord("\n"))
    ends = ends[ends + 17 <= len(seen)]
    if len(ends) < 2:
        return first
    word = np.ndarray((len(seen) - 7,), np.dtype("<u8"), seen, 0, (1,))
    mixed = (word[ends + 1] * _MIX[0]) ^ (word[ends + 9] * _MIX[1])
    return first + int(ends[(mixed * _MIX[0]).argmin()])


@dataclass(frozen=True, slots=True)
class Piece:
    """Where the rows of a piece of `lines` lines are: `rows[family]` is the first and the one after
    the last of the columns, `line` the number of the first line.
    """

    digest: bytes
    line: int
    lines: int
    rows: Mapping[Family, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class FilePieces:
    """The pieces of a file, and how it was read."""

    categories: tuple[str, ...]
    plain: bool
    pieces: tuple[Piece, ...]

    def moved(self, by: Mapping[Family, int]) -> FilePieces:
        """The same rows, so much further back in the columns of a merged registry."""
        pieces = (
            replace(p, rows={f: (i + by[f], j + by[f]) for f, (i, j) in p.rows.items()})
            for p in self.pieces
        )
        return replace(self, pieces=tuple(pieces))


# A registry, and where in it the pieces of a file are.
Kept = tuple[Registry, FilePieces]


@dataclass(frozen=True, slots=True)
class Read:
    """A piece that was read. `rows` number their services by `services`; lines of `odd` (first and
    last position in `text` of each, by number) are for the careful path.
    """

    start: int
    full: int
    stop: int | None
    digest: bytes = b""
    lines: int = 0
    rows: Mapping[Family, Rows] = field(default_factory=dict)
    services: tuple[_Services, ...] = ()
    text: bytes = b""
    odd: tuple[tuple[int, int, int], ...] = ()


# As `map`: the function over the values, results in their order.
Spread = Callable[[Callable[[Cut], Read], Iterable[Cut]], Iterable[Read]]


class PieceReader:
    """Reads pieces of one file. `read` may be called by several threads at once: what they share is
    notes of what a text stands for, which come out the same whoever writes them.
    """

    def __init__(
        self, data: bytes, categories: Sequence[str], plain: bool, before: Kept | None
    ) -> None:
        self._data, self._plain = data, plain
        self._categories = {category.encode(): i for i, category in enumerate(categories)}
        self._parsed: dict[bytes, _Services | None] = {b"": ()}
        self._before: Registry | None = None
        self._pieces: dict[bytes, Piece] = {}
        if before is not None:
            registry, file = before
            if file.plain == plain and file.categories == tuple(categories):
                self._before = registry
                self._pieces = {piece.digest: piece for piece in file.pieces}

    def read(self, part: Cut) -> Read:
        if part.stop is None:
            return Read(part.start, part.full, None)
        view = memoryview(self._data)[part.start : part.stop]
        digest = hashlib.blake2b(view, digest_size=16).digest()
        piece = self._pieces.get(digest)
        if piece is not None and self._before is not None:
            rows, services = _taken_over(self._before, piece)
            return Read(part.start, part.full, part.stop, digest, piece.lines, rows, services)
        text = view if view[-1] == ord("\n") else bytes(view) + b"\n"
        known: dict[_Services, int] = {(): 0}
        chunk = read_plain(text) if self._plain else read_csv(text, self._decoders(known))
        return Read(
            *(part.start, part.full, part.stop, digest, len(chunk.starts), chunk.families),
            tuple(known),
            bytes(text) if len(chunk.odd) else b"",
            _odd_lines(chunk),
        )

    def _decoders(self, known: dict[_Services, int]) -> Decoders:
        """`known` numbers the lists of services of one piece."""

        def services(text: bytes) -> int | None:
            if text not in self._parsed:
                self._parsed[text] = _parsed(text)
            found = self._parsed[text]
            if found is None or (found not in known and len(known) >= _SERVICE_LISTS):
                return None
            return known.setdefault(found, len(known))

        return Decoders(
            category=self._categories.get,
            services=services,
        )


def _parsed(text: bytes) -> _Services | None:
    try:
        return parse_services(text.decode("ascii"))
    except ValueError:
        return None


def _odd_lines(chunk: Chunk) -> tuple[tuple[int, int, int], ...]:
    odd = chunk.odd
    return tuple(
        zip(odd.tolist(), chunk.starts[odd].tolist(), chunk.ends[odd].tolist(), strict=True)
    )


def _taken_over(
    registry: Registry, piece: Piece
) -> tuple[dict[Family, Rows], tuple[_Services, ...]]:
    """The rows of a piece out of the registry that was made of it, those of odd lines included."""
    parts = {family: slice(*piece.rows[family]) for family in FAMILIES}
    used = np.zeros(len(registry.services), np.bool_)
    for family, part in parts.items():
        used[registry.of_family(family).services[part]] = True
    present = np.flatnonzero(used)
    number = np.zeros(len(used), np.uint16)
    number[present] = np.arange(len(present))
    found = {}
    for family, part in parts.items():
        columns = registry.of_family(family)
        first = int(columns.id_ends[part.start - 1]) if part.start else 0
        ends = columns.id_ends[part]
        found[family] = Rows(
            lines=(columns.line[part] - np.uint32(piece.line)).astype(np.int32),
            words=pick(columns.words, part),
            length=columns.length[part],
            category=columns.category[part],
            valid_from=columns.valid_from[part],
            valid_until=columns.valid_until[part],
            services=number[columns.services[part]],
            ids=columns.ids[first : int(ends[-1])] if len(ends) else b"",
            id_sizes=np.diff(ends, prepend=np.uint32(first)).astype(np.int32),
        )
    return found, tuple(registry.services[i] for i in present.tolist())
