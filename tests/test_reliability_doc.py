"""docs/reliability.md names tests and files that are there: a row without its proof is a claim."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
# The tables of faults; one of figures proves nothing, and is not held to name a test.
HEADS = ("| test that proves it |", "| shown by |")


def rows(text: str) -> list[str]:
    """The rows of every table whose last column is to name a proof."""
    tables = (t.strip().splitlines() for t in re.findall(r"(?:^\|.*\n)+", text, re.M))
    return [row for head, _, *body in tables if head.endswith(HEADS) for row in body]


BODY = rows(TEXT + "\n")
_TEST = re.compile(r"`((?:\w+/)+test_\w+\.py)(?:::(\w+))?`(?: (\w+))?")
_CASE = re.compile(r"`([a-z0-9]+(?:-[a-z0-9]+)*|\w+\.csv)`")


def proofs(row: str) -> list[str]:
    """What of the last column is no test and no case."""
    last = row.removesuffix(" |").rpartition(" | ")[2]
    missing = []
    for path, name, word in _TEST.findall(last):
        text = (TESTS / path).read_text(encoding="utf-8") if (TESTS / path).exists() else ""
        if not re.search(rf"^(async )?def {name or 'test_'}", text, re.M) or word not in text:
            missing.append(f"{path}::{name} {word}")
    for case in _CASE.findall(_TEST.sub("", last)):
        folder = "bad_registry" if case.endswith(".csv") else "bad_config"
        if not (TESTS / folder / case).exists():
            missing.append(f"{folder}/{case}")
    return missing


@pytest.mark.parametrize("row", BODY, ids=lambda row: row[2:40])
def test_each_row_names_what_proves_it(row: str) -> None:
    last = row.removesuffix(" |").rpartition(" | ")[2]
    assert _TEST.search(last) or _CASE.search(last), "no proof is named"
    assert proofs(row) == []


def test_a_proof_that_is_not_there_is_noticed() -> None:
    assert proofs("| x | `kernel/test_nothing.py` |") == ["kernel/test_nothing.py:: "]
    assert proofs("| x | `daemon/test_daemon.py::test_of_nothing` |")
    assert proofs("| x | `no-such-case`, `empty.csv` |") == ["bad_config/no-such-case"]


def test_the_tables_of_faults_are_read_and_no_others() -> None:
    assert len(BODY) > 60
    fault = "| fault | test that proves it |\n|---|---|\n| x | y |\n"
    assert rows(f"| figure | goal |\n|---|---|\n| a | b |\n\n{fault}") == ["| x | y |"]
