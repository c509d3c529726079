"""A revision: which files make the policy and the registry of a fleet, by content, under a number.

In: files by name. Out: a manifest as text, which is what is signed; and a manifest read back. It
names each file's root (`chunks`), so a signature over the manifest covers every byte of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from enforcer.fleet.chunks import MOST_DEPTH, Root
from enforcer.policy.times import saved_instant

FORM = 1
MOST_MANIFEST_BYTES = 256 * 1024
MOST_FILES = 2048
# Twelve digits: keys in etcd and folders on the disk are sorted by them.
MOST_NUMBER = 10**12 - 1
MOST_FILE_BYTES = 256 * 1024**2
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


class ManifestError(ValueError):
    """A manifest that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Revision:
    """`number` only ever grows. `files` is name, below the folder of the configuration → content;
    `main` the name of `enforcer.yaml` among them. `rolled_back_to` names the revision whose files
    these are again. `accepts_shrink` is the digest of its registry, where whoever published it
    said that what it removes is meant (empty: nobody did).
    """

    fleet: str
    number: int
    made_at: datetime
    made_by: str
    note: str
    main: str
    files: Mapping[str, Root]
    rolled_back_to: int | None = None
    accepts_shrink: str = ""

    def text(self) -> str:
        """The manifest: the same text for the same revision."""
        value = {
            "form": FORM,
            "fleet": self.fleet,
            "number": self.number,
            "made_at": self.made_at.astimezone(UTC).isoformat(timespec="seconds"),
            "made_by": self.made_by,
            "note": self.note,
            "main": self.main,
            "rolled_back_to": self.rolled_back_to,
            "accepts_shrink": self.accepts_shrink,
            "files": [
                {"name": name, "size": root.size, "depth": root.depth, "chunk": root.name}
                for name, root in sorted(self.files.items())
            ],
        }
        return json.dumps(value, indent=1, ensure_ascii=True) + "\n"

    def changed_since(self, before: Revision | None) -> list[str]:
        """The names of files that came, went or differ, in order."""
        old = before.files if before is not None else {}
        names = sorted(old.keys() | self.files.keys())
        return [name for name in names if old.get(name) != self.files.get(name)]


def parse(text: str) -> Revision:
    """A manifest read back. Raises ManifestError."""
    if len(text) > MOST_MANIFEST_BYTES:
        raise ManifestError(f"is larger than {MOST_MANIFEST_BYTES:,} bytes")
    try:
        value = json.loads(text)
        if value["form"] != FORM:
            raise ManifestError(
                f"is of form {value['form']}, and this enforcer reads {FORM}; update it"
            )
        files = {entry["name"]: _root(entry) for entry in value["files"]}
        back = value["rolled_back_to"]
        revision = Revision(
            _word(value["fleet"]),
            _number(value["number"]),
            saved_instant(value["made_at"]),
            _line(value["made_by"]),
            _line(value["note"]),
            _file_name(value["main"]),
            {_file_name(name): root for name, root in files.items()},
            None if back is None else _number(back),
            _line(value["accepts_shrink"]),
        )
    except ManifestError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestError(f"cannot be understood ({error!r})") from error
    if len(files) > MOST_FILES or len(files) != len(value["files"]):
        raise ManifestError(f"names a file twice, or more than {MOST_FILES:,} of them")
    if revision.main not in revision.files:
        raise ManifestError(f"has no file {revision.main}")
    return revision


def _root(entry: Mapping[str, Any]) -> Root:
    size, depth, chunk = entry["size"], entry["depth"], entry["chunk"]
    if type(size) is not int or not 0 <= size <= MOST_FILE_BYTES:
        raise ManifestError(f"has a file of {size!r} bytes; {MOST_FILE_BYTES:,} is the most")
    if type(depth) is not int or not 0 <= depth <= MOST_DEPTH:
        raise ManifestError(f"has a file of {depth!r} levels")
    if not isinstance(chunk, str) or not _HASH.fullmatch(chunk):
        raise ManifestError("names a chunk by no SHA-256")
    return Root(size, depth, chunk)


def _number(value: object) -> int:
    if type(value) is not int or not 0 < value <= MOST_NUMBER:
        raise ManifestError(f"has {value!r} in place of a number")
    return value


def _word(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ManifestError(f"has {value!r} in place of a fleet's name")
    return value


def _line(value: object) -> str:
    if not isinstance(value, str) or len(value) > 1000 or not (value.isprintable() or not value):
        raise ManifestError("has a text that is no single line")
    return value


def _file_name(value: object) -> str:
    """A relative path that stays below its folder, in its plain form."""
    if not isinstance(value, str) or not value or len(value) > 255 or not value.isprintable():
        raise ManifestError(f"names a file {value!r}")
    path = PurePosixPath(value)
    plain = str(path) == value and "\\" not in value
    if path.is_absolute() or not plain or any(p in ("..", ".") or p[:1] == "." for p in path.parts):
        raise ManifestError(
            f"names a file {value!r}, which is not below the configuration's folder"
        )
    return value
