"""`enforcer fleet`: which revision is meant, said by a number or by the canaries."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from enforcer.cli import fleet


@pytest.fixture
def promoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """What is promoted, where the canaries hold 7 of a fleet without gateways."""
    done: list[int] = []
    there = SimpleNamespace(
        head=lambda track: ({"canary": 7, "stable": 3}[track], 1),
        signed=lambda number: object(),
        reports=dict,
        set_head=lambda track, number: done.append(number),
    )

    class Opened:
        def __enter__(self) -> Any:
            return there

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(fleet, "settings", lambda file: SimpleNamespace(fleet="national"))
    monkeypatch.setattr(fleet, "store", lambda where: Opened())
    return done


def run(name: str | None) -> int:
    asked = {"act": "promote", "name": name, "fleet": None, "wait": None}
    return fleet.run(Namespace(**asked, force=True, format="json"))


def test_without_a_number_it_is_the_canaries(promoted: list[int]) -> None:
    assert run(None) == 0
    assert run("12") == 0
    assert promoted == [7, 12]


@pytest.mark.parametrize("name", ["0", "00", "-1", "²", "1" * 13, "9" * 5020, "x\x1b[2J"])
def test_no_number_is_not_the_canaries(
    promoted: list[int], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(name)
    assert caught.value.code == 64
    assert promoted == []
    assert "a revision is a number, like 42" in capsys.readouterr().err
