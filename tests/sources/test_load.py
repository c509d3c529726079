"""A configuration loaded over the one in force: as if it were the first, whatever changed."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from enforcer.errors import PolicyError
from enforcer.lab.registry import CATEGORIES, generate
from enforcer.policy import registry as room
from enforcer.policy import registry_pieces
from enforcer.policy.model import Gateway, Policy
from enforcer.schedule.horizon import NO_ORDERS
from enforcer.sources.load import Configuration, load_configuration, parse_all, with_policy
from tests.cli.cli_worlds import MAIN, REGISTRY, window_text
from tests.policy.test_registry_pieces import everything

POLICY = Policy(Gateway("gw", ("wan0",)), CATEGORIES)
FILES = {"a.csv": 5, "b.csv": 6, "c.csv": 7}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PIECE_BYTES", 4000)


def loaded(files: dict[str, bytes], before: Configuration | None = None) -> Configuration:
    registry, pieces = parse_all(files, POLICY, before)
    return Configuration(POLICY, registry, None, pieces)


@pytest.mark.parametrize("seed", range(5))
def test_several_files_read_again_are_as_read_for_the_first_time(seed: int) -> None:
    random = Random(seed)
    files = {name: generate(400, number) for name, number in FILES.items()}
    before = loaded(files)
    for _ in range(4):
        name = random.choice(sorted(files))
        lines = files[name].splitlines(keepends=True)
        lines[random.randrange(1, len(lines))] = b"R-new,198.18.7.0/24,mission,,,udp/7\n"
        del lines[random.randrange(1, len(lines))]
        files[name] = b"".join(lines)
        if random.random() < 0.3:
            files = dict(reversed(files.items()))
        again, fresh = loaded(files, before), loaded(files)
        assert everything(again.registry) == everything(fresh.registry)
        for family in (4, 6):
            columns = again.registry.of_family(family)  # type: ignore[arg-type]
            assert columns.file.tolist() == fresh.registry.of_family(family).file.tolist()  # type: ignore[arg-type]
        assert again.pieces == fresh.pieces
        before = again


def test_of_files_that_did_not_change_nothing_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: generate(400, number) for name, number in FILES.items()}
    before = loaded(files)

    def never(*_: object) -> object:
        raise AssertionError("a piece was parsed")

    monkeypatch.setattr(registry_pieces, "read_csv", never)
    assert loaded(files, before).registry.digest == before.registry.digest
    with pytest.raises(AssertionError, match="a piece was parsed"):
        loaded(files)


NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    for name, text in (("enforcer.yaml", MAIN), ("registry.csv", REGISTRY)):
        (tmp_path / name).write_text(text)
    (tmp_path / "windows.d").mkdir()
    for path in (tmp_path, *tmp_path.iterdir()):
        os.chmod(path, 0o700)
    return tmp_path


def test_the_policy_is_read_anew_beside_the_registrations_in_force(etc: Path) -> None:
    before = load_configuration(etc / "enforcer.yaml", NOW)
    assert before.policy.windows == ()
    (etc / "windows.d" / "w.yaml").write_text(window_text("ddos", NOW, NOW + timedelta(hours=2)))
    (etc / "registry.csv").unlink()
    after = with_policy(etc / "enforcer.yaml", before, NOW, NO_ORDERS, ())
    assert [w.id for w in after.policy.windows] == ["ddos"]
    assert after.registry is before.registry
    assert after.documents is not None
    assert after.documents.policy(NOW) == after.policy


def test_a_calendar_that_others_may_exchange_is_refused_beside_them_too(etc: Path) -> None:
    before = load_configuration(etc / "enforcer.yaml", NOW)
    calendars = etc / "calendars"
    calendars.mkdir(mode=0o755)
    (calendars / "c.ics").write_text(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\n"
        "DTSTART:20270101T080000Z\r\nDTEND:20270101T100000Z\r\n"
        "END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    text = window_text("ddos", NOW, NOW + timedelta(hours=2)).splitlines(keepends=True)
    times = [line for line in text if line.split(":")[0].strip() not in ("start", "end")]
    times.insert(1, "  calendar: ../calendars/c.ics\n")
    (etc / "windows.d" / "w.yaml").write_text("".join(times))
    (etc / "registry.csv").unlink()
    assert with_policy(etc / "enforcer.yaml", before, NOW, NO_ORDERS, ()).policy.windows
    calendars.chmod(0o777)
    with pytest.raises(PolicyError, match=r"^calendars: "):
        with_policy(etc / "enforcer.yaml", before, NOW, NO_ORDERS, ())


@pytest.mark.parametrize(
    ("there", "other"), [("registry.csv", "other.csv"), ("freelancer", "lone-wolf")]
)
def test_not_beside_registrations_that_are_not_meant_any_more(
    etc: Path, there: str, other: str
) -> None:
    before = load_configuration(etc / "enforcer.yaml", NOW)
    (etc / "enforcer.yaml").write_text(MAIN.replace(there, other))
    with pytest.raises(PolicyError, match="names other registry files or categories"):
        with_policy(etc / "enforcer.yaml", before, NOW, NO_ORDERS, ())
