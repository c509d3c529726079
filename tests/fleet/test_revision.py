"""A manifest says what was published, and what is not one is refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.fleet.chunks import Root
from enforcer.fleet.revision import MOST_MANIFEST_BYTES, ManifestError, Revision, parse

ROOT = Root(12, 0, "a" * 64)
REVISION = Revision(
    "national",
    7,
    datetime(2026, 12, 1, 8, tzinfo=UTC),
    "noc@isp.example",
    "for the elections",
    "enforcer.yaml",
    {"enforcer.yaml": ROOT, "windows.d/w.yaml": Root(0, 2, "b" * 64)},
    5,
    "0123456789abcdef",
)


def test_it_is_read_back_as_it_was_written() -> None:
    assert parse(REVISION.text()) == REVISION
    assert parse(REVISION.text()).text() == REVISION.text()


def test_what_changed_since_another() -> None:
    other = Revision(**{**_fields(REVISION), "files": {"enforcer.yaml": Root(1, 0, "c" * 64)}})
    assert REVISION.changed_since(None) == ["enforcer.yaml", "windows.d/w.yaml"]
    assert REVISION.changed_since(other) == ["enforcer.yaml", "windows.d/w.yaml"]
    assert REVISION.changed_since(REVISION) == []


def _fields(revision: Revision) -> dict[str, Any]:
    return {name: getattr(revision, name) for name in Revision.__slots__}


def _set(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest.__setitem__(key, value)


def _file(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["files"][0].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_set("form", 2), "is of form 2, and this enforcer reads 1; update it"),
        (_set("number", 0), "has 0 in place of a number"),
        (_set("number", 10**12), "has 1000000000000 in place of a number"),
        (_set("number", True), "has True in place of a number"),
        (_set("number", "7"), "has '7' in place of a number"),
        (_set("fleet", "../x"), "in place of a fleet's name"),
        (_set("made_at", "2026-12-01T08:00:00"), "is no instant with an offset"),
        (_set("made_by", "a\nb"), "a text that is no single line"),
        (_set("main", "other.yaml"), "has no file other.yaml"),
        (_set("files", None), "cannot be understood"),
        (_file("name", "../../etc/passwd"), "not below the configuration's folder"),
        (_file("name", "/etc/passwd"), "not below the configuration's folder"),
        (_file("name", "a//b"), "not below the configuration's folder"),
        (_file("name", ".shared/x"), "not below the configuration's folder"),
        (_file("name", "a\\b"), "not below the configuration's folder"),
        (_file("name", ""), "names a file ''"),
        (_file("name", "windows.d/w.yaml"), "names a file twice"),
        (_file("size", -1), "a file of -1 bytes"),
        (_file("size", 2**40), "a file of 1099511627776 bytes"),
        (_file("depth", 99), "a file of 99 levels"),
        (_file("chunk", "A" * 64), "a chunk by no SHA-256"),
    ],
)
def test_what_is_none_is_refused(change: Callable[[dict[str, Any]], None], text: str) -> None:
    manifest = json.loads(REVISION.text())
    change(manifest)
    with pytest.raises(ManifestError) as caught:
        parse(json.dumps(manifest))
    assert text in str(caught.value)


@given(st.text(max_size=200) | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps))
def test_nothing_but_a_manifest_error_comes_of_other_text(text: str) -> None:
    with pytest.raises(ManifestError):
        parse(text)


def test_a_flood_is_not_read() -> None:
    with pytest.raises(ManifestError, match="is larger than"):
        parse(" " * (MOST_MANIFEST_BYTES + 1))
