"""One request, against a real HTTPS server that misbehaves: what comes, or why nothing does."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from enforcer.feeds.transfer import (
    Answer,
    Known,
    Line,
    TransferError,
    known_of,
    length_of,
    redirected,
    shown_url,
    waits,
)
from enforcer.sources.guarded import tls_context
from tests.feeds.feed_world import Authority, Registrar, Request, answer, raw, registrar

MB = 1024**2


@pytest.fixture
def line(authority: Authority) -> Line:
    return Line(10.0, tls_context(str(authority.ca)))


def failed(line: Line, url: str) -> TransferError:
    with pytest.raises(TransferError) as caught:
        line.get(url, MB)
    return caught.value


def test_a_body_comes_with_what_to_ask_next_time(server: Registrar, line: Line) -> None:
    url = server.serve("/r.csv", b"body", ETag='"v1"', Last_Modified="yesterday")
    got = line.get(url, MB)
    assert got == Answer(b"body", Known('"v1"', "yesterday"))
    again = line.get(url, MB, got.known)
    assert again.body is None
    asked = server.asked("/r.csv")[1].headers
    assert (asked["if-none-match"], asked["if-modified-since"]) == ('"v1"', "yesterday")
    assert asked["accept-encoding"] == "gzip"
    assert asked["user-agent"].startswith("enforcer/")


def test_a_304_that_nobody_asked_for_is_no_answer(server: Registrar, line: Line) -> None:
    server.routes["/r"] = raw(answer(304))
    assert "answers 304" in str(failed(line, server.url("/r")))


def test_gzip_is_undone(server: Registrar, line: Line) -> None:
    body = b"x" * 300_000
    url = server.serve("/r", gzip.compress(body), Content_Encoding="gzip")
    assert line.get(url, MB).body == body


def test_a_gzip_bomb_is_refused_at_the_limit(server: Registrar, line: Line) -> None:
    bomb = gzip.compress(bytes(64 * MB))
    assert len(bomb) < 100_000
    url = server.serve("/r", bomb, Content_Encoding="gzip")
    assert "larger than max_size, 1 MB" in str(failed(line, url))


def chunks(body: bytes, end: bytes = b"0\r\n\r\n") -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    return [head, f"{len(body):x}\r\n".encode(), body, b"\r\n", end]


def test_a_body_in_chunks_is_whole(server: Registrar, line: Line) -> None:
    server.routes["/r"] = raw(*chunks(b"body"))
    assert line.get(server.url("/r"), MB) == Answer(b"body", Known())


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n", b"id,prefix"),
        tuple(chunks(b"body", end=b"")),
        tuple(chunks(b"body", end=b"400\r\nhalf")),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b"y" * 999)[:-4]),
    ],
    ids=["length", "chunks", "chunk", "gzip"],
)
def test_a_body_cut_short_is_noticed(
    server: Registrar, line: Line, pieces: tuple[bytes, ...]
) -> None:
    server.routes["/r"] = raw(*pieces)
    error = failed(line, server.url("/r"))
    assert "cut short; fetch it again" in str(error)
    assert error.again


def test_a_body_without_an_end_is_told_apart(server: Registrar, line: Line) -> None:
    server.routes["/r"] = raw(b"HTTP/1.1 200 OK\r\n\r\n", b"body")
    assert line.get(server.url("/r"), MB) == Answer(b"body", Known(), framed=False)


@pytest.mark.parametrize("length", [b"Content-Length: 9999999\r\n", b""], ids=["told", "untold"])
def test_an_oversized_body_is_refused(server: Registrar, line: Line, length: bytes) -> None:
    def endless(_: Request) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\n" + length + b"\r\n"
        for _ in range(9):
            yield bytes(MB)

    server.routes["/r"] = endless
    error = failed(line, server.url("/r"))
    assert "is larger than max_size, 1 MB" in str(error)
    assert not error.again


def drip(head: bytes, ended: threading.Event) -> Iterator[bytes]:
    yield head
    for _ in range(400):
        time.sleep(0.05)
        yield b"x"
    ended.set()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HT",
    ],
    ids=["body", "endless", "headers", "status"],
)
def test_a_drip_ends_at_the_deadline(authority: Authority, server: Registrar, head: bytes) -> None:
    """Every read is in time; the whole is not."""
    line = Line(1.0, tls_context(str(authority.ca)))
    ended = threading.Event()
    server.routes["/r"] = lambda _: drip(head, ended)
    error = failed(line, server.url("/r"))
    assert str(error) == (
        "was not whole within 1 s; look at the line and the server, or raise timeout"
    )
    assert error.again
    assert not ended.is_set(), "it was cut off, and not waited for"


def test_a_name_that_nobody_resolves_ends_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The C library waits for its name servers as long as it likes, and nothing cuts it off."""
    over, asked = threading.Event(), threading.Event()

    def resolver(*_: object, **__: object) -> list[object]:
        asked.set()
        over.wait(30)
        return []

    monkeypatch.setattr("socket.getaddrinfo", resolver)
    try:
        error = failed(Line(0.5), "https://registrar.example/r")
        assert str(error).startswith("was not whole within 0.5 s")
        assert asked.is_set()
        assert not over.is_set()
        assert [t.name for t in threading.enumerate()].count("lookup") == 1, "it asks yet"
    finally:
        over.set()


