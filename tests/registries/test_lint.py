"""What lint finds is what a slow look at each pair of rows finds."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from drawn_registries import CATEGORIES, DAY, Drawn
from hypothesis import given, settings

from enforcer.policy.registry import Registration, parse_registry
from enforcer.registries import nesting, overlaps
from enforcer.registries.findings import Finding
from enforcer.registries.lint import lint
from tests.registries.many_owners import owned

FIRST, LAST = date.min, date.max


def meet(one: Registration, other: Registration) -> bool:
    return (one.valid_from or FIRST) <= (other.valid_until or LAST) and (
        other.valid_from or FIRST
    ) <= (one.valid_until or LAST)


def found_by_pairs(rows: list[Registration]) -> dict[str, set[int]]:
    """Lines by check. A row is compared with what covers it, and with equals that stand before."""
    found: dict[str, set[int]] = {}
    for i, row in enumerate(rows):
        for j, other in enumerate(rows):
            if i == j or not other.prefix.covers(row.prefix):
                continue
            if other.prefix == row.prefix and j > i:
                continue
            own, same = row.id == other.id, row.category == other.category
            kinds = []
            if own and row == other:
                kinds.append("duplicate")
            elif (
                own
                and same
                and other.services in ((), row.services)
                and (other.valid_from or FIRST) <= (row.valid_from or FIRST)
                and (other.valid_until or LAST) >= (row.valid_until or LAST)
            ):
                kinds.append("redundant")
            if own and not same and meet(row, other):
                kinds.append("two-categories")
            if not own and meet(row, other):
                kinds.append("overlap")
            for kind in kinds:
                found.setdefault(kind, set()).add(i + 2)
    for i, row in enumerate(rows):
        if (row.valid_until or LAST) < DAY:
            found.setdefault("expired", set()).add(i + 2)
        if (row.valid_from or FIRST) > DAY:
            found.setdefault("not-yet-valid", set()).add(i + 2)
    return found


@settings(deadline=None)
@given(owned())
def test_lint_finds_what_a_look_at_each_pair_finds(drawn: Drawn) -> None:
    findings = lint(drawn.registry, DAY, most=1000)
    for finding in findings:
        assert finding.count == len(finding.places)
    lines = {f.check: {place.line for place in f.places} for f in findings}
    left_out = ("not-on-the-internet", "aggregatable", "broad")
    assert {k: v for k, v in lines.items() if k not in left_out} == found_by_pairs(drawn.rows)


@settings(deadline=None)
@given(owned())
def test_halves_are_told_when_there_are_some(drawn: Drawn) -> None:
    findings = {f.check: f for f in lint(drawn.registry, DAY, most=1000)}

    def rest(row: Registration) -> tuple[object, ...]:
        return row.id, row.category, row.valid_from, row.valid_until, row.services

    pairs = {
        frozenset((one.prefix, other.prefix))
        for one in drawn.rows
        for other in drawn.rows
        if rest(one) == rest(other)
        and one.prefix.family == other.prefix.family
        and one.prefix.length == other.prefix.length > 0
        and one.prefix.network ^ other.prefix.network
        == 1 << ({4: 32, 6: 128}[one.prefix.family] - one.prefix.length)
    }
    assert ("aggregatable" in findings) == bool(pairs)


def findings_of(rows: str, **options: object) -> list[Finding]:
    registry = parse_registry("r.csv", rows.encode(), CATEGORIES)
    return lint(registry, DAY, **options)  # type: ignore[arg-type]


LINT = Path(__file__).parent.parent / "lint"


@pytest.mark.parametrize("path", sorted(LINT.glob("*.csv")), ids=lambda path: path.stem)
def test_findings_say_exactly_this(path: Path) -> None:
    registry = parse_registry(path.name, path.read_bytes(), CATEGORIES)
    told = [
        f"{finding.severity} {finding.check} {finding.count}: {place}"
        for finding in lint(registry, DAY)
        for place in finding.places
    ]
    assert "\n".join([*told, ""]) == path.with_suffix(".expected").read_text()


def test_every_lint_file_has_its_findings() -> None:
    assert {p.stem for p in LINT.glob("*.csv")} == {p.stem for p in LINT.glob("*.expected")}


def test_places_are_bounded_and_counts_are_not() -> None:
    rows = "id,prefix,category,valid_from,valid_until,services\n" + "a,20.0.0.0/24,house,,,\n" * 50
    (finding,) = findings_of(rows, most=3)
    assert (finding.check, finding.count, [p.line for p in finding.places]) == (
        "duplicate",
        49,
        [3, 4, 5],
    )


def test_a_deep_nest_is_looked_into_so_far_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nesting, "DEEPEST", 3)
    monkeypatch.setattr(overlaps, "DEEPEST", 3)
    rows = "id,prefix,category,valid_from,valid_until,services\n" + "".join(
        f"r{n},20.0.0.0/{n},house,,,\n" for n in range(16, 22)
    )
    checks = {finding.check: finding for finding in findings_of(rows)}
    assert [p.line for p in checks["nested-deep"].places] == [5, 6, 7]
    assert checks["overlap"].count == 5


def test_no_finding_shows_an_id_or_a_prefix() -> None:
    for path in LINT.glob("*.expected"):
        text = path.read_text()
        assert "R-" not in text
        assert "20.0" not in text
        assert "2a01" not in text
