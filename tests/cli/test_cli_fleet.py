"""`enforcer fleet`: which revision is meant, said by a number or by the canaries."""

from __future__ import annotations

import json
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from enforcer.cli import fleet
from enforcer.cli.main import main
from tests.fleet.test_reports import REPORT


@pytest.fixture
def promoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """What is promoted, where the canaries hold 7 of a fleet without gateways."""
    done: list[int] = []
    there = SimpleNamespace(
        head=lambda track: ({"canary": 7, "stable": 3}[track], 1),
        signed=lambda number: object(),
        reports=lambda _roster: {},
        roster=dict,
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


def test_a_refused_gateway_yaml_ends_the_follower_as_bad_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("version: 1\nfleet: {name: national}\n")
    assert main(["follow", "--fleet", str(file)]) == 78, "the code on which its unit stays down"
    assert f"{file}:2:" in capsys.readouterr().err


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two canaries, one of them silent, and a stable gateway with a window of its own."""
    reports = {
        "c1": None,
        "c2": replace(REPORT, gateway="c2", track="canary"),
        "edge-1": replace(REPORT, local=("urgent",)),
    }
    there = SimpleNamespace(
        head=lambda track: (7, 1),
        reports=lambda _roster: reports,
        roster=lambda: {"c1": "canary", "c2": "canary", "edge-1": "stable"},
    )
    monkeypatch.setattr(fleet, "settings", lambda file: SimpleNamespace(fleet="national"))
    monkeypatch.setattr(fleet, "store", lambda where: nullcontext(there))


@pytest.mark.usefixtures("status")
def test_a_silent_canary_counts_and_windows_of_their_own_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = {"act": "status", "name": None, "fleet": None, "wait": None, "color": "never"}
    assert fleet.run(Namespace(**asked, format="text", all=True)) == 1
    said = capsys.readouterr().out
    assert "canary: revision 7, held by 1 of 2" in said
    assert "silent: 1" in said
    assert "windows of their own: urgent (1)" in said
    assert "ok; declared there: urgent" in said
    assert fleet.run(Namespace(**asked, format="json", all=True)) == 1
    rows = {row["gateway"]: row for row in json.loads(capsys.readouterr().out)["gateways"]}
    assert (rows["c1"]["track"], rows["c1"]["reports"]) == ("canary", False)
    assert (rows["edge-1"]["local"], rows["c2"]["local"]) == (["urgent"], [])
