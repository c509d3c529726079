"""Documents → models: what pydantic finds wrong, said as problems with place, fact and remedy.

`check` goes on behind a wrong field, so that one run finds everything: the fields it could not
read are named in `Checked.bad`, and nobody may look at those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import ErrorDetails

from enforcer.errors import Problem
from enforcer.policy.fields import Section
from enforcer.policy.places import Document, Path
from enforcer.policy.values import kind_of
from enforcer.policy.words import nearest, pick, shown

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Checked(Generic[M]):
    """A model whose fields in `bad` were missing or wrong and hold their default or None."""

    section: M
    bad: frozenset[str]

    def good(self, *keys: str) -> bool:
        """True when every one of these keys of the file could be read (or was left out)."""
        return self.bad.isdisjoint(keys)


def check(
    model: type[M], document: Document, path: Path, value: Any, problems: list[Problem]
) -> Checked[M] | None:
    """The model of a mapping, appending what is wrong; None when it is no mapping at all."""
    if not isinstance(value, dict):
        fact = f"{kind_of(value)} where a mapping belongs"
        problems.append(document.problem(path, f"{fact}; write keys, each with its value"))
        return None
    try:
        return Checked(model.model_validate(value), frozenset())
    except ValidationError:
        # Field by field below, to keep what is right and to name everything that is not.
        pass
    known = {field.alias or name: name for name, field in model.model_fields.items()}
    fields: dict[str, Any] = {}
    bad: set[str] = set()
    for key in value:
        if key not in known:
            problems.append(document.problem((*path, key), _unknown(key, known), at_key=True))
            # A key that was mistyped is not missing as well.
            bad |= _meant(key, known.keys() - value.keys())
    for key, name in known.items():
        if key in value:
            try:
                fields[key] = getattr(_alone(model, name).model_validate({key: value[key]}), name)
            except ValidationError as error:
                bad.add(key)
                errors = error.errors()
                mistyped = _mistyped(errors)
                for details in errors:
                    if details["type"] != "missing" or details["loc"] not in mistyped:
                        problems.append(_problem(model, document, path, details))
        elif model.model_fields[name].is_required() and key not in bad:
            bad.add(key)
            problems.append(document.problem(path, _missing(model, key)))
    return Checked(model.model_construct(**fields), frozenset(bad))


def _meant(key: object, absent: Iterable[str]) -> set[str]:
    close = nearest(str(key), absent)
    return set() if close is None else {close}


def _mistyped(errors: Sequence[ErrorDetails]) -> set[tuple[int | str, ...]]:
    """The places of missing keys that stand there under a mistyped name."""
    missing = [error["loc"] for error in errors if error["type"] == "missing"]
    found: set[tuple[int | str, ...]] = set()
    for error in errors:
        if error["type"] == "extra_forbidden":
            *section, key = error["loc"]
            absent = [str(loc[-1]) for loc in missing if list(loc[:-1]) == section]
            found |= {(*section, name) for name in _meant(key, absent)}
    return found


@cache
def _alone(model: type[BaseModel], name: str) -> type[BaseModel]:
    """A model of one field of `model`: so a wrong field does not hide the others' values."""
    info = model.model_fields[name]
    fields: dict[str, Any] = {name: (info.annotation, info)}
    return create_model(model.__name__, __base__=Section, **fields)


def _problem(
    model: type[BaseModel], document: Document, path: Path, error: ErrorDetails
) -> Problem:
    location = error["loc"]
    # pydantic marks the key of a mapping, where the key itself is wrong, with a last "[key]".
    at_key = location[-1] == "[key]" or error["type"] == "extra_forbidden"
    inner = location[:-1] if location[-1] == "[key]" else location
    if error["type"] in {"missing", "extra_forbidden"}:
        section, key = _section_at(model, inner[:-1]), str(inner[-1])
        if error["type"] == "missing":
            return document.problem((*path, *inner[:-1]), _missing(section, key))
        known = (info.alias or name for name, info in section.model_fields.items())
        return document.problem((*path, *inner), _unknown(inner[-1], known), at_key=True)
    message = _MESSAGES.get(error["type"], _other)(error)
    return document.problem((*path, *inner), message, at_key=at_key)


def _unknown(key: object, known: Iterable[str]) -> str:
    return f"the key {shown(key)} is not known here; {pick(str(key), known, 'remove it')}"


def _missing(model: type[BaseModel], key: str) -> str:
    infos = {info.alias or name: info for name, info in model.model_fields.items()}
    return f"the key {shown(key)} is missing; add it ({infos[key].description})"


def _section_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that the mapping at `location` is read by."""
    kind: Any = model
    for part in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            infos = {info.alias or name: info for name, info in kind.model_fields.items()}
            kind = infos[str(part)].annotation
        else:
            kind = get_args(kind)[-1]
        kind = _present(kind)
    section: type[BaseModel] = kind
    return section


def _present(kind: Any) -> Any:
    """`X` out of `X | None`."""
    if get_origin(kind) in {UnionType, Union}:
        return next(arg for arg in get_args(kind) if arg is not type(None))
    return kind


def _kind(belongs: str, remedy: str) -> Callable[[ErrorDetails], str]:
    return lambda error: f"{kind_of(error['input'])} where {belongs} belongs; {remedy}"


def _range(error: ErrorDetails) -> str:
    context = error["ctx"]
    bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
    return f"{error['input']} is out of bounds; write a number of {bound}"


def _literal(error: ErrorDetails) -> str:
    choices = error["ctx"]["expected"].replace("'", "")
    return f"{kind_of(error['input'])} is not accepted here; write {choices}"


def _too_short(error: ErrorDetails) -> str:
    return "is empty; write at least one entry"


def _too_long(error: ErrorDetails) -> str:
    return f"has more than {error['ctx']['max_length']} entries; write fewer"


def _other(error: ErrorDetails) -> str:
    return f"{error['msg']}; correct it"


_MAPPING = _kind("a mapping", "write keys, each with its value")
_MESSAGES: dict[str, Callable[[ErrorDetails], str]] = {
    "value_error": lambda error: str(error["ctx"]["error"]),
    "model_type": _MAPPING,
    "dict_type": _MAPPING,
    "list_type": _kind("a list", "write its entries in [ ], or one a line after '- '"),
    "bool_type": _kind("true or false", "write true or false"),
    "int_type": _kind("a whole number", "write a number without quotes"),
    "literal_error": _literal,
    "greater_than_equal": _range,
    "less_than_equal": _range,
    "too_short": _too_short,
    "too_long": _too_long,
}
