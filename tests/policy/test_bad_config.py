"""Each folder of tests/bad_config is a configuration that is refused, beside its exact message."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.errors import PolicyError
from enforcer.sources.files import load_policy

BAD = Path(__file__).parent.parent / "bad_config"
CASES = sorted(folder.name for folder in BAD.iterdir() if folder.is_dir())


@pytest.mark.parametrize("name", CASES)
def test_a_bad_configuration_gives_exactly_its_message(
    name: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(PolicyError) as refused:
        load_policy(BAD / name / "enforcer.yaml")
    message = f"{refused.value}\n"
    expected = BAD / name / "expected.txt"
    if request.config.getoption("--update-goldens"):
        expected.write_text(message, encoding="utf-8")
    assert message == expected.read_text(encoding="utf-8")


def test_there_is_a_case_for_each_kind_of_mistake() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_every_message_says_place_fact_and_remedy(name: str) -> None:
    for line in (BAD / name / "expected.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("… and "):
            continue
        place, fact_and_remedy = line.split(": ", 1)
        assert place.split(":")[0].endswith((".yaml", ".yml", ".csv", ".ics"))
        # A remedy, or the question that names what was probably meant.
        assert "; " in fact_and_remedy
