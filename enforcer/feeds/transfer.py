"""One request over HTTP: an address in, the whole body out, or why not.

Nothing is taken on trust: time, size, redirects and the end of the body are all bounded or checked
here, and no error shows a query (it may hold a secret) or a header of ours.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from enforcer import __version__
from enforcer.feeds.deadline import CONNECT_S, Deadline
from enforcer.feeds.state import sendable
from enforcer.feeds.unpacking import UnpackError, too_large, unpacking
from enforcer.policy.words import plain
from enforcer.sources.causes import cause_of, system_said, timed_out
from enforcer.sources.guarded import tls_context

# Between two pieces of an answer.
SILENCE_S = 20.0
MOST_REDIRECTS = 5
_PIECE_BYTES = 256 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
# Those that another attempt may mend.
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
# Longer ones are no length of anything, and too long for Python's int().
_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)
_REMEDIES = {
    401: "check the section auth",
    403: "check the section auth, and whether this gateway may read it",
    404: "correct urls, or ask who publishes it",
    407: "a proxy is in between that wants to know who we are; have this gateway let through",
    410: "it is gone for good; ask who publishes it for the new address",
}


class TransferError(Exception):
    """Why nothing came, as `fact; remedy`. `again`: another attempt may succeed; `wait_s`: not
    before so long, as the server says; `late`: it was given no more time.
    """

    def __init__(self, text: str, *, again: bool, wait_s: float = 0.0, late: bool = False) -> None:
        super().__init__(text)
        self.again, self.wait_s, self.late = again, wait_s, late


@dataclass(frozen=True, slots=True)
class Known:
    """What we have of an address already; the server may say that it has not changed."""

    etag: str | None = None
    last_modified: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        found = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is None when nothing has changed. `framed`: the server said where the body ends."""

    body: bytes | None
    known: Known
    framed: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """How to ask a server. `headers` tell who we are and are sent to no other one; `secret` says
    that something does. `clock()` tells of this machine's clock, for certificates out of time.
    """

    timeout_s: float
    context: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    secret: bool = False
    clock: Callable[[], str] = lambda: "check this machine's clock"

    def get(
        self, url: str, most_bytes: int, known: Known = Known(), within_s: float | None = None
    ) -> Answer:
        """`within_s`: in less than `timeout_s`. Raises TransferError."""
        seconds = self.timeout_s if within_s is None else min(self.timeout_s, within_s)
        with Deadline(max(0.001, seconds)) as deadline:
            try:
                return self._followed(url, most_bytes, known, deadline)
            except UnpackError as error:
                raise TransferError(str(error), again=error.again) from error
            except UnicodeError as error:
                raise TransferError(
                    "names a host that is none; correct urls", again=False
                ) from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise self._failed(error, deadline) from error

    def _followed(self, url: str, most_bytes: int, known: Known, deadline: Deadline) -> Answer:
        for _ in range(MOST_REDIRECTS + 1):
            pool = self._pool(url, deadline)
            try:
                response = pool.urlopen(
                    "GET",
                    urllib3.util.parse_url(url).request_uri,
                    headers={**_HEADERS, **known.headers, **self.headers},
                    preload_content=False,
                    redirect=False,
                    assert_same_host=False,
                )
                if response.status not in _REDIRECTS:
                    return _answer(response, most_bytes, known, deadline)
                url = redirected(url, response.headers.get("Location"), secret=self.secret)
            finally:
                pool.close()
        raise TransferError(
            f"redirects more than {MOST_REDIRECTS} times; write the last address", again=False
        )

    def _pool(self, url: str, deadline: Deadline) -> urllib3.HTTPConnectionPool:
        timeout = urllib3.Timeout(
            connect=min(CONNECT_S, self.timeout_s), read=min(SILENCE_S, self.timeout_s)
        )
        options: dict[str, Any] = {"retries": False, "timeout": timeout, "deadline": deadline}
        if url.startswith("https:"):
            options["ssl_context"] = self.context or tls_context()
        pool = urllib3.connection_from_url(url, **options)
        pool.ConnectionCls = _Secure if url.startswith("https:") else _Open
        return pool

    def _failed(self, error: Exception, deadline: Deadline) -> TransferError:
        cause = cause_of(error)
        if deadline.passed:
            fact = f"was not whole within {round(deadline.seconds, 1):g} s"
            return TransferError(
                f"{fact}; look at the line and the server, or raise timeout", again=True, late=True
            )
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = plain(cause.verify_message)
            out_of_time = "not yet valid" in why or "expired" in why
            remedy = self.clock() if out_of_time else "check tls.ca, and the name in urls"
            return TransferError(
                f"has a certificate that is refused ({why}); {remedy}", again=False
            )
        if isinstance(cause, ssl.SSLError):
            # A server that ends TLS in the middle says so here as well.
            why = plain(cause.reason or cause)
            remedy = "check that https is spoken there, and the section tls"
            return TransferError(f"does not speak TLS with us ({why}); {remedy}", again=True)
        if "IncompleteRead" in repr(error):
            # urllib3's own, or http.client's inside a ProtocolError.
            return TransferError("was cut short; fetch it again", again=True)
        if timed_out(cause):
            return TransferError(
                "does not answer in time; look whether it can be reached from here", again=True
            )
        # It may be what the server sent in place of a status line, or of a header.
        said = plain(system_said(cause) or cause)
        return TransferError(
            f"cannot be read ({said}); look whether it can be reached from here", again=True
        )


