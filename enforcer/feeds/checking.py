"""A body and its signature → what the daemon may read, or why not.

In: bytes of a stranger. Out: `Checked`, or RefusedError. Nothing here touches the disk or the
network: a body passes all of it before it comes near the file that the daemon reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from enforcer.errors import PolicyError
from enforcer.feeds.shelf import digest_of
from enforcer.feeds.state import Accepted
from enforcer.feeds.unpacking import UnpackError, opened
from enforcer.policy.feed import Feed
from enforcer.policy.registry import Registry
from enforcer.policy.words import shown
from enforcer.registries.reading import Asked, read_registry
from enforcer.registries.writing import pieces
from enforcer.sources.minisign import SignatureError, feed_of, serial_of, verify

# So much of an error of many lines; the log is no place for a registry.
_MOST_TOLD = 3


class RefusedError(Exception):
    """The body is not taken; the text says why, as `fact; remedy`. `again`: it may have been read
    while it was exchanged for another one. `details` are for a person's terminal, and for no log.
    """

    def __init__(self, text: str, *, again: bool = False, details: str = "") -> None:
        super().__init__(text)
        self.again, self.details = again, details


@dataclass(frozen=True, slots=True)
class Checked:
    """`kept` is the file for the daemon, None when it has this very body; `body` the digest of what
    came, `serial` that of its signature; `named`: the signature says that it is of this feed.
    """

    kept: bytes | None
    body: str
    rows: int
    serial: int | None
    registry: Registry | None = None
    named: bool = False


def terms_of(feed: Feed, categories: Sequence[str]) -> str:
    """A digest of what the configuration demands of a body."""
    keys = sorted(map(str, feed.public_keys))
    demands = [keys, feed.category, feed.form, feed.max_bytes, feed.max_rows, list(categories)]
    return digest_of(json.dumps(demands).encode())


def check(
    feed: Feed,
    body: bytes,
    signature: bytes | None,
    categories: Sequence[str],
    before: Accepted | None,
    *,
    held: bool,
) -> Checked:
    """`before` is what was accepted last; `held`: the daemon's file is that, by the same terms.
    Raises RefusedError.
    """
    digest = digest_of(body)
    comment = _comment(feed, body, signature)
    serial, named = None, False
    if comment is not None:
        named = _is_named(feed, comment)
        serial = _serial(comment, before, digest)
    if held and before is not None and before.body == digest:
        return Checked(None, digest, before.rows, serial, named=named)
    try:
        registry, kept = _read(feed, opened(body, feed.max_bytes), categories)
    except UnpackError as error:
        raise RefusedError(str(error)) from error
    except PolicyError as error:
        raise RefusedError(_told(error), details=str(error)) from error
    return Checked(kept, digest, len(registry), serial, registry, named)


def _comment(feed: Feed, body: bytes, signature: bytes | None) -> str | None:
    if signature is None:
        return None
    try:
        return verify(feed.public_keys, body, signature.decode("utf-8", "replace"))
    except SignatureError as error:
        raise RefusedError(str(error), again=True) from error


def _is_named(feed: Feed, comment: str) -> bool:
    """Whether it says that it is of this feed: a key may sign several, and whoever serves them
    could exchange them.
    """
    try:
        name = feed_of(comment)
    except SignatureError as error:
        raise RefusedError(str(error)) from error
    if name not in (None, feed.name):
        raise RefusedError(
            f"is signed for the feed {shown(name)}, and this one is {feed.name}: somebody has "
            "exchanged them, or it has another name here; ask who publishes it, or correct the name"
        )
    return name is not None


def _serial(comment: str, before: Accepted | None, digest: str) -> int:
    try:
        serial = serial_of(comment)
    except SignatureError as error:
        raise RefusedError(str(error), again=True) from error
    newest = before.serial if before is not None else None
    if newest is not None and serial < newest:
        raise RefusedError(
            f"has serial {serial}, and {newest} was taken before: it is old, or is sent again by "
            "somebody; have the newest one served, signed with a higher serial"
        )
    if newest is not None and serial == newest and before is not None and before.body != digest:
        raise RefusedError(
            f"has serial {serial}, under which another one was taken before; have it signed with a "
            "higher serial"
        )
    return serial


def _read(feed: Feed, text: bytes, categories: Sequence[str]) -> tuple[Registry, bytes]:
    """The registry, and the CSV that the daemon reads it from."""
    many = f"has more rows than max_rows, {feed.max_rows:,}; raise it if that is meant"
    if text.count(b"\n") > 2 * feed.max_rows + 1000:
        # Comments and empty lines are no rows; but nobody needs more of them than of rows.
        raise RefusedError(many)
    name = f"feed {feed.name}"
    reading = read_registry(name, text, categories, Asked(feed.form, feed.category))
    if len(reading.registry) > feed.max_rows:
        raise RefusedError(many)
    if reading.strict:
        return reading.registry, text
    return reading.registry, b"".join(pieces(reading.registry, "csv"))


def _told(error: PolicyError) -> str:
    """The first mistakes by their places; never what a registrant wrote (promise 6)."""
    first = [f"line {p.line}" if p.line else p.message for p in error.problems[:_MOST_TOLD]]
    more = error.count - len(first)
    said = ", ".join(dict.fromkeys(first)) + (f" and {more:,} more" if more > 0 else "")
    said = said.replace("give one with --category", "name one with the key category")
    return (
        f"is no registry that the daemon would take ({said}); have it mended, and look it over "
        "with: enforcer registry lint"
    )
