"""What `enforcer fetch` parses of its own: headers, gzip and bodies of a server, its state file.

Registry forms and signatures have targets of their own; here they come through a feed's checks.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from urllib3 import HTTPHeaderDict

from enforcer.feeds.checking import RefusedError, check
from enforcer.feeds.shelf import digest_of
from enforcer.feeds.state import Accepted, SpoiltError, parsed, sendable, written
from enforcer.feeds.transfer import TransferError, known_of, length_of, redirected, waits
from enforcer.feeds.unpacking import UnpackError, unpacking
from enforcer.policy.feed import Feed
from enforcer.sources.minisign import SignatureError, feed_of
from fuzz.targets import CATEGORIES, CUT

MOST_BYTES = 1 << 16
_HERE = "https://a.example/r.csv"
_FEED = Feed("f", "f.csv", (_HERE,), max_bytes=MOST_BYTES, max_rows=100, category=CATEGORIES[0])


_AT = datetime(2026, 1, 1, tzinfo=UTC)


def feed(data: bytes) -> None:
    """A state file, the headers of an answer, and its body as it came over the wire."""
    state, _, rest = data.partition(CUT)
    head, _, body = rest.partition(CUT)
    with contextlib.suppress(SpoiltError):
        read = parsed(state)
        assert parsed(written(read)) == read
    headers = _headers(head)
    for value in known_of(headers).headers.values():
        assert sendable(value)
    assert 0 <= waits(headers.get("Retry-After")) < 10**6
    with contextlib.suppress(TransferError):
        assert (length_of(headers.get("Content-Length")) or 0) < 10**15
    for secret in (True, False):
        try:
            to = redirected(_HERE, headers.get("Location"), secret=secret)
            assert to.startswith("https:")
        except TransferError as error:
            _told(error)
    comment = head.decode("latin-1")
    try:
        assert feed_of(comment) != ""
    except SignatureError as error:
        _told(error)
    _body(headers.get("Content-Encoding") or "", body)


def _headers(head: bytes) -> HTTPHeaderDict:
    found = HTTPHeaderDict()
    for line in head.decode("latin-1").split("\n"):
        name, colon, value = line.partition(":")
        if colon and name:
            found.add(name, value.strip())
    return found


def _body(encoding: str, wire: bytes) -> None:
    try:
        packed = unpacking(encoding, MOST_BYTES)
        for at in range(0, len(wire), 100):
            packed.feed(wire[at : at + 100])
        body = packed.whole()
    except UnpackError as error:
        _told(error)
        return
    assert len(body) <= MOST_BYTES
    before = Accepted(
        "a" * 64, digest_of(wire), _HERE, "c" * 64, 1, datetime(2026, 1, 1, tzinfo=UTC)
    )
    try:
        got = check(_FEED, body, None, CATEGORIES, before, held=False)
    except RefusedError as error:
        _told(error)
        return
    assert got.kept
    assert 0 < got.rows <= 100


def _told(error: Exception) -> None:
    """A refusal names a remedy, on one line that a terminal can be given."""
    assert "; " in str(error)
    assert str(error).isprintable()
