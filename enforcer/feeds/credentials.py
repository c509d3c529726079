"""Who we are, to a feed's server.

In: a feed and the folder of the configuration. Out: headers and a TLS context, or CredentialError.
"""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from enforcer.policy.feed import Feed, FeedAuth, FeedTls
from enforcer.sources.guarded import CredentialError, client_context, secret


@dataclass(frozen=True, slots=True)
class Credentials:
    context: ssl.SSLContext
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    # Whether something tells a server who we are.
    secret: bool = False


def read_credentials(feed: Feed, folder: Path) -> Credentials:
    """Reads the files anew, for they are exchanged. Raises CredentialError."""
    headers = _headers(feed.auth, folder) if feed.auth is not None else {}
    known = feed.auth is not None or feed.tls.certificate is not None
    return Credentials(_context(feed.tls, folder), headers, known)


def _headers(auth: FeedAuth, folder: Path) -> dict[str, str]:
    if auth.token_file is not None:
        token = secret(folder / auth.token_file)
        if " " in token:
            raise CredentialError(
                f"{folder / auth.token_file}: is no bearer token; write the token alone"
            )
        return {"Authorization": f"Bearer {token}"}
    assert auth.user is not None, "one of two"
    assert auth.password_file is not None, "the policy has both or none"
    pair = f"{auth.user}:{secret(folder / auth.password_file)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _context(tls: FeedTls, folder: Path) -> ssl.SSLContext:
    ca, certificate, key = (
        None if name is None else folder / name for name in (tls.ca, tls.certificate, tls.key)
    )
    return client_context(ca, certificate, key)
