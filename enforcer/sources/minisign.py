"""Signatures of minisign: who vouches for some bytes, and with what serial.

In: a public key, the signed bytes, and the text of their `.minisig`. Out: the trusted comment, or
SignatureError. Both forms are read: `Ed` signs the bytes, `ED` (what minisign writes today) their
BLAKE2b-512. Format: https://jedisct1.github.io/minisign/, "Signature format".

In the trusted comment, which the signature covers, stand the serial as a word `serial:N` and, where
one key signs several things, which of them it is as `feed:NAME`.
"""

from __future__ import annotations

import hashlib
import re

from enforcer.policy.keys import PublicKey, decoded

# A comment may be long; a signature file is not.
MOST_CHARACTERS = 8192
_TRUSTED = "trusted comment: "
_SERIAL = re.compile(r"(?<!\S)serial:(\d{1,18})(?!\S)", re.ASCII)
_FEED = re.compile(r"(?<!\S)feed:(\S*)")
_SIGNATURE_BYTES, _GLOBAL_BYTES = 74, 64


class SignatureError(ValueError):
    """The bytes are not vouched for; the text says why, as `fact; remedy`."""


def verify(keys: tuple[PublicKey, ...], data: bytes, signature: str) -> str:
    """The trusted comment of `data`'s signature by one of `keys`. Raises SignatureError."""
    # Imported where it is needed: six megabytes that a daemon without signed feeds has no use for.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    algorithm, number, signed, comment, whole = _parts(signature)
    key = next((key for key in keys if key.number == number), None)
    if key is None:
        raise SignatureError(
            f"is signed with key {number[::-1].hex().upper()}, which is not trusted here; have it "
            "signed with a key that is, or add that key once you know whose it is"
        )
    message = hashlib.blake2b(data, digest_size=64).digest() if algorithm == b"ED" else data
    public = Ed25519PublicKey.from_public_bytes(key.key)
    try:
        public.verify(signed, message)
    except InvalidSignature:
        raise SignatureError(
            "is not what was signed: bytes were changed or are missing; fetch it again, and ask "
            "who publishes it when that does not help"
        ) from None
    try:
        public.verify(whole, signed + comment.encode())
    except InvalidSignature:
        raise SignatureError(
            "has a signature whose trusted comment was changed; have it signed again"
        ) from None
    return comment


def serial_of(comment: str) -> int:
    """The serial that a trusted comment names. Raises SignatureError when it names none or two."""
    found = _SERIAL.findall(comment)
    if len(found) != 1:
        raise SignatureError(
            "is signed without a serial, so an old one could be sent again; sign it with a trusted "
            "comment like serial:2026112501, higher each time"
        )
    return int(found[0])


def feed_of(comment: str) -> str | None:
    """The feed that a trusted comment names, None when it names none. Raises SignatureError when
    it names two, or has the word without a name.
    """
    found = set(_FEED.findall(comment))
    if len(found) > 1 or "" in found:
        raise SignatureError(
            "is signed for no one feed; sign it with a trusted comment like feed:missions serial:7"
        )
    return found.pop() if found else None


def _parts(signature: str) -> tuple[bytes, bytes, bytes, str, bytes]:
    """Algorithm, number of the key, signature, trusted comment, signature of both."""
    lines = signature[:MOST_CHARACTERS].splitlines()
    if len(lines) < 4 or not lines[2].startswith(_TRUSTED) or len(signature) > MOST_CHARACTERS:
        raise _no_signature()
    if any("\ud800" <= character <= "\udfff" for character in lines[2]):
        # Half a character: JSON can hold it, no file that was signed does.
        raise _no_signature()
    raw, whole = decoded(lines[1]), decoded(lines[3])
    if len(raw) != _SIGNATURE_BYTES or raw[:2] not in (b"Ed", b"ED") or len(whole) != _GLOBAL_BYTES:
        raise _no_signature()
    return raw[:2], raw[2:10], raw[10:], lines[2].removeprefix(_TRUSTED), whole


def _no_signature() -> SignatureError:
    return SignatureError("has no signature of minisign beside it; sign it with: minisign -Sm FILE")
