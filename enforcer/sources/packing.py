"""A registry as bytes and back: its columns, each in the least form that gives it again.

In: a `Registry`. Out: a description (plain values, for JSON) and the bytes of the columns one after
the other; some 15 bytes and the id a row. It checks shapes, not meaning: whoever unpacks has
checked by a digest that the bytes are those that were packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.prefix import FAMILIES, Family, parse_service
from enforcer.policy.registry_columns import Columns, Registry

_TYPES: dict[str, Any] = {
    "length": np.uint8,
    "category": np.uint16,
    "valid_from": np.int32,
    "valid_until": np.int32,
    "services": np.uint16,
    "id_ends": np.uint32,
    "file": np.uint16,
    "line": np.uint32,
}
# Some ten times what a gateway is made for: a column of one value says how long it is itself.
_MOST_ROWS = 1 << 24
# Columns that rise by a little from row to row.
_RISING = frozenset({"id_ends", "line"})
_WORDS: dict[Family, tuple[Any, ...]] = {4: (np.uint32,), 6: (np.uint64, np.uint64)}


def pack(registry: Registry) -> tuple[dict[str, Any], list[memoryview]]:
    """The description, and the parts of the body in order."""
    parts: list[memoryview] = []
    families: dict[str, Any] = {}
    for family in FAMILIES:
        columns = registry.of_family(family)
        forms: list[Any] = []
        for name, column in _named(columns):
            form, packed = _packed(column, rising=name in _RISING)
            forms.append([form, len(packed), packed.itemsize])
            parts.append(packed.data.cast("B") if len(packed) else memoryview(b""))
        parts.append(memoryview(columns.ids))
        families[str(family)] = {
            "rows": len(columns),
            "forms": forms,
            "ids": len(columns.ids),
        }
    described = {
        "categories": list(registry.categories),
        "services": [[str(service) for service in services] for services in registry.services],
        "files": list(registry.files),
        "families": families,
    }
    return described, parts


def unpack(described: Mapping[str, Any], body: memoryview) -> Registry:
    """The registry again. Raises ValueError, LookupError, TypeError, AttributeError or
    OverflowError when the two do not fit.
    """
    reader = _Body(body)
    v4, v6 = (_columns(f, described["families"][str(f)], reader) for f in FAMILIES)
    reader.done()
    return Registry(
        tuple(described["categories"]),
        tuple(tuple(parse_service(text) for text in texts) for texts in described["services"]),
        tuple(described["files"]),
        v4,
        v6,
    )


def _named(columns: Columns) -> Iterator[tuple[str, NDArray[Any]]]:
    for number, word in enumerate(columns.words):
        yield f"word{number}", word
    for name in _TYPES:
        yield name, getattr(columns, name)


def _packed(column: NDArray[Any], *, rising: bool) -> tuple[str, NDArray[Any]]:
    """The form of a column and what stands for it: `same` (one value), `steps` (differences of one
    byte after a first value of 0), `few` (256 values, then a byte a row), `bytes`, or `plain`.
    """
    if len(column) and (column == column[0]).all():
        return "same", np.ascontiguousarray(column[:1])
    if rising:
        steps = np.diff(column.astype(np.int64), prepend=0)
        if steps.min(initial=0) >= 0 and steps.max(initial=0) < 256:
            return "steps", steps.astype(np.uint8)
    if column.itemsize in (2, 4) and not rising:
        # A column of addresses is not looked through twice: it never has few values.
        sample = np.unique(column[:: max(1, len(column) // 1000)])
        if len(sample) <= 256:
            values, index = np.unique(column, return_inverse=True)
            if len(values) <= 256:
                room = np.zeros(256, column.dtype)
                room[: len(values)] = values
                return "few", np.concatenate([room.view(np.uint8), index.astype(np.uint8)])
    return "plain", np.ascontiguousarray(column)


def _columns(family: Family, described: Mapping[str, Any], reader: _Body) -> Columns:
    rows = int(described["rows"])
    if not 0 <= rows <= _MOST_ROWS:
        raise ValueError("no registry has that many rows")
    words = _WORDS[family]
    types = [*words, *_TYPES.values()]
    got: list[NDArray[Any]] = []
    for dtype, (form, count, size) in zip(types, described["forms"], strict=True):
        got.append(_unpacked(form, np.dtype(dtype), rows, reader.take(count, size)))
    ids = bytes(reader.take(int(described["ids"]), 1))
    named = dict(zip(_TYPES, got[len(words) :], strict=True))
    columns = Columns(family=family, words=tuple(got[: len(words)]), ids=ids, **named)
    if any(len(column) != rows for column in got):
        raise ValueError("a column has another number of rows than the others")
    if rows and int(columns.id_ends[-1]) != len(ids):
        raise ValueError("the ids do not fill their rows")
    return columns


def _unpacked(form: str, dtype: np.dtype[Any], rows: int, data: memoryview) -> NDArray[Any]:
    match form:
        case "same":
            return np.full(rows, np.frombuffer(data, dtype, 1)[0], dtype)
        case "steps":
            return np.cumsum(np.frombuffer(data, np.uint8), dtype=np.int64).astype(dtype)
        case "few":
            values = np.frombuffer(data, dtype, 256)
            return values[np.frombuffer(data, np.uint8, offset=256 * dtype.itemsize)]
        case "plain":
            # A copy: what is in force does not hang on the bytes of a file.
            return np.frombuffer(data, dtype).copy()
    raise ValueError(f"no column has the form {form!r}")


class _Body:
    """Hands out a body piece by piece."""

    def __init__(self, body: memoryview) -> None:
        self._body, self._at = body, 0

    def take(self, count: int, size: int) -> memoryview:
        end = self._at + count * size
        if count < 0 or size < 1 or end > len(self._body):
            raise ValueError("the columns are longer than the file")
        piece, self._at = self._body[self._at : end], end
        return piece

    def done(self) -> None:
        if self._at != len(self._body):
            raise ValueError("the file is longer than its columns")
