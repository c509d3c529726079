"""Secrets, certificates and keys: from files that only we may read and nobody else may change.

In: paths. Out: one line of text, or a TLS context; or CredentialError. No message holds what is in
such a file.
"""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from enforcer.sources.reading import read_whole, refusal

_MOST_BYTES = 64 * 1024
# Authorities of the whole system stand in one file.
_MOST_PEM_BYTES = 4 * 1024**2


class CredentialError(Exception):
    """A file cannot be used; the text says which and why, as `file: fact; remedy`."""


def secret(path: Path) -> str:
    """The one line of a file. Raises CredentialError."""
    data = _guarded(path, secret=True)
    try:
        text = data.decode("ascii").strip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise CredentialError(f"{path}: is not one line of ASCII; write the secret alone into it")
    return text


def _guarded(path: Path, *, secret: bool = False) -> bytes:
    try:
        if secret and path.stat().st_mode & stat.S_IRWXO:
            raise CredentialError(f"{path}: may be read by every user of this machine; chmod o-rwx")
        return read_whole(path, _MOST_BYTES if secret else _MOST_PEM_BYTES, guarded=True)
    except (OSError, ValueError) as error:
        raise CredentialError(f"{path}: {refusal(error, path)}") from error


def tls_context(ca: str | None = None) -> ssl.SSLContext:
    """Trusts the authorities of `ca`, or those of the system. Raises OSError or ssl.SSLError."""
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def client_context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """For a client with that certificate, PEM all of them. Raises CredentialError."""
    named = ""
    try:
        if ca is not None:
            named = os.fspath(ca)
            _guarded(ca)
        context = tls_context(named or None)
        if certificate is not None and key is not None:
            named = os.fspath(certificate)
            _guarded(certificate)
            _guarded(key, secret=True)
            # With a passphrase OpenSSL would ask for it on the terminal.
            context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise CredentialError(
            f"{named}: cannot be used for TLS ({why}); give PEM files that belong together, the "
            "key without a passphrase"
        ) from error
    return context
