"""The section `feed` of a source of registrations, and what concerns several of its fields.

In: what YAML gave. Out: `Feed`, or problems with their places. A feed that anybody on the way could
change is refused here: what is not signed comes by https.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema

from enforcer.errors import Problem
from enforcer.policy import times, values
from enforcer.policy.feed import FOLDER, Feed, FeedAuth, FeedTls, Form
from enforcer.policy.fields import Category, Key, Name, Section, Sentence, Size, schema_of
from enforcer.policy.places import Document, Path
from enforcer.policy.words import shown

_LIKE = "https://registrar.example/vpn.csv"
# What the daemon reads at most (`sources.files`), and the most rows that fit into that.
MOST_BYTES, MOST_ROWS = 256 * 1024**2, 5_000_000


def _url(value: Any) -> str:
    text = values.text_of(value, f"an address like {_LIKE}")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"has a host or port that is none; write it like {_LIKE}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"is no address of the web; write it like {_LIKE}")
    if ":" not in host:
        values.host_name(host)
    if parts.username is not None:
        raise ValueError("has a user in it; name user and password_file in the section auth")
    if parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"has what no address has (a space, #, another script); like {_LIKE}")
    if len(text) > 2000:
        raise ValueError("has more than 2,000 characters; ask for a shorter one")
    return text


def _span(least: timedelta, most: timedelta, said: str) -> Any:
    def read(value: Any) -> timedelta:
        length = times.duration(value)
        if not least <= length <= most:
            raise ValueError(f"{value} is out of bounds; write a time from {said}")
        return length

    return PlainValidator(read)


Url = Annotated[str, PlainValidator(_url), schema_of("^https?://", _LIKE)]
_TIME = schema_of("^([0-9]+[dhms])+$", "1h")
Every = Annotated[timedelta, _span(timedelta(seconds=10), timedelta(days=7), "10s to 7d"), _TIME]
Timeout = Annotated[timedelta, _span(timedelta(seconds=1), timedelta(hours=1), "1s to 1h"), _TIME]
Rows = Annotated[
    int,
    Field(ge=1, le=MOST_ROWS),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_ROWS}),
]


class FeedTlsSection(Section):
    ca: Sentence | None = Field(
        None, description="the PEM file of the authority that signed the server's certificate"
    )
    certificate: Sentence | None = Field(None, description="this client's certificate, PEM")
    key: Sentence | None = Field(None, description="the PEM file of its private key")


class FeedAuthSection(Section):
    token_file: Sentence | None = Field(None, description="the file of a bearer token")
    user: Sentence | None = Field(None, description="the user, where a password is asked for")
    password_file: Sentence | None = Field(None, description="the file of that user's password")


class FeedSection(Section):
    name: Name = Field(description="the feed's name in status, metrics and commands")
    urls: list[Url] = Field(
        min_length=1, max_length=16, description="the address, then those of mirrors in order"
    )
    public_keys: list[Key] = Field(
        [], max_length=8, description="the minisign keys that may sign it; ADDRESS.minisig is read"
    )
    every: Every = Field(timedelta(hours=1), description="how often it is asked for")
    timeout: Timeout = Field(
        timedelta(seconds=60), description="in which an answer must be whole, however it drips"
    )
    max_size: Size = Field(64 * 1024**2, description="the most bytes, packed and unpacked")
    max_rows: Rows = Field(2_000_000, description="the most rows")
    category: Category | None = Field(None, description="the category of rows that name none")
    format: Form | None = Field(None, description="its form; otherwise guessed by its look")
    auth: FeedAuthSection | None = Field(None, description="who we are, to the server")
    tls: FeedTlsSection | None = Field(None, description="whom to trust, and our certificate")


def file_of(file: str | None, section: FeedSection | None) -> str:
    """What the daemon reads of a source; of a feed, where the accepted body is kept."""
    if file is not None:
        return file
    assert section is not None, "a source is somewhere"
    return f"{FOLDER}/{section.name}.csv"


def feed_of(file: str | None, section: FeedSection) -> Feed:
    auth, tls = section.auth, section.tls
    return Feed(
        section.name,
        file_of(file, section),
        tuple(section.urls),
        tuple(section.public_keys),
        round(section.every.total_seconds()),
        round(section.timeout.total_seconds()),
        section.max_size,
        section.max_rows,
        section.category,
        section.format,
        FeedAuth(auth.token_file, auth.user, auth.password_file) if auth else None,
        FeedTls(tls.ca, tls.certificate, tls.key) if tls else FeedTls(),
    )


def wrong_with(
    document: Document, at: Path, feed: FeedSection, categories: list[str]
) -> Iterator[Problem]:
    """What is wrong with a feed at `at`, that no field tells by itself."""
    for index, url in enumerate(feed.urls):
        if url.startswith("http:") and (why := _too_open(feed)) is not None:
            yield document.problem((*at, "urls", index), why)
        if url in feed.urls[:index]:
            yield document.problem((*at, "urls", index), f"{shown(url)} is there twice; remove one")
    if feed.max_size > MOST_BYTES:
        fact = f"is more than the {MOST_BYTES // 1024**2} MB that the daemon reads; write less"
        yield document.problem((*at, "max_size"), fact)
    if feed.category is not None and feed.category not in categories:
        fact = f"{shown(feed.category)} is not declared; add it to categories, or write one of them"
        yield document.problem((*at, "category"), fact)
    tls, auth = feed.tls, feed.auth
    if tls is not None and (tls.certificate is None) != (tls.key is None):
        yield document.problem((*at, "tls"), "certificate and key go together; write both")
    if auth is None:
        return
    if (auth.user is None) != (auth.password_file is None):
        yield document.problem((*at, "auth"), "user and password_file go together; write both")
    elif (auth.token_file is None) == (auth.user is None):
        fact = "has no one way to say who we are; write token_file, or user and password_file"
        yield document.problem((*at, "auth"), fact)
    elif auth.user is not None and ":" in auth.user:
        yield document.problem((*at, "auth", "user"), "has a colon, which ends it; correct it")


def _too_open(feed: FeedSection) -> str | None:
    """Why this feed must not come by plain http."""
    if not feed.public_keys:
        fact = "is read by plain http and nobody signs it, so anybody on the way could change it"
        return f"{fact}; use https, or name public_keys"
    if feed.auth is not None:
        return "would tell a secret to anybody on the way; use https, or take auth out"
    return None
