"""A stranger's bytes become the daemon's file, or are refused whole and said why."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from enforcer.feeds.checking import Checked, RefusedError, check, terms_of
from enforcer.feeds.shelf import digest_of
from enforcer.feeds.state import Accepted
from enforcer.policy.feed import Feed
from tests.feeds.feed_world import NOW, Signer, csv

FEED = Feed("registrar", "r.csv", ("https://a.example/r",))
CATEGORIES = ("mission", "freelancer")
BODY = csv(3)


def before(body: bytes, serial: int | None) -> Accepted:
    return Accepted("a" * 64, digest_of(body), "u", "c" * 64, 3, NOW, serial)


def checked(
    body: bytes, feed: Feed = FEED, was: Accepted | None = None, *, held: bool = False
) -> Checked:
    return check(feed, body, None, CATEGORIES, was, held=held)


def signed(
    signer: Signer, body: bytes, comment: str, was: Accepted | None = None, served: bytes = b""
) -> Checked:
    feed = replace(FEED, public_keys=(signer.public,))
    return check(feed, served or body, signer.sign(body, comment), CATEGORIES, was, held=False)


def refused(body: bytes, feed: Feed = FEED) -> str:
    with pytest.raises(RefusedError) as caught:
        checked(body, feed)
    assert "; " in str(caught.value)
    return str(caught.value)


def test_a_csv_is_kept_as_it_came() -> None:
    got = checked(BODY)
    assert (got.kept, got.body, got.rows, got.serial) == (BODY, digest_of(BODY), 3, None)


def test_other_forms_are_kept_as_the_daemon_reads_them() -> None:
    rows = [{"id": "R-1", "prefix": "60.0.0.0/24", "category": "mission"}]
    assert checked(json.dumps(rows).encode()).kept == csv(0) + b"R-1,60.0.0.0/24,mission,,,\n"
    plain = replace(FEED, category="freelancer")
    kept = checked(b"60.0.0.0/24\n", plain).kept
    assert kept == csv(0) + b"60.0.0.0/24,60.0.0.0/24,freelancer,,,\n"
    assert checked(gzip.compress(BODY)).kept == BODY
    semicolons = checked(BODY.replace(b",", b";")).kept
    assert semicolons == BODY, "the daemon takes commas only"
    assert "name one with the key category" in refused(b"60.0.0.0/24\n")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "is no registry that the daemon would take"),
        (b"<!doctype html><title>Log in</title>", "is no registry"),
        (BODY[:-20], "is no registry that the daemon would take (line 4)"),
        (BODY.replace(b"60.0.0.2", b"60.0.0.x").replace(b"60.0.0.4", b"-"), "(line 3, line 4)"),
        (csv(50, "nobody"), "(line 2, line 3, line 4 and 47 more)"),
        (gzip.compress(bytes(65 * 1024**2)), "larger than max_size, 64 MB"),
    ],
)
def test_what_is_no_registry_is_refused_whole(body: bytes, text: str) -> None:
    assert text in refused(body)


def test_no_row_is_told_outside_the_terminal() -> None:
    with pytest.raises(RefusedError) as caught:
        checked(BODY.replace(b"R-1,60.0.0.2/32", b"R-1,60.0.0.2/30"))
    assert "60.0.0" not in str(caught.value)
    assert "60.0.0.2/30" in caught.value.details


def test_too_many_rows_are_refused() -> None:
    assert checked(csv(5), replace(FEED, max_rows=5)).rows == 5
    assert "more rows than max_rows, 4" in refused(csv(5), replace(FEED, max_rows=4))
    assert "more rows than max_rows, 4" in refused(b"\n" * 10_000, replace(FEED, max_rows=4))


# --- signatures -----------------------------------------------------------------------------------


def test_a_signed_body_has_its_serial(signer: Signer) -> None:
    assert signed(signer, BODY, "serial:42 monthly").serial == 42
    assert signed(signer, BODY, "serial:42", before(b"old", 41)).serial == 42
    assert signed(signer, BODY, "serial:42", before(BODY, 42)).serial == 42


@pytest.mark.parametrize(
    ("comment", "was", "served", "text"),
    [
        ("serial:42", None, BODY + b"x", "is not what was signed"),
        ("serial:42", None, BODY[:-1], "is not what was signed"),
        ("serial:41", before(b"old", 42), b"", "has serial 41, and 42 was taken before"),
        ("serial:42", before(b"old", 42), b"", "under which another one was taken"),
        ("no number", None, b"", "is signed without a serial"),
    ],
    ids=["tampered", "truncated", "replayed", "twice", "no serial"],
)
def test_what_is_not_vouched_for_is_refused(
    signer: Signer, comment: str, was: Accepted | None, served: bytes, text: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        signed(signer, BODY, comment, was, served)
    assert text in str(caught.value)
    assert caught.value.again == (was is None), "it may have been exchanged meanwhile"


def test_a_strangers_signature_is_none(signer: Signer) -> None:
    feed = replace(FEED, public_keys=(signer.public,))
    for number in (b"8 bytes!", b"another."):
        stranger = Signer(number).sign(BODY, "serial:1")
        with pytest.raises(RefusedError):
            check(feed, BODY, stranger, CATEGORIES, None, held=False)
    with pytest.raises(RefusedError, match="has no signature of minisign"):
        check(feed, BODY, b"<html>", CATEGORIES, None, held=False)


# --- what is held already -------------------------------------------------------------------------


def test_a_signature_says_of_which_feed_it_is(signer: Signer) -> None:
    """One key signs two feeds, and somebody serves the one in the other's place."""
    assert signed(signer, BODY, "serial:7 feed:registrar").named
    assert not signed(signer, BODY, "serial:7 file:feed.csv xfeed:other").named
    for held in (False, True):
        with pytest.raises(RefusedError, match='signed for the feed "missions", and this one is'):
            check(
                replace(FEED, public_keys=(signer.public,)),
                BODY,
                signer.sign(BODY, "feed:missions serial:2026112501"),
                CATEGORIES,
                before(BODY, 5),
                held=held,
            )
    for comment in ("feed: serial:7", "feed:registrar feed:missions serial:7"):
        with pytest.raises(RefusedError, match="is signed for no one feed; sign it with"):
            signed(signer, BODY, comment)
    with pytest.raises(RefusedError, match="signed for the feed") as caught:
        signed(signer, BODY, f"feed:{chr(27)}[2J{'x' * 3000} serial:7")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_what_the_daemon_has_is_not_read_again() -> None:
    got = checked(BODY, was=before(BODY, None), held=True)
    assert (got.kept, got.rows) == (None, 3)
    assert checked(BODY, was=before(BODY, None), held=False).kept == BODY
    assert checked(BODY, was=before(b"old", None), held=True).kept == BODY


def test_other_demands_are_other_terms(signer: Signer) -> None:
    demands = [
        FEED,
        replace(FEED, category="mission"),
        replace(FEED, form="plain"),
        replace(FEED, public_keys=(signer.public,)),
        replace(FEED, max_rows=5),
    ]
    found = {terms_of(feed, CATEGORIES) for feed in demands} | {terms_of(FEED, ("mission",))}
    assert len(found) == 6
    assert terms_of(replace(FEED, every_s=5, urls=("x",)), CATEGORIES) == terms_of(FEED, CATEGORIES)
