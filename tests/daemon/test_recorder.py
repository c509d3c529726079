"""What the daemon did is on record as soon as it can be; what people decide, before it is done."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from daemon_worlds import BEFORE, TurnedClock

from enforcer import recorder as module
from enforcer.errors import Problem
from enforcer.observe.audit import Event, record
from enforcer.observe.audit_files import FILE, records
from enforcer.observe.audit_verify import verify_directory
from enforcer.policy.model import Once, Window
from enforcer.policy.shrinking import Loss, ShrinkError
from enforcer.recorder import SELDOM, Recorder
from enforcer.sources.files import RegistryError

SECOND = timedelta(seconds=1)
WINDOW = Window("ddos", "r", "d", "NOC-1", Once(BEFORE, BEFORE + SECOND), UTC, "UTC")


class Room:
    """A recorder, its directory, and a disk that may refuse."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self.clock, self.full = directory, TurnedClock(BEFORE), False
        self.recorder = Recorder(directory, self.clock.now)
        self._write = os.write
        monkeypatch.setattr("enforcer.observe.audit_files.os.write", self._os_write)

    def _os_write(self, descriptor: int, data: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, data)

    def event(self, what: str = "armed", **more: Any) -> Event:
        return Event(self.clock.now(), what, "enforcer", "ddos", "R", more)

    def whats(self) -> list[str]:
        return [r.what for r in records(self.directory)]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(tmp_path, monkeypatch)


def test_every_record_carries_the_stamp_of_what_is_in_force(room: Room) -> None:
    room.recorder.stamp = {"policy": "abc", "registry": "def"}
    room.recorder.tell(room.event())
    (only,) = records(room.directory)
    assert (only.values["policy"], only.values["registry"]) == ("abc", "def")
    assert (room.recorder.state.records, room.recorder.state.digest) == (1, only.digest)


def test_a_full_disk_holds_nothing_up_and_all_is_recorded_in_order_when_there_is_room(
    room: Room,
) -> None:
    room.recorder.tell(room.event("armed"))
    room.full = True
    for what in ("changed", "ended"):
        room.clock.at += SECOND
        room.recorder.tell(room.event(what))
    state = room.recorder.state
    assert (state.records, state.waiting, state.failures) == (1, 2, 2)
    assert "cannot be written" in (state.problem or "")
    assert os.strerror(errno.ENOSPC) in (state.problem or "")
    room.full = False
    room.recorder.look()
    assert room.whats() == ["armed", "changed", "ended", "late"]
    assert list(records(room.directory))[3].values["since"] == "2026-12-01T07:00:01Z"
    state = room.recorder.state
    assert (state.records, state.waiting, state.problem) == (4, 0, None)
    assert verify_directory(room.directory).ok


def test_instants_of_late_records_are_those_of_what_happened(room: Room) -> None:
    room.full = True
    room.recorder.tell(room.event())
    room.full = False
    room.clock.at += timedelta(hours=1)
    room.recorder.look()
    assert [r.at for r in records(room.directory)] == [BEFORE, BEFORE + timedelta(hours=1)]


