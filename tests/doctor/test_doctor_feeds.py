"""Feeds that do not come, judged from values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from enforcer.doctor.feeds import judge_feeds
from enforcer.doctor.findings import ok, warning
from enforcer.observe.snapshot import FeedLook

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
