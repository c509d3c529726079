"""Who we are, to a server: from files that only we may read and nobody else may change.

In: a feed and the folder of the configuration. Out: headers and a TLS context, or CredentialError.
No message holds what is in such a file.
"""

from __future__ import annotations

import base64
import os
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path

from enforcer.feeds.transfer import tls_context
from enforcer.policy.feed import Feed, FeedAuth, FeedTls
from enforcer.sources.reading import read_whole, refusal

_MOST_BYTES = 64 * 1024


class CredentialError(Exception):
    """A file cannot be used; the text says which and why, as `file: fact; remedy`."""


@dataclass(frozen=True, slots=True)
class Credentials:
    context: ssl.SSLContext
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    # Whether something tells a server who we are.
    secret: bool = False


def read_credentials(feed: Feed, folder: Path) -> Credentials:
    """Reads the files anew, for they are exchanged. Raises CredentialError."""
    headers = _headers(feed.auth, folder) if feed.auth is not None else {}
    secret = feed.auth is not None or feed.tls.certificate is not None
    return Credentials(_context(feed.tls, folder), headers, secret)


def _headers(auth: FeedAuth, folder: Path) -> dict[str, str]:
    if auth.token_file is not None:
        token = _secret(folder / auth.token_file)
        if " " in token:
            raise CredentialError(
                f"{folder / auth.token_file}: is no bearer token; write the token alone"
            )
        return {"Authorization": f"Bearer {token}"}
    assert auth.user is not None, "one of two"
    assert auth.password_file is not None, "the policy has both or none"
    pair = f"{auth.user}:{_secret(folder / auth.password_file)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _secret(path: Path) -> str:
    """The one line of a file."""
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
        return read_whole(path, _MOST_BYTES if secret else _MOST_BYTES * 64, guarded=True)
    except (OSError, ValueError) as error:
        raise CredentialError(f"{path}: {refusal(error, path)}") from error


def _context(tls: FeedTls, folder: Path) -> ssl.SSLContext:
    named = ""
    try:
        if tls.ca is not None:
            named = os.fspath(folder / tls.ca)
            _guarded(folder / tls.ca)
        context = tls_context(named or None)
        if tls.certificate is not None and tls.key is not None:
            named = os.fspath(folder / tls.certificate)
            _guarded(folder / tls.certificate)
            _guarded(folder / tls.key, secret=True)
            # With a passphrase OpenSSL would ask for it on the terminal.
            context.load_cert_chain(named, folder / tls.key, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise CredentialError(
            f"{named}: cannot be used for TLS ({why}); give PEM files that belong together, the "
            "key without a passphrase"
        ) from error
    return context
