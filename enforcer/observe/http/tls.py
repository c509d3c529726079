"""Certificate and key → what the port needs to speak TLS, and to ask clients for theirs.

Paths come in, a context goes out, or a `TlsError` with place, fact and remedy. Files are read here
and now; nothing of what is in them is ever said.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from enforcer.errors import Problem


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With `client_ca` a client must show a certificate that one of it has signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class TlsError(Exception):
    """A file cannot be used. `key` is its place below `metrics.tls`; the text is `fact; remedy`.
    `denied`: only for want of permission; whoever may read it may find it right.
    """

    def __init__(self, key: str, path: Path, message: str, *, denied: bool = False) -> None:
        self.key, self.path, self.message, self.denied = key, path, message, denied
        super().__init__(f"metrics.tls.{key}: {path}: {message}")

    def problem(self, file: str) -> Problem:
        """As a mistake in the configuration `file`."""
        place = f"metrics.tls.{self.key}"
        return Problem(file, 0, 0, place, f"{self.path}: {self.message}")


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or later with the ciphers of the library's own choice."""
    _readable("certificate", files.certificate)
    _readable("key", files.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client is to show its certificate each time, not a ticket of last week.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except _NeedsPasswordError:
        raise TlsError("key", files.key, "is encrypted; give a key without passphrase") from None
    except ssl.SSLError as error:
        _refuse_pair(files, error)
    if files.client_ca is not None:
        _readable("client_ca", files.client_ca)
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError:
            raise TlsError(
                "client_ca", files.client_ca, "holds no certificate; give the PEM file of the CA"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class _NeedsPasswordError(Exception):
    pass


def _no_password() -> NoReturn:
    # Without this the library would ask for it on the terminal.
    raise _NeedsPasswordError


def _readable(key: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except PermissionError:
        remedy = "let the daemon's user read it, in group enforcer for example"
        raise TlsError(key, path, f"no permission; {remedy}", denied=True) from None
    except OSError as error:
        raise TlsError(key, path, f"cannot be read ({error.strerror}); correct the path") from None


def _refuse_pair(files: TlsFiles, error: ssl.SSLError) -> NoReturn:
    if error.reason == "KEY_VALUES_MISMATCH":
        fact = f"is not the key of {files.certificate.name}; give the two that belong together"
        raise TlsError("key", files.key, fact) from None
    text = files.certificate.read_bytes()
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise TlsError(
            "certificate", files.certificate, "holds no certificate; give a PEM file"
        ) from None
    if b"PRIVATE KEY-----" not in files.key.read_bytes():
        raise TlsError("key", files.key, "holds no private key; give a PEM file") from None
    # The library's reason is a constant of its own, never a part of the file.
    raise TlsError(
        "certificate",
        files.certificate,
        f"cannot be used with its key ({error.reason or 'not understood'}); make both anew",
    ) from None
