"""Whether feeds come, judged from what `enforcer fetch` left. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from enforcer.doctor.findings import Finding, ok, warning
from enforcer.observe.snapshot import FeedLook
from enforcer.policy.feed import Feed

# As many of its intervals a feed may miss; the alert EnforcerFeedLate says the same.
MOST_MISSED = 4


def judge_feeds(looks: Iterable[FeedLook], now: datetime) -> list[Finding]:
    """What is in force stays, whatever a feed does: none of it is a failure."""
    return [_judge(look, now) for look in looks]


def judge_keys(feeds: Sequence[Feed], looks: Iterable[FeedLook]) -> list[Finding]:
    """Feeds that one key signs, and whose signatures do not say of which feed they are."""
    signers = Counter(key for feed in feeds for key in set(feed.public_keys))
    shared = {feed.name for feed in feeds if any(signers[key] > 1 for key in feed.public_keys)}
    return [
        warning(
            "feed",
            "another feed is signed with the same key, and its signature does not say which it "
            "is: whoever serves them could exchange them",
            f"have it signed with a trusted comment like feed:{look.name} serial:…",
            look.name,
        )
        for look in looks
        if look.name in shared and look.accepted_at is not None and not look.named
    ]


def _judge(look: FeedLook, now: datetime) -> Finding:
    once = f"enforcer fetch --once {look.name}"
    if look.problem is not None or look.checked_at is None:
        fact = look.problem or "never fetched"
        return warning("feed", fact, f"try, and see what it says: {once}", look.name)
    age = now - look.checked_at
    if age > MOST_MISSED * timedelta(seconds=look.every_s):
        return warning(
            "feed",
            f"nobody has asked for it since {look.checked_at:%Y-%m-%d %H:%MZ}",
            "systemctl enable --now enforcer-fetch",
            look.name,
        )
    return ok("feed", f"the newest as of {look.checked_at:%Y-%m-%d %H:%MZ}", look.name)
