"""`enforcer check`: what is wrong, all of it, for people and for programs."""

from __future__ import annotations

import pytest

from tests.cli.cli_worlds import MAIN, REGISTRY, Place


def test_a_valid_configuration_is_summed_up(place: Place) -> None:
    said = place.run("check")
    assert said.code == 0
    assert said.out == "valid: 1 window, 1 estate, 4 registrations in 1 file\n"
    assert place.run("check", "--format", "json").json == {"ok": True, "errors": []}


def test_windows_of_a_year_that_is_over_are_told(place: Place) -> None:
    window = (
        "- id: {0}\n  reason: r\n  declared_by: d\n  reference: r\n"
        '  start: "{1}-12-01T08:00:00Z"\n  duration: 2h\n  measures: {{mark: {{fwmark: 0x51}}}}\n'
    )
    place.write(windows=window.format("works", 2020) + window.format("far", 2090))
    assert place.run("check").out.startswith("valid: 2 windows (1 over: works), ")
    several = "".join(window.format(f"w{year}", year) for year in range(2015, 2020))
    place.write(windows=several)
    said = place.run("check").out
    assert said.startswith("valid: 5 windows (5 over: …, w2017, w2018, w2019), ")

    (note,) = place.run("check", "--format", "json").json["notes"]
    assert note == "windows: 5 over: …, w2017, w2018, w2019"


def test_where_no_uplink_is_on_this_machine_it_is_valid_and_this_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write(main=MAIN.replace("uplinks: [wan0]", "uplinks: [wna0]"))
    note = (
        "gateway.uplinks: wna0 is not on this machine; interfaces that are: wan0, lan0; correct "
        "the name, unless the files are for another machine"
    )
    said = place.run("check")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "valid: 1 window, 1 estate, 4 registrations in 1 file",
        f"note: {note}",
    ]
    answer = place.run("check", "--format", "json")
    assert (answer.code, answer.json) == (0, {"ok": True, "errors": [], "notes": [note]})
    place.write(main=MAIN.replace("uplinks: [wan0]", "uplinks: [wna0, wan0]"))
    some = "uplink wna0 is not there: nothing that comes in by it is guarded; see: ip link"
    assert place.run("check").out.splitlines()[1:] == [f"note: {some}"]
    place.write(main=MAIN.replace("device: wan0", "device: wan00"))
    link = "link wan: wan00 is not there: nothing is reserved on it; see: ip link"
    assert place.run("check", "--format", "json").json["notes"] == [link]
    place.write()
    assert "note" not in place.run("check").out
    # What the kernel does not tell is not known to be wrong.
    place.write(main=MAIN.replace("uplinks: [wan0]", "uplinks: [wna0]"))
    monkeypatch.setattr("enforcer.uplinks.devices_here", lambda: ())
    assert "note" not in place.run("check").out


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


def test_of_another_name_it_is_not_said_that_init_writes_it(place: Place) -> None:
    said = place.run("check", "--config", "/nonexist.yaml")
    assert said.code == 78
    assert "enforcer init FOLDER writes FOLDER/enforcer.yaml to begin from" in said.out


def test_the_mark_of_a_merge_conflict_is_called_so(place: Place) -> None:
    text = place.config.read_text()
    for broken, line in ((f"<<<<<<< HEAD\n{text}", 1), (f"{text}<<<<<<< HEAD\n=======\n", None)):
        place.config.write_text(broken)
        said = place.run("check").out
        at = line or text.count("\n") + 1
        fact = "the mark of a merge conflict in the file; resolve it"
        assert said == f"enforcer.yaml:{at}:1: {fact}\n"


def test_a_configuration_that_is_not_there_says_so(place: Place) -> None:
    place.config.unlink()
    said = place.run("check")
    help_ = f"(enforcer init {place.config.parent} writes one to begin from)"
    assert (said.code, said.out) == (
        78,
        f"{place.config}: does not exist; create it, or correct its name {help_}\n",
    )