def test_a_lookup_that_no_thread_is_left_for_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def full(thread: threading.Thread) -> None:
        if thread.name == "lookup":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", full)
    assert "Resource temporarily unavailable" in str(failed(Line(10), "https://localhost:1/r"))


def test_silence_ends_at_the_deadline(authority: Authority, server: Registrar) -> None:
    def silent(_: Request) -> Iterable[bytes]:
        time.sleep(3)
        yield b""

    server.routes["/r"] = silent
    line = Line(0.5, tls_context(str(authority.ca)))
    assert "was not whole within 0.5 s" in str(failed(line, server.url("/r")))


@pytest.mark.parametrize(
    ("status", "text", "again"),
    [
        (401, "answers 401; check the section auth", False),
        (404, "answers 404; correct urls", False),
        (503, "answers 503; it is tried again later", True),
        (206, "answers 206; ask who publishes it", False),
    ],
)
def test_other_answers(server: Registrar, line: Line, status: int, text: str, again: bool) -> None:
    server.routes["/r"] = raw(answer(status, b"<html>", Retry_After="7"))
    error = failed(line, server.url("/r"))
    assert (str(error).startswith(text), error.again, error.wait_s) == (True, again, 7.0)


def test_nobody_there_can_be_tried_again(line: Line, server: Registrar) -> None:
    error = failed(line, "https://localhost:1/r")
    assert "cannot be read (Connection refused);" in str(error)
    assert error.again
    server.routes["/r"] = raw(b"nonsense\r\n\r\n")
    assert "cannot be read" in str(failed(line, server.url("/r")))
    server.routes["/r"] = raw()
    assert failed(line, server.url("/r")).again


def test_a_servers_own_words_are_cut_and_move_no_cursor(server: Registrar, line: Line) -> None:
    for words in (b"\xff" * 60_000, b"\x1b]0;owned\x07\x1b[2J\x9b31m accepted"):
        server.routes["/r"] = raw(words + b"\r\n\r\n")
        said = str(failed(line, server.url("/r")))
        assert said.startswith("cannot be read (")
        assert said.isprintable()
        assert len(said) < 300
    far = f"https://{'a' * 60_000}/"
    with pytest.raises(TransferError) as caught:
        redirected("https://a.example/", far, secret=True)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", ["0" * 4999 + "5", "9" * 5001, "-5", "+5", "5, 6", "²", ""])
def test_a_length_that_is_none_is_refused(server: Registrar, line: Line, value: str) -> None:
    with pytest.raises(TransferError, match="says a Content-Length that is none; have"):
        length_of(value)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\n".encode()
    server.routes["/r"] = raw(head + b"hello")
    # Two that differ are told by urllib3 itself.
    assert "Content-Length" in str(failed(line, server.url("/r")))


def test_a_length_said_twice_is_one() -> None:
    assert [length_of(value) for value in (None, "0", "5", "5, 5")] == [None, 0, 5, 5]


