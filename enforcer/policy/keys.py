"""Public keys of minisign: whose signatures an operator trusts.

In: text. Out: `PublicKey`, or ValueError. Format: https://jedisct1.github.io/minisign/, "Public key
format".
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

_KEY_BYTES = 42


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`number` is the 8 bytes that a signature names its key by, `key` the Ed25519 key itself."""

    number: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """The base64 line of a `.pub` file, or the whole file. Raises ValueError."""
        lines = [line for line in text.strip().splitlines() if line.strip()]
        raw = decoded(lines[-1]) if lines else b""
        if len(raw) != _KEY_BYTES or raw[:2] != b"Ed":
            raise ValueError(
                "is not a public key of minisign; give the second line of the .pub file, which "
                "begins with RW"
            )
        return cls(raw[2:10], raw[10:])

    def __str__(self) -> str:
        return base64.b64encode(b"Ed" + self.number + self.key).decode()


def decoded(line: str) -> bytes:
    """The bytes of a line in base64; none when it is not that."""
    try:
        return base64.b64decode(line.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
