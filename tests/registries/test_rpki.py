"""Who may announce what is registered: as a slow look at each payload says it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from drawn_registries import CATEGORIES, DAY, Drawn, prefixes
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.errors import PolicyError
from enforcer.policy.prefix import Prefix
from enforcer.policy.registry import parse_registry
from enforcer.registries.lint import lint
from enforcer.registries.rpki import as_number, read_origins, read_payloads
from tests.registries.many_owners import owned

ORIGINS = {"A": (64500,), "B": (64501, 64502)}
PAYLOADS = st.lists(st.tuples(prefixes(), st.sampled_from([0, 64500, 64501, 64502, 64503])))


def document(payloads: list[tuple[Prefix, int]]) -> bytes:
    roas = [{"asn": f"AS{n}", "prefix": str(p), "maxLength": p.length} for p, n in payloads]
    return json.dumps({"metadata": {"buildtime": "now"}, "roas": roas}).encode()


@settings(deadline=None)
@given(owned(), PAYLOADS)
def test_origins_are_what_a_look_at_each_payload_says(
    drawn: Drawn, payloads: list[tuple[Prefix, int]]
) -> None:
    expected: dict[str, set[int]] = {}
    for line, row in enumerate(drawn.rows, 2):
        covering = {origin for prefix, origin in payloads if prefix.covers(row.prefix)}
        wanted = set(ORIGINS.get(row.id, ()))
        checks = []
        if covering == {0}:
            checks.append("rpki-nobody")
        if wanted and covering - {0} and not wanted & covering:
            checks.append("rpki-origin")
        if wanted and not covering:
            checks.append("rpki-silent")
        if not wanted:
            checks.append("rpki-unknown")
        for check in checks:
            expected.setdefault(check, set()).add(line)
    read = read_payloads("v.json", document(payloads))
    findings = lint(drawn.registry, DAY, most=1000, payloads=read, origins=ORIGINS)
    assert {
        f.check: {place.line for place in f.places} for f in findings if f.check[:4] == "rpki"
    } == expected


ROWS = "id,prefix,category,valid_from,valid_until,services\nA,20.0.0.7/32,house,,,\n"


def test_everybody_elses_origin() -> None:
    registry = parse_registry("r", ROWS.encode(), CATEGORIES)
    payloads = read_payloads(
        "v", b'[{"asn": 64500, "prefix": "20.0.0.0/22", "maxLength": 24, "expires": 1}]'
    )
    for origins, checks in (
        ({"*": (64500,)}, []),
        ({"*": (64501,)}, ["rpki-origin"]),
        ({"*": (64501,), "A": (64500,)}, []),
        ({}, []),
    ):
        found = lint(registry, DAY, payloads=payloads, origins=origins)
        assert [finding.check for finding in found] == checks


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        ("AS64500", 64500),
        ("as64500", 64500),
        ("4294967295", 4294967295),
        (2**32, None),
        (-1, None),
        (True, None),
        ("AS04", None),
        ("AS", None),
        ("4294967296", None),
        (None, None),
        (1.0, None),
    ],
)
def test_as_numbers(value: Any, number: int | None) -> None:
    assert as_number(value) == number


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b'{"roas": [\n{"asn": "AS1", "prefix": "20.0.0.1/24"}]}',
            "v:2:1: prefix '20.0.0.1/24' has host bits set; write 20.0.0.0/24, or a longer length",
        ),
        (
            b'{"roas": [{"asn": "x", "prefix": "20.0.0.0/24"}]}',
            "v:1:1: an entry is no payload; write asn and prefix, as routinator and rpki-client do",
        ),
        (
            b'{"roas": [7]}',
            "v:1:1: an entry is no payload; write asn and prefix, as routinator and rpki-client do",
        ),
        (b'{"vrps": []}', 'v:1:1: has no list "roas" in it; write one, or a list alone'),
        (b"\xff", "v: is not UTF-8; fetch it anew"),
    ],
)
def test_a_bad_file_of_payloads(data: bytes, message: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_payloads("v", data)
    assert str(refused.value) == message


def test_the_file_of_origins() -> None:
    data = b"id,asn\n# ours\nR-1,AS64500\nR-1,64501\na,b, 64502\n\n*,AS64503\n"
    assert read_origins("o.csv", data) == {
        "R-1": (64500, 64501),
        "a,b": (64502,),
        "*": (64503,),
    }
    with pytest.raises(PolicyError) as refused:
        read_origins("o.csv", b"id,asn\nR-1\n,AS1\nR-1,ASx\n")
    remedy = "is no origin; write id,asn, like R-000001,AS64500"
    assert str(refused.value) == "\n".join(f"o.csv:{n}:1: {remedy}" for n in (2, 3, 4))
