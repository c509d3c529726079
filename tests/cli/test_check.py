"""`enforcer check`: what is wrong, all of it, for people and for programs."""

from __future__ import annotations

from tests.cli.cli_worlds import MAIN, REGISTRY, Place


def test_a_valid_configuration_is_summed_up(place: Place) -> None:
    said = place.run("check")
    assert said.code == 0
    assert said.out == "valid: 1 window, 1 estate, 4 registrations in 1 file\n"
    assert place.run("check", "--format", "json").json == {"ok": True, "errors": []}


def test_every_error_is_told_at_once_with_its_place(place: Place) -> None:
    place.write(main=MAIN.replace("lease: 10m", "lease: soon").replace("1gbit", "fast"))
    said = place.run("check", "--format", "json")
    assert said.code == 78
    answer = said.json
    assert answer["ok"] is False
    assert answer["count"] == 2
    assert [(e["file"], e["line"], e["path"]) for e in answer["errors"]] == [
        ("enforcer.yaml", 2, "gateway.lease"),
        ("enforcer.yaml", 11, "links.wan.rate"),
    ]
    assert all(set(e) == {"file", "line", "column", "path", "message"} for e in answer["errors"])
    lines = place.run("check").out.splitlines()
    assert [line.split(": ")[0].split(":")[:2] for line in lines] == [
        ["enforcer.yaml", "2"],
        ["enforcer.yaml", "11"],
    ]


def test_a_bad_row_of_the_registry_is_an_error_of_the_configuration(place: Place) -> None:
    place.write(registry=REGISTRY + "R-9,198.51.100.1/24,software-house,,,\n")
    (error,) = place.run("check", "--format", "json").json["errors"]
    assert (error["file"], error["line"]) == ("registry.csv", 6)


def test_a_configuration_that_is_not_there_says_so(place: Place) -> None:
    place.config.unlink()
    said = place.run("check")
    help_ = f"(enforcer init {place.config.parent} writes one to begin from)"
    assert (said.code, said.out) == (
        78,
        f"{place.config}: does not exist; create it, or correct its name {help_}\n",
    )
