"""Bytes of a registry file of any form → `Registry`, and what was dropped on the way.

The one entry: `read_registry`. In: bytes, and what the caller knows. Out: a `Reading`, or a
`PolicyError` with every problem's place in the source. The contract's CSV and plain lists go to
their parser as they are; other forms, and CSV with other separators, are written as that CSV first
(`gathering.py`), so that what is refused, and why, is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from enforcer.errors import PolicyError, Problem
from enforcer.policy.prefix import FAMILIES
from enforcer.policy.registry import PREFIX_LIKE, Columns, Registry, parse_registry
from enforcer.policy.words import nearest, shown
from enforcer.registries.delegated import Chosen, is_delegated, read_delegated
from enforcer.registries.gathering import Gathering, Note, Notes, Progress, categories_of
from enforcer.registries.jsonform import read_json
from enforcer.registries.separated import read_separated, separator_of
from enforcer.registries.table import has_header, read_table
from enforcer.registries.workbook import Sheet, Workbook
from enforcer.registries.zipped import SheetError

Form = Literal["csv", "plain", "json", "xlsx", "delegated"]
FORMS: tuple[Form, ...] = get_args(Form)
_Known = tuple[str, ...] | None
_BOM = b"\xef\xbb\xbf"
_HEAD = 1 << 16
# As many as a configuration declares.
_MOST_CATEGORIES = 256
# Named in messages where a file names no category at all.
_NO_CATEGORY = ("customers",)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller knows of a file. `form` None: it is guessed.

    `category` is for forms that have none and for rows without one; `id_prefix` begins the ids of
    rows without one, followed by their prefix, so that a row keeps its id when others come and go.
    """

    form: Form | None = None
    category: str | None = None
    id_prefix: str = ""
    sheet: str | None = None
    chosen: Chosen = field(default_factory=Chosen)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says, the form that it has, and what did not survive. `strict`: it is the CSV of
    the contract to the letter, which the daemon takes as it is.
    """

    registry: Registry
    form: Form
    notes: tuple[Note, ...] = ()
    strict: bool = False


def form_of(data: bytes) -> Form:
    """The form that the bytes look like; `csv` when in doubt: its parser says what is wrong."""
    if data.startswith(b"PK\x03\x04"):
        return "xlsx"
    head = data[:_HEAD].removeprefix(_BOM)
    if head.lstrip()[:1] in (b"[", b"{"):
        return "json"
    for line in head.split(b"\n"):
        text = line.decode("utf-8", "replace").strip()
        if text and not text.startswith("#"):
            if is_delegated(text):
                return "delegated"
            return "plain" if "," not in text and PREFIX_LIKE.match(text) else "csv"
    return "csv"


def read_registry(
    name: str,
    data: bytes,
    categories: Sequence[str] | None = None,
    asked: Asked = Asked(),
    progress: Progress = lambda _: None,
) -> Reading:
    """The registry in `data`. `name` is for messages; `categories` the declared ones, or None to
    take those that the file names. `progress` is called with rows, where reading takes long.

    Raises PolicyError with the first problems and the number of all.
    """
    form = asked.form or form_of(data)
    if asked.category is not None and categories is not None and asked.category not in categories:
        close = nearest(asked.category, categories)
        remedy = f"write {close}" if close else f"write one of {', '.join(categories)}"
        fact = f"category {shown(asked.category)} is not declared"
        raise _refused(name, f"{fact}; {remedy}, or declare it")
    separator = separator_of(data) if form == "csv" else None
    if form == "csv" and separator is None:
        known = categories if categories is not None else _named_in(name, categories_of(data))
        registry = parse_registry(name, data, known)
        return Reading(_with_ids(registry, asked.id_prefix), form, strict=True)
    if form == "plain":
        return _plain(name, data, categories, asked)
    out = Gathering(name)
    declared = None if categories is None else tuple(categories)
    if separator is not None:
        _separated(data, separator, out, declared, asked, progress)
    else:
        _CONVERT[form](data, out, declared, asked, progress)
    if out.is_empty:
        remedy = "choose other records" if form == "delegated" else "check that it is the right one"
        raise _refused(name, f"no registration in it; {remedy}")
    known = categories if categories is not None else _named_in(name, out.categories())
    return Reading(out.registry(known), form, out.notes.all())


def _named_in(name: str, found: tuple[str, ...]) -> tuple[str, ...]:
    """The categories that a file names, when they can be some."""
    if len(found) > _MOST_CATEGORIES:
        fact = f"names {len(found):,} categories, more than {_MOST_CATEGORIES}"
        raise _refused(name, f"{fact}; check that column")
    return found or _NO_CATEGORY


def _refused(name: str, message: str) -> PolicyError:
    return PolicyError([Problem(name, 0, 0, "", message)])


def _need_category(name: str, what: str, categories: Sequence[str] | None, asked: Asked) -> str:
    if asked.category is not None:
        return asked.category
    if categories is not None and len(categories) == 1:
        return categories[0]
    raise _refused(name, f"{what} names no categories; give one with --category")


def _plain(name: str, data: bytes, categories: Sequence[str] | None, asked: Asked) -> Reading:
    category = _need_category(name, "a plain list", categories, asked)
    registry = parse_registry(name, data, (category,))
    registry = with_categories(registry, categories or (category,))
    notes = Notes()
    if b"#" in data:
        notes.add("comments, dropped")
    return Reading(_with_ids(registry, asked.id_prefix), "plain", notes.all())


def with_categories(registry: Registry, names: Sequence[str]) -> Registry:
    """The same rows under another list of categories, which holds all of theirs."""
    if registry.categories == tuple(names):
        return registry
    numbers = np.array([list(names).index(name) for name in registry.categories], np.uint16)
    v4, v6 = (replace(part, category=numbers[part.category]) for part in (registry.v4, registry.v6))
    return replace(registry, categories=tuple(names), v4=v4, v6=v6)


def _with_ids(registry: Registry, id_prefix: str) -> Registry:
    """Rows without an id get one: `id_prefix` and their prefix."""
    if not id_prefix:
        return registry
    v4, v6 = (_named(registry.of_family(family), id_prefix) for family in FAMILIES)
    return replace(registry, v4=v4, v6=v6)


def _named(columns: Columns, id_prefix: str) -> Columns:
    ends = columns.id_ends.tolist()
    ids = []
    first = 0
    for row, end in enumerate(ends):
        ids.append(columns.ids[first:end] or f"{id_prefix}{columns.prefix(row)}".encode())
        first = end
    sizes = np.array([len(name) for name in ids], np.uint32)
    return replace(columns, ids=b"".join(ids), id_ends=np.cumsum(sizes, dtype=np.uint32))


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        fact = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise PolicyError(
            [Problem(name, line, 1, "", f"{fact}; save the file as UTF-8 and load it again")]
        ) from None


def _json(data: bytes, out: Gathering, known: _Known, asked: Asked, progress: Progress) -> None:
    if b'"roas"' in data[:_HEAD] and b'"maxLength"' in data[:_HEAD]:
        raise out.refused("is a list of RPKI payloads, no registry; give it to lint with --vrp")
    read_json(
        _text(out.name, data),
        out,
        known,
        category=asked.category,
        id_prefix=asked.id_prefix,
        progress=progress,
    )


def _separated(
    data: bytes, separator: str, out: Gathering, known: _Known, asked: Asked, progress: Progress
) -> None:
    sheet = read_separated(_text(out.name, data), separator, out, progress)
    read_table(
        sheet, out, known, category=asked.category, id_prefix=asked.id_prefix, from_1904=False
    )


def _delegated(
    data: bytes, out: Gathering, known: _Known, asked: Asked, progress: Progress
) -> None:
    read_delegated(
        _text(out.name, data),
        out,
        asked.chosen,
        category=_need_category(out.name, "a delegated file", known, asked),
        id_prefix=asked.id_prefix,
        progress=progress,
    )


def _xlsx(data: bytes, out: Gathering, known: _Known, asked: Asked, progress: Progress) -> None:
    try:
        book = Workbook(data)
        name, sheet = _chosen_sheet(book, asked.sheet, progress)
        for other in (*book.sheets, *book.hidden):
            if other != name:
                out.notes.add(f"the sheet {shown(other)}, not read")
        if sheet.hidden:
            out.notes.add(f"{sheet.hidden:,} hidden rows, read like the others")
        if sheet.formulas:
            out.notes.add(f"{sheet.formulas:,} formulas: their saved results are taken")
        read_table(
            sheet,
            out,
            known,
            category=asked.category,
            id_prefix=asked.id_prefix,
            from_1904=book.from_1904,
        )
    except SheetError as error:
        raise out.refused(str(error)) from None


def _chosen_sheet(book: Workbook, wanted: str | None, progress: Progress) -> tuple[str, Sheet]:
    """The sheet that was asked for; without a word the first one that has a header."""
    if not book.sheets:
        raise SheetError("has no visible sheet; show the one that is meant")
    if wanted is not None and wanted not in book.sheets:
        names = ", ".join(map(shown, list(book.sheets)[:10]))
        raise SheetError(f"has no visible sheet {shown(wanted)}; choose one of {names}")
    found = []
    for name in book.sheets if wanted is None else [wanted]:
        found = [(name, book.sheet(name, progress))]
        if has_header(found[0][1]):
            break
    return found[0]


_CONVERT: dict[str, Callable[[bytes, Gathering, _Known, Asked, Progress], None]] = {
    "json": _json,
    "xlsx": _xlsx,
    "delegated": _delegated,
}
