"""A feed as a value: where registrations come from, whose signature they need, what is too much.

Times are seconds, sizes bytes. `file` is where the accepted body is kept and the daemon reads it;
it and the files of credentials are names relative to the folder of the configuration file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from enforcer.policy.keys import PublicKey

Form = Literal["csv", "plain", "json", "xlsx", "delegated"]
# What the unit of `enforcer fetch` may write to.
FOLDER = "/var/lib/enforcer/feeds"


@dataclass(frozen=True, slots=True)
class FeedTls:
    """PEM files. `ca` None: the authorities that the system trusts."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class FeedAuth:
    """A bearer token, or a user and the file of a password."""

    token_file: str | None = None
    user: str | None = None
    password_file: str | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """`urls` are tried in order. Without `public_keys` nobody signs it. `form` None: by its look;
    `category` is that of rows without one. `timeout_s` is for one address, from the name's lookup
    to the last byte of the signature; `max_bytes` for a body, packed and unpacked.
    """

    name: str
    file: str
    urls: tuple[str, ...]
    public_keys: tuple[PublicKey, ...] = ()
    every_s: int = 3600
    timeout_s: int = 60
    max_bytes: int = 64 * 1024**2
    max_rows: int = 2_000_000
    category: str | None = None
    form: Form | None = None
    auth: FeedAuth | None = None
    tls: FeedTls = FeedTls()
