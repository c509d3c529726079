"""Each target takes what its fuzzer begins with, and what once broke it (`fuzz/crashes`)."""

from __future__ import annotations

import pytest

from fuzz.every import TARGETS
from fuzz.seeds import seeds


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_fuzzer_begins_with_breaks_nothing(target: str) -> None:
    inputs = list(seeds(target))
    assert inputs
    for data in inputs:
        TARGETS[target](data)