def test_a_redirect_to_a_host_that_is_none(line: Line, server: Registrar) -> None:
    for host in ("a..example", f"{'a' * 64}.example"):
        server.routes["/r"] = raw(answer(302, Location=f"https://{host}/r"))
        assert "; " in str(failed(line, server.url("/r")))


# --- certificates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("starts", "ends", "why"),
    [
        (timedelta(days=-9), timedelta(days=-1), "certificate has expired"),
        (timedelta(days=1), timedelta(days=9), "certificate is not yet valid"),
    ],
)
def test_a_certificate_out_of_time_points_to_the_clock(
    authority: Authority, starts: timedelta, ends: timedelta, why: str
) -> None:
    line = Line(10.0, tls_context(str(authority.ca)), clock=lambda: "the clock; set it")
    with registrar(*authority.make("late", starts, ends)) as server:
        error = failed(line, server.serve("/r", b"x"))
    assert str(error) == f"has a certificate that is refused ({why}); the clock; set it"
    assert not error.again


def test_a_stranger_is_not_spoken_to(tmp_path: Path, server: Registrar) -> None:
    other = Authority(tmp_path / "other")
    line = Line(10.0, tls_context(str(other.ca)), {"Authorization": "Bearer s3cret"})
    error = failed(line, server.serve("/r", b"x"))
    assert "certificate that is refused" in str(error)
    assert "check tls.ca" in str(error)
    assert server.seen == []


def test_another_name_is_refused(server: Registrar, line: Line) -> None:
    server.serve("/r", b"x")
    assert "refused" in str(failed(line, f"https://127.0.0.2:{server.port}/r"))


def test_what_is_no_tls(line: Line) -> None:
    with registrar(None, None) as plain:
        plain.serve("/r", b"x")
        assert "does not speak TLS with us" in str(
            failed(line, f"https://localhost:{plain.port}/r")
        )


# --- redirects and secrets ------------------------------------------------------------------------


def test_a_redirect_is_followed_by_https_alone_and_not_for_ever(
    server: Registrar, line: Line
) -> None:
    server.serve("/new.csv", b"body")
    server.routes["/old"] = raw(answer(302, Location="/new.csv"))
    assert line.get(server.url("/old"), MB).body == b"body"
    server.routes["/down"] = raw(answer(301, Location="http://localhost/new.csv"))
    assert "plain http, which is not followed" in str(failed(line, server.url("/down")))
    server.routes["/round"] = raw(answer(307, Location="/round"))
    assert "redirects more than 5 times" in str(failed(line, server.url("/round")))
    assert len(server.asked("/round")) == 6
    server.routes["/nowhere"] = raw(answer(302))
    assert "redirects to no address" in str(failed(line, server.url("/nowhere")))


def test_a_secret_goes_to_the_server_that_was_written_and_to_no_other() -> None:
    here = "https://a.example/r"
    assert redirected(here, "/x?y", secret=True) == "https://a.example/x?y"
    assert redirected(here, "https://a.example:443/x", secret=True)
    assert redirected(here, "https://b.example/x", secret=False) == "https://b.example/x"
    for there in ("https://b.example/x", "https://a.example:444/x", "//b.example/x"):
        with pytest.raises(TransferError, match="not to hear who we are"):
            redirected(here, there, secret=True)
    for nowhere in (None, "", "https://a.example:x/", "https://a.example/\n"):
        with pytest.raises(TransferError):
            redirected(here, nowhere, secret=False)
    with pytest.raises(TransferError, match="from plain http"):
        redirected("http://a.example/", "https://a.example/", secret=False)


def test_a_query_is_not_shown() -> None:
    assert shown_url("https://a.example/r?token=s3cret") == "https://a.example/r"


def test_what_servers_write_into_headers_is_looked_at() -> None:
    assert known_of({"ETag": '"é"', "Last-Modified": "x" * 2000}) == Known()
    assert [waits(v) for v in (None, "12", "-1", "Wed, 21 Oct", "99999999")] == [0, 12, 0, 0, 0]
