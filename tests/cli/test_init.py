"""`enforcer init`: what it writes passes `check`, names the uplinks, and overwrites nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from enforcer import uplinks
from enforcer.cli.init import documents
from enforcer.sources.load import load_configuration
from tests.cli.cli_worlds import Place

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplinks, "default_devices", lambda: ("ppp0", "wan1"))


@pytest.mark.usefixtures("routed")
def test_what_it_writes_passes_check_and_opens_nothing(place: Place, tmp_path: Path) -> None:
    target = tmp_path / "new" / "etc"
    said = place.run("init", str(target))
    assert (said.code, said.err) == (0, "")
    config = load_configuration(target / "enforcer.yaml")
    assert config.policy.gateway.uplinks == ("ppp0", "wan1")
    assert [link.device for link in config.policy.links] == ["ppp0"]
    assert (config.policy.windows, len(config.registry)) == ((), 5)
    assert place.run("--config", str(target / "enforcer.yaml"), "check").code == 0
    # Whoever adds a window at the end has nothing to take out first.
    windows = (target / "windows.d" / "windows.yaml").read_text()
    assert not [line for line in windows.splitlines() if line and not line.startswith("#")]
    assert f"enforcer --config {target}/enforcer.yaml check" in said.out


@pytest.mark.usefixtures("routed")
@pytest.mark.parametrize("name", ["enforcer.yaml", "registry.csv", "windows.d/windows.yaml"])
def test_it_overwrites_nothing_and_then_writes_nothing(
    place: Place, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "etc"
    (target / name).parent.mkdir(parents=True)
    (target / name).symlink_to("nowhere")
    said = place.run("init", str(target))
    assert (said.code, said.out) == (1, "")
    assert f"{target / name}: there already, and nothing is overwritten; name another" in said.err
    assert [p for p in target.rglob("*") if p.is_file() or p.is_symlink()] == [target / name]


@pytest.mark.usefixtures("routed")
def test_json_names_what_was_written_and_what_is_next(place: Place, tmp_path: Path) -> None:
    said = place.run("init", str(tmp_path / "etc"), "--format", "json")
    assert said.code == 0
    assert said.json["written"] == [
        str(tmp_path / "etc" / n)
        for n in ("enforcer.yaml", "registry.csv", "windows.d/windows.yaml")
    ]
    assert said.json["uplinks"] == ["ppp0", "wan1"]
    again = place.run("init", str(tmp_path / "etc"), "--format", "json")
    assert (again.code, again.json["written"]) == (1, [])
    assert "there already" in again.json["error"]


def test_a_place_that_cannot_be_is_said(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = place.run("init", str(tmp_path / "file" / "etc"))
    assert said.code == 1
    assert "Not a directory; name another directory" in said.err


def test_the_daemons_user_can_read_it_whatever_the_umask(place: Place, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert place.run("init", str(tmp_path / "etc")).code == 0
    finally:
        os.umask(before)
    assert (tmp_path / "etc" / "registry.csv").stat().st_mode & 0o777 == 0o644


def test_comments_stay_in_their_column_and_odd_names_are_quoted() -> None:
    main = documents(["1e5"], "gw")["enforcer.yaml"]
    example = (CONFIG / "enforcer.yaml").read_text()
    column = example.splitlines()[12].index("#")
    assert '  name: "gw"'.ljust(column) + "# in status, audit and reports" in main
    assert '  uplinks: ["1e5"]'.ljust(column) + "# the interfaces" in main
    assert '  wan: {device: "1e5", rate: 1gbit}' in main


def test_without_a_default_route_the_example_stays_and_it_says_so() -> None:
    assert "  uplinks: [wan0] " in documents([], "gw")["enforcer.yaml"]
