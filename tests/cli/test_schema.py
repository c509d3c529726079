"""`enforcer schema`: what editors ask for."""

from __future__ import annotations

from tests.cli.cli_worlds import Place


def test_each_document_has_a_schema(place: Place) -> None:
    enforcer = place.run("schema").json
    assert {"gateway", "categories", "estates"} <= set(enforcer["properties"])
    assert place.run("schema", "enforcer").json == enforcer
    windows = place.run("schema", "windows").json
    assert windows["type"] == "array"
