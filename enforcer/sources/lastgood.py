"""The last configuration that was accepted and applied, on the disk: policy and registry.

In: a `Configuration`. Out: one file, written beside its place, synced, renamed into it, and its
folder synced: a crash at any instant leaves the old one or the new one. And such a file read back:
it counts only when the digest in its first line is that of everything after it. One that is spoilt
is set aside under another name, so that somebody can look at it, and is never used.

The policy is kept as the bytes that declared it, and is parsed again by today's rules; the
registry as packed columns, because a million rows are parsed in a second and unpacked in a tenth.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from enforcer.disk import write_synced
from enforcer.policy.registry import Registry
from enforcer.sources.files import Documents
from enforcer.sources.load import Configuration
from enforcer.sources.packing import pack, unpack
from enforcer.sources.reading import read_whole

FILE = "last-good"
SPOILT = "last-good.spoilt"
_MAGIC = b"enforcer last-good 1 "
_MOST_BYTES = 4 * 1024**3
# What a header with other values than ours ends in.
_NOT_UNDERSTOOD = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
# The size of a snapshot's first line: magic, 64 digits, line end.
_FIRST = len(_MAGIC) + 65


@dataclass(frozen=True, slots=True)
class LastGood:
    """`config` is the path of the configuration that this was, `accepted_at` when it was taken."""

    config: str
    accepted_at: datetime
    policy_digest: str
    documents: Documents
    registry: Registry

    def is_of(self, configuration: Configuration) -> bool:
        """True when it says the same as `configuration`."""
        return (
            self.policy_digest == configuration.policy.digest
            and self.registry.categories == configuration.registry.categories
            and self.registry.digest == configuration.registry.digest
        )


class SpoiltError(ValueError):
    """A snapshot that is not what was written."""


def write_last_good(
    directory: Path, config: str, accepted_at: datetime, configuration: Configuration
) -> None:
    """Replaces the snapshot in `directory`. Raises OSError, and then the old one stands."""
    documents = configuration.documents
    assert documents is not None, "a configuration of files"
    described, columns = pack(configuration.registry)
    texts = {"files": documents.files, "calendars": documents.calendars}
    header = {
        "config": config,
        "accepted_at": accepted_at.astimezone(UTC).isoformat(),
        "policy": configuration.policy.digest,
        "main": documents.main,
        **{kind: [[name, len(data)] for name, data in f.items()] for kind, f in texts.items()},
        "registry": described,
    }
    head = json.dumps(header, ensure_ascii=True).encode() + b"\n"
    parts = [
        memoryview(head),
        *(memoryview(data) for files in texts.values() for data in files.values()),
        *columns,
    ]
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        digest.update(part)
    first = _MAGIC + digest.hexdigest().encode() + b"\n"
    directory.mkdir(parents=True, exist_ok=True)
    write_synced(directory / FILE, [first, *parts], 0o600)


def read_last_good(directory: Path) -> LastGood | None:
    """The snapshot in `directory`; None when there is none. Raises OSError when it cannot be read,
    and SpoiltError when it is not what was written.
    """
    try:
        # The digest tells damage, not malice: one that others could write is nobody's last good.
        data = read_whole(directory / FILE, _MOST_BYTES, guarded=True)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SpoiltError(str(error)) from error
    body = memoryview(data)[_FIRST:]
    first = data[:_FIRST]
    if not first.startswith(_MAGIC[:-2]):
        raise SpoiltError("it does not begin like one")
    if not first.startswith(_MAGIC):
        raise SpoiltError("it was written by another version of enforcer")
    wanted = first[len(_MAGIC) :].rstrip(b"\n").decode("ascii", "replace")
    if hashlib.blake2b(body, digest_size=32).hexdigest() != wanted:
        raise SpoiltError("its digest is not that of its bytes")
    try:
        return _parsed(data, body)
    except _NOT_UNDERSTOOD as error:
        # The bytes are those that were written: another version wrote them, or we did so wrongly.
        raise SpoiltError(f"it cannot be understood: {error!r}") from error


def set_aside(directory: Path) -> Path:
    """Puts the snapshot out of the way, in the place of one that was put there before. Raises
    OSError.
    """
    aside = directory / SPOILT
    (directory / FILE).replace(aside)
    return aside


def _parsed(data: bytes, body: memoryview) -> LastGood:
    end = data.index(b"\n", _FIRST) + 1
    header: Mapping[str, Any] = json.loads(data[_FIRST:end])
    at = end - _FIRST
    texts: dict[str, dict[str, bytes]] = {}
    for kind in ("files", "calendars"):
        texts[kind] = {}
        for name, size in header[kind]:
            texts[kind][name] = bytes(body[at : at + size])
            at += size
    return LastGood(
        str(header["config"]),
        datetime.fromisoformat(header["accepted_at"]),
        str(header["policy"]),
        Documents(str(header["main"]), texts["files"], texts["calendars"]),
        unpack(header["registry"], body[at:]),
    )
