"""Feeds in their time, with settings that may change, and a log that says what is new."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from enforcer import log
from enforcer.errors import PolicyError, Problem
from enforcer.feeds import loop as loops
from enforcer.feeds.loop import Loop
from enforcer.feeds.settings import Settings, read_settings
from enforcer.feeds.shelf import Shelf
from enforcer.feeds.state import State
from enforcer.feeds.taking import Told
from enforcer.policy.feed import Feed
from tests.feeds.feed_world import NOW
from tests.feeds.test_feeds_state import ONE

FEED = Feed("registrar", "registrar.csv", ("https://a.example/r",))
GOOD = Told("registrar", "accepted", State(ONE, NOW, NOW, "accepted"))
BAD = Told("registrar", "failed", State(ONE, NOW, NOW, "failed", "no"), "no")
PATIENCE_S = 20.0


class World:
    """A loop whose turns are told by `answers`, the last one again and again."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(folder / "enforcer.yaml", b"1", (FEED,), ("mission",), 0.2)
        self.found: Settings | PolicyError = self.settings
        self.answers = [GOOD]
        self.turns: list[str] = []
        self.stop, self.poked = threading.Event(), threading.Event()
        self.loop = Loop(self.settings, self.read, lambda _: self, lambda: NOW)  # type: ignore[arg-type, return-value]
        self.thread = threading.Thread(target=self.loop.run, args=(self.stop, self.poked))

    def read(self) -> Settings:
        if isinstance(self.found, PolicyError):
            raise self.found
        return self.found

    def turn(self, feed: Feed) -> Told:
        self.turns.append(feed.name)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end
            time.sleep(0.01)

    def close(self) -> None:
        self.stop.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(loops, "LOOK_S", 0.02)
    log.configure("text", journal=False)
    return World(tmp_path)


def test_it_fetches_at_once_and_then_in_its_time(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("text", journal=False)
    world.thread.start()
    world.until(lambda: len(world.turns) == 1)
    time.sleep(0.2)
    assert len(world.turns) == 1, "an hour is not over"
    world.poked.set()
    world.until(lambda: len(world.turns) == 2)
    world.close()
    assert "info feed_accepted feed=registrar rows=5 serial=42" in capsys.readouterr().err


def test_after_a_failure_it_comes_again_and_says_once_what_is_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loops, "FIRST_WAIT_S", 0.001)
    log.configure("text", journal=False)
    world.answers = [BAD, BAD, BAD, replace(GOOD, result="unchanged")]
    world.thread.start()
    world.until(lambda: len(world.turns) == 4)
    world.close()
    said = capsys.readouterr().err
    assert said.count("error feed_failed feed=registrar problem=no") == 1
    assert said.count("info feed_back") == 1


def test_pauses_grow_up_to_the_feeds_own_pace(world: World) -> None:
    pauses = []
    for _ in range(12):
        world.loop._account(FEED, BAD)
        pauses.append(world.loop._due_s["registrar"] - time.monotonic())
    assert 5 < pauses[0] <= 30
    assert all(pause <= 3600 for pause in pauses)
    assert max(pauses) > 720
    world.loop._account(FEED, replace(BAD, wait_s=3000.0))
    assert world.loop._due_s["registrar"] - time.monotonic() > 2990


def test_a_restart_asks_no_server_before_its_time(world: World) -> None:
    shelf = Shelf(world.settings.file(FEED))
    for state, rests in (
        (State(ONE, NOW.replace(minute=0, hour=7), NOW, "unchanged"), False),
        (State(ONE, NOW.replace(minute=30, hour=7), NOW, "unchanged"), True),
        (State(ONE, NOW.replace(minute=30, hour=7), NOW, "failed", "no"), False),
        (State(ONE, NOW.replace(minute=30, hour=9), NOW, "unchanged"), False),
    ):
        with shelf.held(0):
            shelf.keep(state)
        assert (world.loop._rest_s(FEED) > 0) == rests


def test_a_changed_file_is_taken_and_a_wrong_one_is_not(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("text", journal=False)
    world.thread.start()
    world.until(lambda: world.turns == ["registrar"])
    world.found = PolicyError([Problem("enforcer.yaml", 3, 1, "", "no; yes")])
    time.sleep(0.2)
    other = replace(FEED, name="other", file="other.csv")
    world.found = replace(world.settings, text=b"2", feeds=(FEED, other))
    world.until(lambda: world.turns == ["registrar", "other"])
    world.close()
    said = capsys.readouterr().err
    assert said.count('settings_refused first="enforcer.yaml:3:1: no; yes"') == 1
    assert "info settings_taken feeds=2" in said


def test_windows_with_mistakes_keep_no_feed_from_coming(tmp_path: Path) -> None:
    config = tmp_path / "enforcer.yaml"
    config.write_text(
        "version: 1\ngateway: {name: edge-1, uplinks: [wan0]}\ncategories: [mission]\n"
        "registry: {sources: [{feed: {name: a, urls: ['https://a.example/r']}}]}\n"
    )
    (tmp_path / "windows.d").mkdir()
    (tmp_path / "windows.d" / "w.yaml").write_text("nonsense")
    assert [feed.name for feed in read_settings(config).feeds] == ["a"]
    config.write_text("version: 1\n")
    with pytest.raises(PolicyError, match="the key"):
        read_settings(config)
    config.write_text("{")
    with pytest.raises(PolicyError):
        read_settings(config)
    with pytest.raises(PolicyError, match=r"does not exist.*\(enforcer init FOLDER writes"):
        read_settings(tmp_path / "nowhere.yaml")
