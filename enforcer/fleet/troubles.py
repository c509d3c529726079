"""What keeps etcd from being asked, in words: an answer that refuses, or an exception of urllib3.

In: status and body, or an exception. Out: text as `fact; remedy`.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass

from enforcer.policy.words import plain
from enforcer.sources.causes import cause_of, system_said, timed_out

# The code of gRPC that grpc-gateway hands on: the token is missing, wrong or too old.
UNAUTHENTICATED = 16


class EtcdError(Exception):
    """etcd could not be asked, or refused; the text says why, as `fact; remedy`."""


class TooLargeError(EtcdError):
    """The answer is larger than is taken: ask for less at once."""


@dataclass(frozen=True, slots=True)
class Refusal:
    text: str
    unauthenticated: bool


def refusal(endpoint: str, status: int, body: bytes) -> Refusal:
    """What an answer other than 200 means."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        said = {"message": body.decode(errors="replace")}
    message, code = str(said.get("message") or said.get("error") or "nothing"), said.get("code")
    message = plain(message, 300)
    unauthenticated = code == UNAUTHENTICATED or "auth token" in message
    remedy = {
        401: "check user and password_file",
        403: "have etcd's administrator let this user read and write below /enforcer/",
        503: "look whether its members have a leader: etcdctl endpoint status",
    }.get(status, "look into etcd's log")
    if "user name is empty" in message:
        remedy = "etcd asks for a user: write user and password_file"
    elif "CommonName of client" in message:
        remedy = "etcd's JSON gateway wants a client certificate without a common name (CN)"
    elif "authentication failed" in message:
        remedy = "check user and password_file"
    elif "permission denied" in message:
        remedy = "have etcd's administrator let this user read and write below /enforcer/"
    elif "database space exceeded" in message:
        remedy = "compact and defragment it, then: etcdctl alarm disarm"
    return Refusal(f"{endpoint} answers {status}, {message}; {remedy}", unauthenticated)


def unreachable(endpoint: str, error: Exception) -> str:
    cause = cause_of(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = plain(cause.verify_message)
        late = "not yet valid" in why or "expired" in why
        remedy = "check this machine's clock, then the certificate" if late else "check ca"
        return f"{endpoint} has a certificate that is refused ({why}); {remedy}"
    if isinstance(cause, ssl.SSLError):
        said = plain(getattr(cause, "reason", None) or cause)
        return f"{endpoint} does not speak TLS with us ({said}); check section tls"
    if timed_out(cause):
        return f"{endpoint} does not answer in time; look whether etcd runs and can be reached"
    said = plain(system_said(cause) or cause)
    return f"{endpoint} cannot be reached ({said}); look whether etcd runs and can be reached"
