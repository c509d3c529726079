"""A request is read strictly, refused clearly, and an answer says what a browser must not do."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.observe.http.message import (
    LIMIT_PARAMETERS,
    Names,
    RefusedError,
    Request,
    Response,
    encode,
    parse_request,
)

NAMES = Names(frozenset({"localhost", "gw1.isp.example"}))
FIRST = b"GET /metrics HTTP/1.1"
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HOST = b"Host: 127.0.0.1:9435"


def refused(first: bytes, *lines: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        parse_request(first, lines, NAMES, trusted=False)
    return caught.value


def test_a_plain_request_is_read() -> None:
    request = parse_request(
        b"HEAD /api/v1/windows?days=7&from=2026-12-01T08:00:00Z HTTP/1.1",
        [b"Host: localhost:9435", b"ACCEPT:text/plain ", b"Accept: x"],
        NAMES,
        trusted=True,
    )
    assert request == Request(
        "HEAD",
        "/api/v1/windows",
        {"days": "7", "from": "2026-12-01T08:00:00Z"},
        {"host": "localhost:9435", "accept": "text/plain, x"},
        trusted=True,
    )


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"hello",
        b"GET /metrics",
        b"GET  /metrics HTTP/1.1",
        b"GET /metrics HTTP/2.0",
        b"GET /metrics HTTP/1.1 ",
        b"GET /\x00 HTTP/1.1",
        b"GET /\xc3\xa4 HTTP/1.1",
        b"GET http://evil.example/metrics HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /?a=%zz HTTP/1.1",
        b"GET /?a=1&a=2 HTTP/1.1",
        b"GET /?a=%ff HTTP/1.1",
        b"GET /?" + b"&".join(b"a%d=1" % n for n in range(LIMIT_PARAMETERS + 1)) + b" HTTP/1.1",
    ],
)
def test_nonsense_is_a_bad_request(first: bytes) -> None:
    assert refused(first, HOST).status is HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [HOST, HOST],
        [HOST, b"no colon"],
        [HOST, b"Bad Name: x"],
        [HOST, b" folded: x"],
        [HOST, b"X: \x00"],
        [HOST, b"X: a\rb"],
        [HOST, b": x"],
        [HOST, b"Content-Length: 5"],
        [HOST, b"Content-Length: -0"],
        [HOST, b"Content-Length: 0", b"Content-Length: 0"],
        [HOST, b"Transfer-Encoding: chunked"],
    ],
)
def test_a_header_that_is_wrong_is_a_bad_request(lines: list[bytes]) -> None:
    assert refused(FIRST, *lines).status is HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"get"])
def test_the_port_is_read_only(method: bytes) -> None:
    error = refused(method + b" /metrics HTTP/1.1", HOST)
    assert error.status is HTTPStatus.METHOD_NOT_ALLOWED
    assert error.fields == (("Allow", "GET, HEAD"),)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example:9435",
        "",
        "::1",
        "[::1",
        "[::1]x",
        "localhost:x",
        "localhost:9435:1",
        "127.0.0.1@evil.example",
        "[evil.example]:9435",
    ],
)
def test_a_strangers_name_is_not_ours(host: str) -> None:
    """DNS rebinding: a page of evil.example asks evil.example, which is 127.0.0.1 by now."""
    assert refused(FIRST, b"Host: " + host.encode()).status is HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:9435", "[::1]", "[2001:db8::1]:80", "LOCALHOST", "gw1.isp.example.:1"],
)
def test_addresses_and_our_own_names_are(host: str) -> None:
    fields = parse_request(FIRST, [b"Host: " + host.encode()], NAMES, trusted=False).fields
    assert fields["host"] == host


def test_an_old_client_may_leave_the_host_out() -> None:
    assert parse_request(b"GET / HTTP/1.0", [], NAMES, trusted=False).path == "/"


def test_behind_tls_any_name_is_taken() -> None:
    every = Names(frozenset(), every=True)
    assert parse_request(FIRST, [b"Host: whatever.example"], every, trusted=False).path


def outcome(first: bytes, lines: list[bytes]) -> Request | RefusedError:
    try:
        return parse_request(first, lines, NAMES, trusted=False)
    except RefusedError as error:
        return error


def in_order(told: Request | RefusedError) -> bool:
    if isinstance(told, Request):
        return told.path.startswith("/")
    return 400 <= told.status < 500 and "; " in told.text


@given(st.binary(max_size=200), st.lists(st.binary(max_size=80), max_size=5))
def test_no_bytes_at_all_do_more_than_be_refused(first: bytes, lines: list[bytes]) -> None:
    assert in_order(outcome(first, lines))


@given(
    st.sampled_from([b"GET", b"HEAD"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60),
    st.lists(
        st.tuples(
            st.sampled_from([b"Host", b"Accept", b"Cookie", b"Content-Length", b"X"]),
            st.text(st.characters(max_codepoint=255, exclude_characters="\n"), max_size=40),
        ),
        max_size=5,
    ),
)
def test_nearly_right_requests_are_taken_or_refused(
    method: bytes, path: str, fields: list[tuple[bytes, str]]
) -> None:
    lines = [HOST, *(name + b": " + value.encode("latin-1") for name, value in fields)]
    assert in_order(outcome(method + b" /" + path.encode() + b" HTTP/1.1", lines))


def test_an_answer_says_what_a_browser_must_not_do() -> None:
    head, _, body = encode(Response(b"ok\n"), with_body=True).partition(b"\r\n\r\n")
    assert body == b"ok\n"
    assert head.decode().split("\r\n") == [
        "HTTP/1.1 200 OK",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Length: 3",
        f"Content-Security-Policy: {POLICY}",
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: DENY",
        "Referrer-Policy: no-referrer",
        "Cross-Origin-Resource-Policy: same-origin",
        "Cache-Control: no-store",
        "Connection: close",
    ]


def test_a_head_is_answered_without_the_body_but_with_its_length() -> None:
    whole = encode(Response(b"ok\n"), with_body=False)
    assert whole.endswith(b"\r\n\r\n")
    assert b"Content-Length: 3\r\n" in whole
