"""The revisions that a gateway holds on its disk, and which of them its daemon reads.

    DIRECTORY/current -> revisions/000000000042
    DIRECTORY/revisions/000000000042/     the files, with the gateway's sections put in
    DIRECTORY/revisions/000000000042.signed
    DIRECTORY/held.json                   the highest number ever taken
    DIRECTORY/windows.d/                  what was declared here, read with whichever revision

A revision is written and synced whole before `current` points at it; the switch is one rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from enforcer.disk import sync_directory, write_synced
from enforcer.fleet.chunks import cut
from enforcer.fleet.revision import Revision
from enforcer.fleet.store import RefusedError, Signed
from enforcer.sources.files import WINDOWS_FOLDER

# The one in force, the one before, and one that is being looked at.
_KEPT = 3
FETCHED_ANEW = "it is fetched anew once etcd answers"
_CURRENT, _REVISIONS, _HELD, _SHARED = "current", "revisions", "held.json", ".shared"


def digest(text: str) -> str:
    """How `Held` names a text: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Held:
    """`number` is the highest that was ever taken, and `digest` names what it was. `answered` is
    the digest of the main file that the daemon said it had taken; empty while nobody knows what it
    holds, as where none ran.
    """

    number: int
    digest: str
    answered: str = ""


@dataclass(frozen=True, slots=True)
class Spool:
    directory: Path

    @property
    def main(self) -> Path:
        """What the daemon's `--config` names, up to the file's name."""
        return self.directory / _CURRENT

    def current(self) -> int | None:
        """The number that the daemon reads; None when there is none yet."""
        try:
            return int(os.readlink(self.directory / _CURRENT).rsplit("/", 1)[-1])
        except (OSError, ValueError):
            return None

    def held(self) -> Held | None:
        try:
            value = json.loads((self.directory / _HELD).read_bytes())
            answered = str(value.get("answered", ""))
            return Held(int(value["number"]), str(value["digest"]), answered)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RefusedError(
                f"{self.directory / _HELD} cannot be read ({error}), so an old revision could pass "
                "for a new one; mend it, or remove it when you are sure of etcd"
            ) from error

    def hold(self, held: Held) -> None:
        text = json.dumps(asdict(held))
        write_synced(self.directory / _HELD, [text.encode() + b"\n"], 0o640)

    def local(self) -> tuple[str, ...]:
        """The files of windows of this gateway's own, without `.yaml`."""
        found = (self.directory / WINDOWS_FOLDER).glob("[!.]*.yaml")
        return tuple(sorted(path.stem for path in found))

    def has(self, number: int) -> bool:
        return self._folder(number).is_dir()

    def files(self, number: int) -> dict[str, bytes]:
        """A revision's files as they were published; none when it is not on the disk."""
        folder = self._folder(number)
        found: dict[str, bytes] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and _SHARED not in path.relative_to(folder).parts[:1]:
                shared = folder / _SHARED / path.relative_to(folder)
                found[str(path.relative_to(folder))] = (
                    shared if shared.is_file() else path
                ).read_bytes()
        return found

    def damage(self, revision: Revision, signed: Signed, files: Mapping[str, bytes]) -> str | None:
        """What of a revision's `files` on the disk, or of what stands beside them, is not as it was
        published: `place fact`. None: all is. Raises OSError.
        """
        folder, place = self._folder(revision.number), self._signed(revision.number)
        for name, root in revision.files.items():
            if name not in files:
                return f"{folder / name} is not there any more"
            if cut(files[name])[0] != root:
                return f"{folder / name} is not what was published"
        if not place.is_file() or place.read_bytes() != signed.stored():
            return f"{place} is not what was published"
        return None

    def write(
        self, number: int, files: Mapping[str, bytes], main: str, composed: str, signed: Signed
    ) -> None:
        """Puts a revision on the disk, `main` as composed for this gateway, in the place of what is
        there of it. Raises OSError.
        """
        folder = self._folder(number)
        scratch, old = (folder.with_name(f".{folder.name}.{what}") for what in ("new", "old"))
        for left in (scratch, old):
            shutil.rmtree(left, ignore_errors=True)
        scratch.mkdir(parents=True, mode=0o750)
        for name, data in files.items():
            place = scratch / (f"{_SHARED}/{name}" if name == main else name)
            _write(place, data)
        _write(scratch / main, composed.encode())
        _sync_tree(scratch)
        # The daemon may read it: it is away between two renames only.
        with suppress(FileNotFoundError):
            folder.rename(old)
        scratch.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        write_synced(self._signed(number), [signed.stored()], 0o640)

    def switch(self, number: int) -> None:
        """The daemon reads this one from its next load on."""
        scratch = self.directory / f".{_CURRENT}.new"
        scratch.unlink(missing_ok=True)
        scratch.symlink_to(f"{_REVISIONS}/{self._folder(number).name}")
        scratch.rename(self.directory / _CURRENT)
        sync_directory(self.directory)

    def switch_back(self, number: int | None) -> None:
        """As it was: to another revision, or to none when the first one was refused."""
        if number is None:
            (self.directory / _CURRENT).unlink(missing_ok=True)
        else:
            self.switch(number)

    def signed(self, number: int) -> Signed:
        """As it was published. Raises RefusedError when it is not on the disk any more."""
        try:
            return Signed.of(self._signed(number).read_bytes())
        except OSError as error:
            raise RefusedError(
                f"{self._signed(number)}: {error.strerror}; {FETCHED_ANEW}"
            ) from error

    def composed(self, main: str) -> str | None:
        """The daemon's main file; None when there is none."""
        try:
            return (self.main / main).read_text()
        except (OSError, UnicodeDecodeError):
            return None

    def compose(self, main: str, composed: str) -> None:
        """Exchanges the daemon's main file within the revision that it reads."""
        write_synced(self.main / main, [composed.encode()], 0o640)

    def tidy(self) -> None:
        """Takes out what is neither in force nor newest."""
        folder = self.directory / _REVISIONS
        numbers = sorted(int(p.name) for p in folder.glob("[0-9]*") if p.name.isdigit())
        for number in [n for n in numbers[:-_KEPT] if n != self.current()]:
            shutil.rmtree(self._folder(number), ignore_errors=True)
            self._signed(number).unlink(missing_ok=True)

    def _folder(self, number: int) -> Path:
        return self.directory / _REVISIONS / f"{number:012}"

    def _signed(self, number: int) -> Path:
        folder = self._folder(number)
        return folder.with_name(f"{folder.name}.signed")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    with path.open("xb") as file:
        os.fchmod(file.fileno(), 0o640)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_tree(folder: Path) -> None:
    for path in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
        sync_directory(path)
