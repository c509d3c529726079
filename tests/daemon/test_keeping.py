"""The last good configuration is kept beside the loop: nothing waits for a disk."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from enforcer import keeping
from enforcer.keeping import Keeper
from enforcer.observe.snapshot import Kept
from enforcer.policy.registry import parse_registry
from enforcer.sources.files import Documents
from enforcer.sources.lastgood import read_last_good
from enforcer.sources.load import Configuration
from tests.daemon.daemon_worlds import BEFORE, OPENS, REGISTRY, World

CONFIG = Path("/etc/enforcer/enforcer.yaml")
PATIENCE_S = 20


def configuration(world: World, rows: str = "") -> Configuration:
    made = world.configuration()
    text = (REGISTRY + rows).encode()
    documents = Documents(
        "enforcer.yaml",
        {"enforcer.yaml": world.main.encode(), "windows.d/w.yaml": world.windows.encode()},
    )
    registry = parse_registry("registry.csv", text, made.policy.categories)
    return replace(made, registry=registry, documents=documents)


@pytest.fixture
def world() -> World:
    return World()


class Disk:
    """A disk that takes nothing until it is let go; `fails` ends each write with an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.go, self.fails = threading.Semaphore(0), threading.Semaphore(0), False
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.asked.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        if self.fails:
            raise OSError(28, "No space left on device")
        self._sync(descriptor)

    def let_go(self, times: int = 2) -> None:
        """A snapshot is synced twice: itself and its folder."""
        for _ in range(times):
            self.go.release()


def settled(keeper: Keeper) -> Kept:
    keeper.close()
    return keeper.state


def test_what_is_in_force_is_on_the_disk_soon(world: World, tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, CONFIG)
    wanted = configuration(world)
    for _ in range(3):
        keeper.keep(wanted, BEFORE)
    assert settled(keeper) == Kept(BEFORE)
    kept = read_last_good(tmp_path)
    assert kept is not None
    assert kept.is_of(wanted)
    assert kept.config == str(CONFIG)


def test_a_window_opens_at_its_instant_while_the_disk_hangs(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    keeper = Keeper(tmp_path, CONFIG)
    world.step_at(BEFORE)
    keeper.keep(configuration(world), BEFORE)
    assert disk.asked.acquire(timeout=PATIENCE_S), "the write is under way, and hangs"
    world.step_at(OPENS)
    keeper.keep(configuration(world, "R-98,198.51.100.98/32,freelancer,,,\n"), OPENS)
    assert world.armed() == {"ddos"}
    assert read_last_good(tmp_path) is None
    disk.let_go(4)
    assert settled(keeper) == Kept(OPENS)


def test_of_several_that_wait_the_newest_is_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    keeper = Keeper(tmp_path, CONFIG)
    keeper.keep(configuration(world), BEFORE)
    assert disk.asked.acquire(timeout=PATIENCE_S)
    for number in range(20, 25):
        rows = f"R-9,198.51.100.{number}/32,freelancer,,,\n"
        keeper.keep(configuration(world, rows), BEFORE + timedelta(minutes=number))
    # The first and the last of them: two writes of two syncs each.
    disk.let_go(4)
    assert settled(keeper) == Kept(BEFORE + timedelta(minutes=24))
    kept = read_last_good(tmp_path)
    assert kept is not None
    assert str(kept.registry.row(10).prefix) == "198.51.100.24/32"


def test_a_full_disk_is_said_tried_again_and_said_to_be_over(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.fails = True
    keeper = Keeper(tmp_path, CONFIG)
    wanted = configuration(world)
    keeper.keep(wanted, BEFORE)
    disk.let_go(1)
    problem = f"the last good configuration is not kept ({tmp_path}: No space left on device)"
    while keeper.state.problem is None:
        threading.Event().wait(0.01)
    assert keeper.state == Kept(None, problem)
    keeper.keep(wanted, BEFORE)
    assert not disk.asked.acquire(blocking=False) or not disk.asked.acquire(blocking=False), (
        "not at every step"
    )
    monkeypatch.setattr(keeping, "RETRY_S", 0.0)
    disk.fails = False
    disk.let_go(2)
    keeper.keep(wanted, BEFORE)
    assert settled(keeper) == Kept(BEFORE)


@pytest.mark.parametrize(
    ("error", "said"), [(MemoryError(), "memory ran out"), (ValueError("of a row"), "ValueError")]
)
def test_what_nobody_foresaw_is_said_and_the_next_one_is_written_all_the_same(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    def fails(*_: object) -> None:
        raise error

    keeper = Keeper(tmp_path, CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "write_last_good", fails)
        keeper.keep(configuration(world), BEFORE)
        until = time.monotonic() + PATIENCE_S
        while keeper.state.problem is None and time.monotonic() < until:
            threading.Event().wait(0.01)
    problem = f"the last good configuration is not kept ({tmp_path}: {said})"
    assert keeper.state == Kept(None, problem)
    keeper.keep(configuration(world), OPENS)
    assert settled(keeper) == Kept(OPENS)


def test_a_restart_does_not_write_what_stands_there(world: World, tmp_path: Path) -> None:
    first = Keeper(tmp_path, CONFIG)
    first.keep(configuration(world), BEFORE)
    settled(first)
    written = (tmp_path / "last-good").stat().st_ino
    again = Keeper(tmp_path, CONFIG, read_last_good(tmp_path))
    again.keep(configuration(world), OPENS)
    assert settled(again) == Kept(BEFORE), "it was accepted then"
    assert (tmp_path / "last-good").stat().st_ino == written