_HEADERS = {"User-Agent": f"enforcer/{__version__}", "Accept": "*/*", "Accept-Encoding": "gzip"}


class _Open(HTTPConnection):
    """A connection that its deadline makes, and cuts."""

    def __init__(self, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline = deadline

    def _new_conn(self) -> Any:
        return self._deadline.connect(self._dns_host, self.port or 80)


class _Secure(HTTPSConnection):
    def __init__(self, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline = deadline

    def _new_conn(self) -> Any:
        return self._deadline.connect(self._dns_host, self.port or 443)


def redirected(url: str, location: str | None, *, secret: bool) -> str:
    """Where an answer sends us on. Raises TransferError where we do not go."""
    try:
        to = urljoin(url, location or "")
        parts, here = urlsplit(to), urlsplit(url)
        there = (parts.hostname, parts.port or 443) if parts.hostname else None
        same = there == (here.hostname, here.port or 443)
    except ValueError:
        there, same, to = None, False, ""
    # urljoin drops line ends: what they stood in is no address all the same.
    sane = location is not None and location.isascii() and location.isprintable()
    if not location or not sane or there is None or " " in to:
        raise TransferError("redirects to no address; ask who publishes it", again=False)
    if here.scheme != "https" or parts.scheme != "https":
        raise TransferError(
            "redirects to or from plain http, which is not followed; write the last address",
            again=False,
        )
    if secret and not same:
        raise TransferError(
            f"redirects to {plain(parts.hostname)}, which is not to hear who we are; write that "
            "address into urls if it is meant",
            again=False,
        )
    return to


def _answer(
    response: urllib3.BaseHTTPResponse, most_bytes: int, known: Known, deadline: Deadline
) -> Answer:
    if response.status == 304 and known.headers:
        return Answer(None, known)
    if response.status != 200:
        wait_s = waits(response.headers.get("Retry-After"))
        again = response.status in _AGAIN
        remedy = _REMEDIES.get(response.status, "ask who publishes it")
        if again:
            remedy = "it is tried again later"
        raise TransferError(f"answers {response.status}; {remedy}", again=again, wait_s=wait_s)
    packed = response.headers.get("Content-Encoding", "")
    body = unpacking(packed, most_bytes)
    length = length_of(response.headers.get("Content-Length"))
    if length is not None and length > most_bytes:
        raise too_large(most_bytes)
    while piece := response.read1(_PIECE_BYTES, decode_content=False):
        body.feed(piece)
        if deadline.passed:
            break
    if deadline.passed:
        # What was cut off looks like an end.
        raise TimeoutError("cut off")
    framed = length is not None or "Transfer-Encoding" in response.headers or bool(packed)
    return Answer(body.whole(), known_of(response.headers), framed)


def length_of(value: str | None) -> int | None:
    """Bytes of a Content-Length, None without one. Raises TransferError for one that is none: the
    end of the body would go unnoticed.
    """
    if value is None:
        return None
    # The same one twice is one (RFC 9110, 8.6).
    said = {part.strip() for part in value.split(",")}
    length = said.pop()
    if said or not _LENGTH.fullmatch(length):
        raise TransferError(
            "says a Content-Length that is none; have the server corrected", again=True
        )
    return int(length)


def known_of(headers: Mapping[str, str]) -> Known:
    """What to ask with next time; nothing that could not stand in a header of ours."""
    values = [headers.get(name) for name in ("ETag", "Last-Modified")]
    return Known(*(v if v and sendable(v) else None for v in values))


def waits(retry_after: str | None) -> float:
    """Seconds of a Retry-After; 0 for none, or one that is a date: clocks differ."""
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0.0


def shown_url(url: str) -> str:
    """Without its query, in which some keep secrets."""
    return url.partition("?")[0]
