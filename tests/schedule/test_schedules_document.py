"""docs/schedules.md names a test for each edge: every one of them is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")


def test_each_edge_names_tests_that_exist() -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| ")]
    edges = [row for row in rows if not row.startswith("| edge |")]
    assert len(edges) >= 35
    for row in edges:
        proofs = re.findall(r"`(tests/[^`]+)`", row)
        assert proofs, row
        for proof in proofs:
            file, _, test = proof.partition("::")
            assert (ROOT / file).exists(), proof
            assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), proof
