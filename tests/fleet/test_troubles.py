"""What etcd's refusals and broken connections are called, with what to do."""

from __future__ import annotations

import json
import ssl

import pytest
import urllib3

from enforcer.fleet.troubles import refusal, unreachable

AT = "https://etcd-1:2379"


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (401, {"code": 16, "message": "invalid auth token"}, "check user and password_file"),
        (400, {"error": "etcdserver: user name is empty"}, "write user and password_file"),
        (403, {"message": "etcdserver: permission denied"}, "read and write below /enforcer/"),
        (503, {"message": "etcdserver: no leader"}, "etcdctl endpoint status"),
        (500, {"message": "mvcc: database space exceeded"}, "etcdctl alarm disarm"),
        (404, "<html>\nnot found", "answers 404, <html> not found; look into etcd's log"),
        (400, "CommonName of client sending a request", "without a common name (CN)"),
        (500, [], "answers 500, []; look into etcd's log"),
    ],
)
def test_a_refusal_has_a_remedy(status: int, body: object, text: str) -> None:
    raw = body if isinstance(body, str) else json.dumps(body)
    refused = refusal(AT, status, raw.encode())
    assert refused.text.startswith(f"{AT} answers {status}, ")
    assert text in refused.text
    assert refused.unauthenticated == (status == 401)


def _verification(message: str) -> Exception:
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    error.verify_message = message
    return urllib3.exceptions.SSLError(error)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (_verification("certificate is not yet valid"), "check this machine's clock, then"),
        (_verification("certificate has expired"), "check this machine's clock, then"),
        (_verification("unable to get local issuer certificate"), "check ca"),
        (ssl.SSLError(1, "wrong version number"), "check section tls"),
        (urllib3.exceptions.ReadTimeoutError(None, "", "read timed out"), "answer in time"),  # type: ignore[arg-type]
        (ConnectionResetError(104, "Connection reset by peer"), "(Connection reset by peer)"),
    ],
)
def test_a_broken_connection_has_one_too(error: Exception, text: str) -> None:
    assert unreachable(AT, error).startswith(AT)
    assert text in unreachable(AT, error)
