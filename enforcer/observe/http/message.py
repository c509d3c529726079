"""HTTP/1 as values: the lines of a request → `Request` or `RefusedError`; `Response` → bytes.

Pure and strict (RFC 9110, RFC 9112): whatever is not plainly a GET or HEAD of a path is refused
with a 4xx that says why. It never looks at a body, and nothing of a request reaches a log.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

LIMIT_LINE_BYTES = 2048
LIMIT_HEAD_BYTES = 8192
LIMIT_FIELDS = 64
LIMIT_PARAMETERS = 16

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """`path` as it was sent, `query` decoded, `fields` by lower-case name. `trusted`: asked from
    this machine, or by a client whose certificate was verified.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    trusted: bool = False


# Nothing is loaded, framed or run; a page with a style of its own brings its own policy.
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Response:
    """`content_policy` is the Content-Security-Policy of the answer."""

    body: bytes
    kind: str = TEXT
    status: HTTPStatus = HTTPStatus.OK
    fields: tuple[tuple[str, str], ...] = ()
    content_policy: str = _NOTHING


class RefusedError(Exception):
    """The request is the client's mistake: a status of 4xx, and `fact; remedy` for people."""

    def __init__(
        self, status: HTTPStatus, text: str, fields: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.status, self.text, self.fields = status, text, fields
        super().__init__(text)

    def response(self) -> Response:
        return Response(f"{self.text}\n".encode(), TEXT, self.status, self.fields)


_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]{1,2000}) HTTP/1\.([01])")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([\t -~\x80-\xff]*)")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def _bad(text: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, text)


def check_request_line(line: bytes) -> tuple[str, str, str]:
    """Method, target and minor version of a request's first line, without its end."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise _bad("this is no HTTP request; ask like GET /metrics HTTP/1.1")
    method, target, minor = (part.decode("ascii") for part in match.groups())
    if method not in ("GET", "HEAD"):
        raise RefusedError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "this port is read-only; ask with GET, and change things with the enforcer command",
            (("Allow", "GET, HEAD"),),
        )
    if not target.startswith("/"):
        raise _bad("the target is no path; ask like GET /metrics HTTP/1.1")
    return method, target, minor


def parse_request(first: bytes, lines: Sequence[bytes], names: Names, trusted: bool) -> Request:
    """The request of its first line and its field lines, all without their ends."""
    method, target, minor = check_request_line(first)
    fields = _fields(lines)
    host = fields.get("host")
    if host is None and minor == "1":
        raise _bad("the request has no Host field; HTTP/1.1 needs one")
    if host is not None and not names.known(host):
        # A page of a stranger may make a browser ask here under the stranger's own name.
        raise RefusedError(
            HTTPStatus.MISDIRECTED_REQUEST,
            "this port does not go by that name; ask by its address, or add the name to "
            "metrics.names in enforcer.yaml",
        )
    if fields.get("content-length", "0") != "0" or "transfer-encoding" in fields:
        raise _bad("a request to this port has no body; leave it out")
    path, _, query = target.partition("?")
    return Request(method, path, _query(query), fields, trusted)


def _fields(lines: Sequence[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            raise _bad("a header field is malformed; write Name: value, one a line")
        name = match[1].decode("ascii").lower()
        if name in ("host", "content-length") and name in fields:
            raise _bad(f"the field {name} comes twice; send it once")
        value = match[2].decode("latin-1").strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _query(text: str) -> dict[str, str]:
    if not text:
        return {}
    if _ESCAPE.search(text):
        raise _bad("a % in the query begins no escape; write it as %25")
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=LIMIT_PARAMETERS
        )
    except ValueError:
        raise _bad("the query is malformed; write it like ?days=30") from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise _bad("a parameter comes twice in the query; give it once")
    return query


@dataclass(frozen=True, slots=True)
class Names:
    """The names that the port goes by, in lower case; any name when `every` (TLS has seen to it).

    An address is no name: a stranger's page cannot be served under it (DNS rebinding needs a name).
    """

    own: frozenset[str]
    every: bool = False

    def known(self, host: str) -> bool:
        """`host` as in the Host field: a name or an address, perhaps with a port."""
        name, bracket, rest = host.partition("]") if host.startswith("[") else (host, "", "")
        if not bracket:
            name, _, rest = host.partition(":")
            rest = f":{rest}" if ":" in host else ""
        if rest and not re.fullmatch(r":[0-9]{0,5}", rest):
            return False
        return self.every or name.lower().rstrip(".") in self.own or _is_address(name.lstrip("["))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def encode(response: Response, *, with_body: bool) -> bytes:
    """The whole answer; the connection is closed after it."""
    fields = (
        ("Content-Type", response.kind),
        ("Content-Length", str(len(response.body))),
        ("Content-Security-Policy", response.content_policy),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
        *response.fields,
    )
    lines = [f"HTTP/1.1 {response.status.value} {response.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in fields]
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head + response.body if with_body else head
