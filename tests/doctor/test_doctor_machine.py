"""The machine around the daemon, judged from values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enforcer.doctor.findings import Finding, counts, ok, warning
from enforcer.doctor.machine import (
    ClockFacts,
    Daemons,
    File,
    Folder,
    judge_clock,
    judge_daemons,
    judge_files,
    judge_folder,
    judge_registered,
    judge_rights,
    judge_units,
    judge_zones,
    sorted_as_read,
)

STATE = Folder("/var/lib/enforcer", owner="enforcer")
UNIT = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "NeedDaemonReload": "no",
}


def test_what_is_not_well_has_a_remedy_and_nothing_else_has() -> None:
    with pytest.raises(ValueError, match="has a remedy"):
        Finding("clock", "fail", "wrong")
    with pytest.raises(ValueError, match="has a remedy"):
        Finding("clock", "ok", "right", "do something")
    found = [ok("a", "1"), warning("b", "2", "do")]
    assert counts(found) == {"ok": 1, "warning": 1, "fail": 0}
    assert sorted_as_read(found) == found[::-1]


@pytest.mark.parametrize(
    ("effective", "level"), [(0, "fail"), (1 << 12, "warning"), (1 << 12 | 1 << 21, "ok")]
)
def test_rights(effective: int, level: str) -> None:
    assert [f.level for f in judge_rights(effective)] == [level]


@pytest.mark.parametrize(
    ("facts", "required", "levels"),
    [
        (ClockFacts(True, None), True, ["ok"]),
        (ClockFacts(False, None), True, ["fail"]),
        (ClockFacts(False, None), False, ["warning"]),
        (ClockFacts(True, False), True, ["ok", "fail"]),
        (ClockFacts(True, False), False, ["ok"]),
        (ClockFacts(True, True), True, ["ok"]),
    ],
)
def test_the_clock_and_whom_the_unit_asks(
    facts: ClockFacts, required: bool, levels: list[str]
) -> None:
    assert [f.level for f in judge_clock(facts, required)] == levels


@pytest.mark.parametrize(
    ("folder", "level", "words"),
    [
        (STATE, "ok", "belongs to enforcer, 1,024.0 GiB free"),
        (replace(STATE, there=False), "warning", "does not exist"),
        (replace(STATE, owner="root"), "fail", "as enforcer, cannot write there"),
        (
            replace(STATE, owner="eve", why_not="belongs to eve, who could change it; chown root"),
            "fail",
            "/var/lib/enforcer belongs to eve, who could change it",
        ),
        (replace(STATE, free_bytes=15 << 20), "fail", "15 MiB are left there: the record will"),
        (replace(STATE, free_bytes=16 << 20), "warning", "16 MiB are left there"),
        (replace(STATE, free_bytes=256 << 20), "ok", "0.2 GiB free"),
        (replace(STATE, free_files=99), "fail", "no inodes are left"),
    ],
)
def test_the_state_directory(folder: Folder, level: str, words: str) -> None:
    (found,) = judge_folder("state", folder, "enforcer")
    assert found.level == level
    assert words in found.fact


def test_files_that_the_daemons_user_lacks() -> None:
    files = [
        File("/s/audit.jsonl", "root", "rw", "r"),
        File("/s/orders.json", "root", "r", ""),
        File("/s/last-good", "enforcer", "r", "rw"),
    ]
    record, orders = judge_files("state", files, "enforcer")
    assert record.fact == "/s/audit.jsonl belongs to root: the daemon, as enforcer, cannot write it"
    assert record.remedy == "chown enforcer: /s/audit.jsonl; chmod 640 /s/audit.jsonl"
    assert orders.fact.endswith("as enforcer, cannot read it")
    (window,) = judge_files("config", [File("/e/w.yaml", "root", "r", "")], "enforcer")
    assert window.level == "fail"
    assert window.remedy == "chgrp enforcer /e/w.yaml; chmod g+r /e/w.yaml"
    assert judge_files("state", files, None) == []


def test_a_run_directory_comes_with_the_daemon_and_users_may_not_exist() -> None:
    gone = Folder("/run/enforcer", there=False)
    assert judge_folder("run", gone, None) == [
        ok("run", "/run/enforcer is made when the daemon starts")
    ]
    assert judge_folder("state", Folder("/s"), None)[0].level == "ok"


@pytest.mark.parametrize(
    ("daemons", "levels", "words"),
    [
        (Daemons(), ["ok"], "none runs"),
        (Daemons("1.0", processes=(7,)), ["ok"], "1.0 runs"),
        (Daemons("0.9"), ["warning"], "the one that runs is 0.9, installed is 1.0"),
        (Daemons("1.0", processes=(7, 9)), ["fail", "ok"], "2 daemons run in this network"),
        (Daemons(None, "it may hang", "restart it"), ["warning"], "it may hang"),
        (Daemons(foreign="not ours"), ["fail", "ok"], "of somebody else's is in the kernel"),
    ],
)
def test_daemons(daemons: Daemons, levels: list[str], words: str) -> None:
    found = judge_daemons(daemons, "1.0")
    assert [f.level for f in found] == levels
    assert words in found[0].fact


@pytest.mark.parametrize(
    ("changed", "level", "fact"),
    [
        ({}, "ok", "enabled, active"),
        ({"LoadState": "not-found"}, "fail", "not installed (systemd says: not-found)"),
        ({"LoadState": ""}, "fail", "not installed (systemd says: nothing)"),
        ({"NeedDaemonReload": "yes"}, "warning", "its file is newer than what systemd knows"),
        ({"UnitFileState": "disabled"}, "warning", "disabled: not started at boot"),
        ({"UnitFileState": ""}, "warning", "not enabled: not started at boot"),
        ({"ActiveState": "failed"}, "fail", "failed"),
    ],
)
def test_units(changed: dict[str, str], level: str, fact: str) -> None:
    (found,) = judge_units({"enforcer.service": UNIT | changed})
    assert (found.level, found.fact, found.about) == (level, fact, "enforcer.service")


def test_without_systemd_it_is_said_once() -> None:
    assert [f.level for f in judge_units(None)] == ["warning"]


@pytest.mark.parametrize(
    ("version", "level"),
    [("2026a", "ok"), ("2025b", "ok"), ("2024b", "warning"), (None, "warning"), ("odd", "ok")],
)
def test_an_old_zone_database_is_a_warning(version: str | None, level: str) -> None:
    assert judge_zones(version, 2026).level == level


def test_a_registry_in_which_nothing_is_valid_fails() -> None:
    assert judge_registered(5, 0).level == "fail"
    assert judge_registered(5, 4) == ok(
        "registry", "4 prefixes are valid today, of 5 registrations"
    )