def test_what_waits_is_bounded_and_what_is_lost_is_said(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    room.full = True
    for number in range(5):
        room.recorder.tell(room.event(number=number))
    assert room.recorder.state.lost == 2
    room.full = False
    room.recorder.look()
    told = list(records(room.directory))
    assert [r.values.get("number") for r in told] == [2, 3, 4, None]
    assert told[-1].values["lost"] == 2


def test_a_decision_is_refused_while_it_cannot_be_put_on_record(room: Room) -> None:
    room.full = True
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        room.recorder.put(room.event("confirmed"))
    room.recorder.tell(room.event("armed"))
    with pytest.raises(OSError, match="cannot be written"):
        room.recorder.put(room.event("confirmed"))
    room.full = False
    room.recorder.put(room.event("confirmed"))
    assert room.whats() == ["armed", "late", "confirmed"], "no refused decision is on record"


def test_what_is_told_meanwhile_does_not_refuse_a_decision(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At an edge: a window ends and another one is armed while the disk is at the first of both."""
    write = room.recorder._write

    def told_meanwhile(events: list[Event]) -> int:
        monkeypatch.setattr(room.recorder, "_write", write)
        room.recorder._queue(room.event("armed"))
        return write(events)

    room.recorder._queue(room.event("ended"))
    monkeypatch.setattr(room.recorder, "_write", told_meanwhile)
    room.recorder.put(room.event("confirmed"))
    room.recorder.look()
    assert room.whats() == ["ended", "confirmed", "armed"]


def test_a_loop_of_repairs_is_one_record_a_minute_with_their_number(room: Room) -> None:
    for _ in range(600):
        room.recorder.tell_seldom(room.event("repaired", by="nft"), "rules", "nft")
        room.recorder.look()
        room.clock.at += SECOND / 10
    room.recorder.look()
    room.clock.at += SELDOM
    room.recorder.look()
    told = list(records(room.directory))
    assert [r.values.get("times", 1) for r in told] == [1, 599]
    assert told[1].values["by"] == "nft"


def test_another_kind_is_told_at_once_but_not_without_end(room: Room) -> None:
    for number in range(3):
        room.recorder.tell_seldom(room.event("repaired"), str(number))
    assert len(room.whats()) == 3
    for number in range(500):
        room.recorder.tell_seldom(room.event("repaired"), str(number))
    assert len(room.whats()) <= module.MOST_KINDS + 1


def test_the_clock_set_back_does_not_silence_the_record(room: Room) -> None:
    room.recorder.tell_seldom(room.event("repaired"), "rules")
    room.clock.at -= timedelta(days=400)
    room.recorder.tell_seldom(room.event("repaired"), "rules")
    assert room.whats() == ["repaired", "repaired"]


def test_a_refused_load_tells_places_and_never_an_address(room: Room) -> None:
    problems = [Problem("registry.csv", 7, 1, "", "198.51.100.7/24 has host bits")]
    room.recorder.refused_load(RegistryError(problems, 30), "enforcer", "SIGHUP")
    (told,) = records(room.directory)
    assert told.values["places"] == ["registry.csv:7"]
    assert (told.values["kind"], told.values["errors"], told.values["cause"]) == (
        "registry",
        30,
        "SIGHUP",
    )
    assert "198.51" not in (room.directory / FILE).read_text()


def test_a_refused_shrinking_says_how_much_would_have_gone(room: Room) -> None:
    error = ShrinkError((Loss("mission", 10, 9),), 0.2, "0123abcd")
    room.recorder.refused_load(error, "noc (uid 7, pid 8)", "reload")
    (told,) = records(room.directory)
    assert told.values["kind"] == "shrink"
    assert told.values["places"][0].startswith("9 of 10 prefixes of category mission would")
    assert told.values["who"] == "noc (uid 7, pid 8)"


def test_a_refused_request_tells_why_only_of_a_window_that_is_known(room: Room) -> None:
    room.recorder.refused_request("confirm", "noc", None, "no window is named 198.51.100.7")
    room.recorder.refused_request("confirm", "noc", WINDOW, "it is over")
    room.recorder.refused_request("confirm", "noc", WINDOW, None)
    room.recorder.finish()
    keys = ("window", "reference", "verb", "why", "times")
    assert [tuple(r.values.get(key) for key in keys) for r in records(room.directory)] == [
        ("", "", "confirm", None, None),
        ("ddos", "NOC-1", "confirm", "it is over", None),
        ("ddos", "NOC-1", "confirm", None, 1),
    ]


def test_what_was_not_yet_told_of_a_loop_is_told_at_the_end(room: Room) -> None:
    for _ in range(7):
        room.recorder.tell_seldom(room.event("repaired"), "rules")
    room.recorder.finish()
    room.recorder.finish()
    assert [r.values.get("times", 1) for r in records(room.directory)] == [1, 6]


def test_what_a_command_wrote_meanwhile_is_counted(room: Room) -> None:
    room.recorder.tell(room.event())
    record(room.directory, room.event("closed"))
    room.recorder.look()
    assert room.recorder.state.records == 2


def test_ten_thousand_declarations_are_one_write_each_file(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real: Callable[[int], None] = os.fsync
    monkeypatch.setattr(
        "enforcer.observe.audit_files.os.fsync", lambda fd: (synced.append(fd), real(fd))
    )
    at: datetime = BEFORE
    room.recorder.tell(*(Event(at, "declared", "start", f"w{n}", "R") for n in range(10_000)))
    assert room.recorder.state.records == 10_000
    assert len(synced) < 20
    assert verify_directory(room.directory).ok
