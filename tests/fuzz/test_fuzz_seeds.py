"""Each target takes what its fuzzer begins with, and what once broke it (`fuzz/crashes`)."""

from __future__ import annotations

import pytest

from enforcer.schedule.load import load
from enforcer.sources.files import ZONES
from fuzz.every import TARGETS
from fuzz.seeds import SEEDS, seeds
from fuzz.targets import CALENDAR, CUT, form_of, window_of


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_fuzzer_begins_with_breaks_nothing(target: str) -> None:
    inputs = list(seeds(target))
    assert inputs
    for data in inputs:
        TARGETS[target](data)


@pytest.mark.parametrize("form", [*SEEDS["schedule"]()])
def test_the_forms_that_the_fuzzer_begins_with_are_accepted(form: bytes) -> None:
    """A fuzzer whose every input is refused at the first step finds nothing behind it."""
    assert len(window_of(form_of(form)).windows) == 1


def test_the_calendar_and_the_policy_that_the_fuzzer_begins_with_are_accepted() -> None:
    *_, calendar = SEEDS["ics"]()
    assert len(window_of(CALENDAR, lambda _: calendar).windows) == 1
    *_, whole = SEEDS["policy"]()
    main, _, windows = whole.partition(CUT)
    load({"enforcer.yaml": main, "windows.d/w.yaml": windows}, "enforcer.yaml", ZONES)
