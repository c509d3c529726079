"""What the daemon tells of feeds: read from the files that `enforcer fetch` leaves, at each look.

In: the feeds in force. Out: a `FeedLook` for each. A file is read again when it was exchanged; the
daemon asks no server and waits for nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from enforcer.feeds.state import MOST_BYTES, State, parsed, state_path
from enforcer.observe.snapshot import FeedLook
from enforcer.policy.feed import Feed
from enforcer.sources.reading import read_whole

_Stamp = tuple[int, int, int]


class FeedLooks:
    """`folder` is that of the configuration file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[_Stamp, State]] = {}

    def now(self, feeds: Iterable[Feed]) -> tuple[FeedLook, ...]:
        return tuple(map(self._look, feeds))

    def _look(self, feed: Feed) -> FeedLook:
        path = state_path(self._folder / feed.file)
        try:
            info = path.stat()
            stamp = info.st_mtime_ns, info.st_size, info.st_ino
            known = self._read.get(path)
            if known is None or known[0] != stamp:
                state = parsed(read_whole(path, MOST_BYTES, guarded=True))
                known = self._read[path] = stamp, state
        except FileNotFoundError:
            return look_of(feed, State(problem=f"never fetched; enforcer fetch --once {feed.name}"))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            return look_of(feed, State(problem=f"{path} cannot be read ({why})"))
        return look_of(feed, known[1])


def look_of(feed: Feed, state: State) -> FeedLook:
    accepted = state.accepted
    return FeedLook(
        feed.name,
        feed.file,
        feed.every_s,
        checked_at=state.checked_at,
        tried_at=state.tried_at,
        accepted_at=accepted.at if accepted else None,
        rows=accepted.rows if accepted else None,
        serial=accepted.serial if accepted else None,
        url=accepted.url if accepted else None,
        problem=state.problem,
        counts=tuple(state.counts.items()),
        named=accepted is not None and accepted.named,
    )
