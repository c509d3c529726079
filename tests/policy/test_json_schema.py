"""`enforcer schema`: what an editor knows of the files is what the models read."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from enforcer.policy.documents import json_schema


def objects(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for entry in schema for found in objects(entry)]
    if not isinstance(schema, dict):
        return []
    inner = [found for value in schema.values() for found in objects(value)]
    return [schema, *inner] if "properties" in schema else inner


def test_the_schema_names_the_keys_of_the_main_file_and_those_it_needs() -> None:
    schema = json_schema("enforcer")
    assert set(schema["properties"]) == {
        *("version", "gateway", "categories", "registry"),
        *("lifelines", "estates", "links", "metrics", "observe"),
    }
    assert schema["required"] == ["version", "gateway", "categories", "registry"]


def test_a_file_of_windows_is_a_list_and_each_needs_its_record() -> None:
    schema = json_schema("windows")
    assert schema["type"] == "array"
    window = schema["$defs"]["WindowSection"]
    assert window["required"] == ["id", "reason", "declared_by", "reference", "measures"]
    assert {"from", "except"} <= set(window["properties"])


@pytest.mark.parametrize("document", ["enforcer", "windows"])
def test_no_mapping_takes_unknown_keys_and_no_key_takes_null(
    document: Literal["enforcer", "windows"],
) -> None:
    schema = json_schema(document)
    assert all(found["additionalProperties"] is False for found in objects(schema))
    text = json.dumps(schema)
    assert '"null"' not in text
    assert '"default": null' not in text
