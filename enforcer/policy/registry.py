"""The registry file → `Registry`, whole or not at all.

In: the bytes of a registry file, in the CSV form (`id,prefix,category,valid_from,valid_until,
services`) or as a plain list of prefixes. Out: columns (`registry_columns.py`), or a `PolicyError`
with the place, fact and remedy of everything wrong. A file with one bad row is refused as a whole:
half a registry would hold half the customers back.

Read generously: a UTF-8 byte order mark, CRLF, blank lines, `#` comment lines, quoted fields, a
last line without its newline. In a plain list a bare address is its host prefix, a comment may
follow a prefix, and the one declared category is meant; its rows have their prefix for an id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from enforcer.errors import PolicyError, Problem
from enforcer.policy.disguise import MARKUP, disguised, is_markup
from enforcer.policy.losses import shrink
from enforcer.policy.registry_builder import Builder
from enforcer.policy.registry_columns import (
    ALWAYS,
    FOREVER,
    Columns,
    Registration,
    Registry,
    day_number,
    merge,
)
from enforcer.policy.registry_pieces import FilePieces, Kept, Piece, PieceReader, Spread, cut
from enforcer.policy.registry_rows import (
    FIELDS,
    HEADER,
    LONGEST_LINE,
    TOO_LONG,
    RowError,
    decode_line,
    split_fields,
)

__all__ = [
    "ALWAYS",
    "FOREVER",
    "HEADER",
    "Columns",
    "Registration",
    "Registry",
    "day_number",
    "empty_registry",
    "merge",
    "parse_registry",
    "read_again",
    "shrink",
]

# Large enough that the cost of each call of numpy vanishes, and with it what threads wait for each
# other; small enough to stay in the cache.
_PIECE_BYTES = 1 << 21
_BOM = b"\xef\xbb\xbf"
# So many wrong rows are counted one by one; of a file with more nobody needs the number.
MOST_COUNTED = 1_000_000
# The header stands within so many lines of comments and blanks.
_PREAMBLE_LINES = 10_000
# Other forms are not for the daemon, which reads one file strictly, but for people's own hands.
IMPORT = "make it with `enforcer registry import`"
# What a line of the plain form begins with.
PREFIX_LIKE = re.compile(r"[0-9A-Fa-f]{0,4}[:.]|[0-9]{1,3}(/|$)")


def empty_registry(categories: Sequence[str]) -> Registry:
    """No registrations at all: what stands before the first source was read."""
    return Builder("", categories).registry()


def parse_registry(name: str, data: bytes, categories: Sequence[str]) -> Registry:
    """The registry in `data`. `name` is the file's name, for messages; `categories` the declared.

    Raises PolicyError with the first 20 problems and the number of all, counted up to a million.
    """
    return read_again(name, data, categories)[0]


def read_again(
    name: str,
    data: bytes,
    categories: Sequence[str],
    before: Kept | None = None,
    spread: Spread = map,
) -> tuple[Registry, FilePieces]:
    """As `parse_registry`, for a file that was read `before`: pieces of the same bytes are not
    parsed again, and the result is the same. Also which pieces it has, for the next time. `spread`
    reads the pieces, in their order, as `map` does: with threads, where there are any.
    """
    at, line, plain = _form(name, data, categories)
    reader = PieceReader(data, categories, plain, before)
    builder = Builder(name, categories, plain=plain)
    pieces: list[Piece] = []
    more = False
    for read in spread(reader.read, cut(data, at, _PIECE_BYTES)):
        if more := builder.count >= MOST_COUNTED:
            break
        if read.stop is None:
            # Not a line of ours, and what comes after it cannot be told apart from it.
            builder.problem(line + data.count(b"\n", read.start, read.full), TOO_LONG)
            more = True
            break
        pieces.append(builder.take(read, line))
        line += read.lines
    if builder.count:
        raise PolicyError(builder.problems, builder.count, more=more)
    registry = builder.registry()
    if not len(registry):
        raise _refused(
            name, "no registration in it; write at least one row, or leave the file out of sources"
        )
    return registry, FilePieces(registry.categories, plain, tuple(pieces))


def _refused(
    name: str, message: str, line: int = 0, column: int = 0, told: str = ""
) -> PolicyError:
    return PolicyError([Problem(name, line, column, "", message, told)])


def _form(name: str, data: bytes, categories: Sequence[str]) -> tuple[int, int, bool]:
    """Where the rows begin: position and line number; and whether it is the plain form."""
    other = disguised(data)
    if other is not None:
        raise _refused(name, f"{other}, or {IMPORT}" if data.startswith(b"PK") else other)
    at = len(_BOM) if data.startswith(_BOM) else 0
    number = 0
    while at < len(data):
        if number == _PREAMBLE_LINES:
            fact = f"the first {_PREAMBLE_LINES:,} lines are blank or comments"
            raise _refused(name, f"{fact}; begin with {HEADER}", number, 1)
        stop = data.find(b"\n", at)
        stop = len(data) if stop < 0 else stop
        if stop - at > LONGEST_LINE:
            raise _refused(name, TOO_LONG.message, number + 1, 1)
        line = data[at:stop].removesuffix(b"\r")
        number += 1
        if line.strip() and not line.lstrip().startswith(b"#"):
            if _is_header(name, number, line):
                return min(stop + 1, len(data)), number + 1, False
            if len(categories) != 1:
                raise _refused(
                    name,
                    f"a plain list of prefixes cannot say which of the {len(categories)} declared "
                    f"categories is meant; use the CSV form with the header {HEADER}",
                )
            return at, number, True
        at = stop + 1
    raise _refused(
        name, "is empty; write at least one registration, or leave the file out of sources"
    )


def _is_header(name: str, number: int, line: bytes) -> bool:
    """True for the header, False for a line of the plain form; raises PolicyError otherwise."""
    if is_markup(line):
        raise _refused(name, MARKUP, number, 1)
    if line.lstrip()[:1] in (b"[", b"{"):
        raise _refused(
            name, f"is JSON; write CSV that begins with {HEADER}, or {IMPORT}", number, 1
        )
    for other, title in ((b";", "semicolons"), (b"\t", "tabs"), (b"|", "bars")):
        if line.count(other) == len(FIELDS) - 1:
            remedy = "use commas" if title == "bars" else f"use commas, or {IMPORT}"
            raise _refused(name, f"fields are separated by {title}; {remedy}", number, 1)
    try:
        text = decode_line(line)
        if "," not in text and PREFIX_LIKE.match(text.strip()):
            return False
        names = [value for _, value in split_fields(text)]
    except RowError as error:
        raise _refused(name, error.message, number, error.column, error.told) from None
    if tuple(names) == FIELDS:
        return True
    shown = text if len(text) <= 80 else text[:77] + "…"
    wrong = f"is not the header; begin with {HEADER}"
    # Without a header the first line is a registration.
    raise _refused(name, f"{shown!r} {wrong}", number, 1, f"the line {wrong}")
