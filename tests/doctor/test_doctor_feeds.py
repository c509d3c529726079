"""Feeds that do not come, judged from values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from enforcer.doctor.feeds import judge_feeds, judge_keys
from enforcer.doctor.findings import ok, warning
from enforcer.observe.snapshot import FeedLook
from enforcer.policy.feed import Feed
from enforcer.policy.keys import PublicKey

NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
TRY = "try, and see what it says: enforcer fetch --once registrar"


def test_a_feed_that_comes_is_well_and_one_that_does_not_says_why() -> None:
    def look(age: timedelta | None, problem: str | None = None) -> FeedLook:
        return FeedLook("registrar", "r.csv", 900, NOW - age if age else None, problem=problem)

    hour, more = timedelta(hours=1), timedelta(hours=1, seconds=1)
    assert judge_feeds([look(hour), look(more), look(None), look(hour, "answers 404")], NOW) == [
        ok("feed", "the newest as of 2026-12-01 07:00Z", "registrar"),
        warning(
            "feed",
            "nobody has asked for it since 2026-12-01 06:59Z",
            "systemctl enable --now enforcer-fetch",
            "registrar",
        ),
        warning("feed", "never fetched", TRY, "registrar"),
        warning("feed", "answers 404", TRY, "registrar"),
    ]


def test_feeds_of_one_key_that_do_not_say_which_they_are() -> None:
    one, two = PublicKey(b"12345678", b"1" * 32), PublicKey(b"12345678", b"2" * 32)
    keys = {"a": (one, one), "b": (two,), "c": (two, one), "d": ()}
    feeds = [Feed(name, f"{name}.csv", (), signers) for name, signers in keys.items()]
    looks = [FeedLook(name, "", 900, NOW, accepted_at=NOW) for name in keys]
    found = judge_keys(feeds, looks)
    assert [finding.about for finding in found] == ["a", "b", "c"]
    assert "feed:a serial:" in found[0].remedy
    assert judge_keys(feeds[:2], looks[:2]) == [], "one key each"
    assert judge_keys(feeds, [replace(look, named=True) for look in looks]) == []
    assert judge_keys(feeds, [FeedLook("a", "", 900)]) == [], "nothing is in force"
