"""The JSON schema of the files, for editors: out of the same models that read them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from enforcer.policy.documents import MainSection, WindowSection

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODE: JsonSchemaMode = "validation"


def main_schema() -> dict[str, Any]:
    """The schema of `enforcer.yaml`."""
    schema = MainSection.model_json_schema(mode=_MODE)
    return {"$schema": _DIALECT, **_without_null(schema), "title": "enforcer.yaml"}


def windows_schema() -> dict[str, Any]:
    """The schema of a file of `windows.d`: a list of windows."""
    schema = TypeAdapter(list[WindowSection]).json_schema(mode=_MODE)
    return {"$schema": _DIALECT, **_without_null(schema), "title": "windows"}


def _without_null(schema: Any) -> Any:
    """A key may be left out, but never hold null: take the `X or null` of the models apart.

    Defaults that are values of the program, not text of the file (a timedelta), go as well.
    """
    if isinstance(schema, list):
        return [_without_null(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    options = schema.get("anyOf", [])
    if {"type": "null"} in options:
        rest = {k: v for k, v in schema.items() if k not in {"anyOf", "default"}}
        return _without_null({**options[0], **rest})
    return {
        key: _without_null(value)
        for key, value in schema.items()
        if key != "default" or isinstance(value, bool) or value in schema.get("enum", [])
    }
