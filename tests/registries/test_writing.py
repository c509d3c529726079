"""What is written is read back as the same registrations."""

from __future__ import annotations

import io

import openpyxl
import pytest
from drawn_registries import CATEGORIES, Drawn, registries
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enforcer.policy.registry import Registration, Registry, parse_registry
from enforcer.policy.registry_rows import HEADER
from enforcer.registries.reading import Asked, form_of, read_registry
from enforcer.registries.writing import WRITTEN, WrittenForm, losses, pieces


def written(registry: Registry, form: WrittenForm) -> bytes:
    return b"".join(pieces(registry, form))


def rows_of(registry: Registry) -> list[Registration]:
    return [registry.row(number) for number in range(len(registry))]


@settings(deadline=None)
@given(registries(), st.sampled_from(["csv", "json", "xlsx"]))
def test_import_after_export_changes_nothing(drawn: Drawn, form: WrittenForm) -> None:
    data = written(drawn.registry, form)
    assert form_of(data) == form
    reading = read_registry("r", data, CATEGORIES)
    assert reading.notes == ()
    assert rows_of(reading.registry) == rows_of(drawn.registry)
    assert reading.registry.digest == drawn.registry.digest
    # Once more, and the file itself is the same.
    assert written(reading.registry, form) == data


IDS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=30
).filter(lambda text: text == text.strip())


@settings(deadline=None)
@given(st.lists(IDS, min_size=1, max_size=5), st.sampled_from(["csv", "json"]))
@example(["#", "a#"], "json")
@example(["#", "a#"], "csv")
def test_any_id_survives(ids: list[str], form: WrittenForm) -> None:
    quoted = [text.replace('"', '""') for text in ids]
    rows = "".join(f'"{text}",20.0.0.0/24,mission,,,\n' for text in quoted)
    registry = parse_registry("r", f"{HEADER}\n{rows}".encode(), CATEGORIES)
    assert [row.id for row in rows_of(registry)] == ids
    read = read_registry("r", written(registry, form), CATEGORIES, Asked(form=form)).registry
    assert rows_of(read) == rows_of(registry)


def test_an_xlsx_keeps_what_a_spreadsheet_would_eat() -> None:
    ids = ["000123", "1E5", "=1+1", "_x0041_", "a & <b>", "شرکت\u200cها", "\uffff"]
    rows = "".join(f"{text},20.0.0.0/24,mission,2026-01-01,,\n" for text in ids)
    registry = parse_registry("r", f"{HEADER}\n{rows}".encode(), CATEGORIES)
    data = written(registry, "xlsx")
    assert [row.id for row in rows_of(read_registry("r", data, CATEGORIES).registry)] == ids
    sheet = openpyxl.load_workbook(io.BytesIO(data))["Registrations"]
    # openpyxl leaves `_x005F_` in such texts as it is, spreadsheet programs do not.
    seen = [str(sheet.cell(row, 1).value).replace("_x005F_", "_") for row in range(2, 8)]
    assert seen == ids[:-1]
    kinds = {sheet.cell(row, column).data_type for row in range(2, 8) for column in range(1, 5)}
    assert not kinds & {"n", "d", "f"}


MIXED = f"""{HEADER}
a,20.0.1.0/24,mission,2026-01-01,,esp
b,2a01::/48,house,,,
a,20.0.0.0/24,mission,,,
c,20.0.1.0/24,house,,,
"""


def test_a_plain_list_has_each_prefix_once_and_says_what_it_drops() -> None:
    registry = parse_registry("r", MIXED.encode(), CATEGORIES)
    assert written(registry, "plain") == b"20.0.1.0/24\n2a01::/48\n20.0.0.0/24\n"
    assert [str(note) for note in losses(registry, "plain")] == [
        "ids, dropped (4 rows)",
        "categories, dropped (4 rows)",
        "days of validity, dropped: what is read back is valid always (1 rows)",
        "services, dropped: what is read back is registered for any service (1 rows)",
    ]
    assert all(losses(registry, form) == () for form in WRITTEN if form != "plain")


def test_rows_keep_the_order_of_their_file() -> None:
    registry = parse_registry("r", MIXED.encode(), CATEGORIES)
    assert written(registry, "csv") == MIXED.encode()


def test_a_sheet_has_so_many_rows_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    from enforcer.registries import sheetwriting

    monkeypatch.setattr(sheetwriting, "LAST_ROW", 4)
    registry = parse_registry("r", MIXED.encode(), CATEGORIES)
    with pytest.raises(ValueError, match="a sheet has 4 rows at most; write CSV"):
        written(registry, "xlsx")
