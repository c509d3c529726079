"""What the daemon tells of feeds is what `enforcer fetch` wrote last, or why that is not known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from enforcer import feedlooks
from enforcer.feedlooks import FeedLooks
from enforcer.feeds.shelf import Shelf
from enforcer.feeds.state import State, state_path
from enforcer.observe.snapshot import FeedLook
from enforcer.policy.feed import Feed
from tests.feeds.feed_world import NOW
from tests.feeds.test_feeds_state import ONE

FEED = Feed("registrar", "feeds/r.csv", ("https://a.example/r",), every_s=900)


def test_it_is_what_was_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, shelf = FeedLooks(tmp_path), Shelf(tmp_path / FEED.file)
    never = "never fetched; enforcer fetch --once registrar"
    assert looks.now([FEED]) == (FeedLook("registrar", FEED.file, 900, problem=never),)
    with shelf.held(0):
        shelf.keep(State(ONE, NOW, NOW, "accepted", None, {"accepted": 1}))
    (told,) = looks.now([FEED])
    assert (told.checked_at, told.rows, told.serial, told.problem) == (NOW, 5, 42, None)
    later = NOW + timedelta(hours=1)
    with shelf.held(0):
        shelf.keep(State(ONE, NOW, later, "failed", "no", {"accepted": 1, "failed": 1}))
    (told,) = looks.now([FEED])
    assert (told.checked_at, told.tried_at, told.problem) == (NOW, later, "no")
    assert told.counts == (("accepted", 1), ("failed", 1))

    def unread(*_: object, **__: object) -> bytes:
        raise AssertionError("read again, and nothing was exchanged")

    monkeypatch.setattr(feedlooks, "read_whole", unread)
    assert looks.now([FEED]) == (told,)
    assert looks.now([replace(FEED, every_s=5)])[0].every_s == 5


def test_a_spoilt_file_is_said_and_nothing_else(tmp_path: Path) -> None:
    path = state_path(tmp_path / FEED.file)
    path.parent.mkdir()
    path.write_text("{")
    (told,) = FeedLooks(tmp_path).now([FEED])
    assert told.problem is not None
    assert "cannot be read" in told.problem
    assert told.checked_at is None
