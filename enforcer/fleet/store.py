"""A fleet in etcd: revisions, the chunks of their files, heads, and what gateways say.

    /enforcer/FLEET/newest               the number of the last revision
    /enforcer/FLEET/revisions/NUMBER     manifest and signature (number in twelve digits)
    /enforcer/FLEET/chunks/HASH          a chunk of some file
    /enforcer/FLEET/head/TRACK           the number that gateways of a track have to hold
    /enforcer/FLEET/gateways/NAME        what a gateway says, under its lease
    /enforcer/FLEET/roster/NAME          the track of a gateway that there is, until it is forgotten

Nothing here is trusted for standing in etcd: a manifest counts by its signature, a chunk by its
hash, and a number only when it is higher than what was held before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from enforcer.fleet import etcd
from enforcer.fleet.chunks import ChunkError, Root, cut, join
from enforcer.fleet.etcd import Client, Delete, Put, Unchanged
from enforcer.fleet.reports import GATEWAY, Report, read_report
from enforcer.fleet.revision import MOST_NUMBER, ManifestError, Revision, parse
from enforcer.fleet.settings import TRACKS
from enforcer.policy.keys import PublicKey
from enforcer.sources.minisign import SignatureError, serial_of, verify

# Revisions whose chunks are kept, for `rollback` and for gateways that were away.
KEPT_REVISIONS = 20
_PLACE = re.compile(r"\d{12}", re.ASCII)


class RefusedError(Exception):
    """A revision that is not taken; the text says why, as `fact; remedy`."""


class OvertakenError(Exception):
    """Somebody else published meanwhile."""


@dataclass(frozen=True, slots=True)
class Signed:
    manifest: str
    signature: str

    def stored(self) -> bytes:
        return json.dumps({"manifest": self.manifest, "signature": self.signature}).encode()

    @classmethod
    def of(cls, data: bytes) -> Signed:
        try:
            value = json.loads(data)
            manifest, signature = value["manifest"], value["signature"]
            # JSON may hold half a character (a lone surrogate), which no bytes are signed for.
            manifest.encode(), signature.encode()
            return cls(manifest, signature)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RefusedError("is no revision; publish it again") from error

    def revision(self, fleet: str, number: int, keys: tuple[PublicKey, ...]) -> Revision:
        """What was signed. Raises RefusedError unless one of `keys` signed this number of this
        fleet.
        """
        try:
            comment = verify(keys, self.manifest.encode(), self.signature)
            revision, serial = parse(self.manifest), serial_of(comment)
        except (SignatureError, ManifestError) as error:
            raise RefusedError(str(error)) from error
        if (revision.fleet, revision.number, serial) != (fleet, number, number):
            raise RefusedError(
                f"was signed as revision {revision.number} of fleet {revision.fleet}, serial "
                f"{serial}, and stands in the place of {number} of {fleet}; publish it again"
            )
        return revision


@dataclass(frozen=True, slots=True)
class Store:
    client: Client
    fleet: str

    def key(self, *parts: str) -> str:
        return "/".join(("/enforcer", self.fleet, *parts))

    # --- revisions ------------------------------------------------------------------------------

    def published_at(self) -> int:
        """etcd's revision when somebody published last (0: nobody has)."""
        _, entry = self.client.get(self.key("newest"))
        return entry.changed if entry is not None else 0

    def newest(self, keys: tuple[PublicKey, ...]) -> Revision | None:
        """The revision of the highest number that one of `keys` signed. Others above it are what
        anybody who may write in etcd can have put there. Raises RefusedError when there are
        revisions, and all of them are of that kind.
        """
        refused: RefusedError | None = None
        for number in self.numbers():
            try:
                if (signed := self.signed(number)) is not None:
                    return signed.revision(self.fleet, number, keys)
            except RefusedError as error:
                refused = refused or RefusedError(f"revision {number} {error}")
        if refused is not None:
            raise refused
        return None

    def signed(self, number: int) -> Signed | None:
        _, entry = self.client.get(self.key("revisions", _digits(number)))
        return Signed.of(entry.value) if entry is not None else None

    def numbers(self) -> list[int]:
        """The numbers of all revisions that are there, newest first."""
        found = self.client.under(self.key("revisions", ""), keys_only=True)
        names = [_last(entry.key) for entry in found.entries]
        return sorted((int(name) for name in names if _PLACE.fullmatch(name)), reverse=True)

    def head(self, track: str) -> tuple[int, int]:
        """Which number gateways of the track have to hold (0: none yet), and etcd's revision."""
        revision, entry = self.client.get(self.key("head", track))
        return (number_of(entry.value) if entry is not None else 0), revision

    def set_head(self, track: str, number: int) -> None:
        self.client.commit([Put(self.key("head", track), str(number).encode())])

    def upload(self, files: Mapping[str, bytes]) -> tuple[dict[str, Root], int]:
        """Puts the chunks that are not there yet. Returns the roots, and how many bytes were put.

        From the top down: what is there has everything below it, because a list is put after what
        it lists. So a small change asks for few keys, however large the file.
        """
        roots: dict[str, Root] = {}
        sent = 0
        for name, data in files.items():
            roots[name], chunks = cut(data)
            levels: list[list[str]] = []
            names = [roots[name].name]
            for depth in range(roots[name].depth, -1, -1):
                missing = self._missing(names)
                levels.append(missing)
                if depth:
                    listed = b"".join(chunks[each] for each in missing)
                    names = list(dict.fromkeys(listed.decode().split()))
            for level in reversed(levels):
                puts = [Put(self.key("chunks", each), chunks[each]) for each in level]
                for batch in _batches(puts):
                    self.client.commit(batch)
                sent += sum(len(put.value) for put in puts)
        return roots, sent

    def _missing(self, names: Sequence[str]) -> list[str]:
        keys = {self.key("chunks", name): name for name in names}
        there = self.client.present(list(keys))
        return [name for key, name in keys.items() if key not in there]

    def publish(
        self, revision: Revision, signed: Signed, newest_changed: int, tracks: Sequence[str]
    ) -> None:
        """Makes a revision the newest one, and the head of the tracks. Raises OvertakenError when
        another was published since `newest_changed`.
        """
        newest, number = self.key("newest"), str(revision.number).encode()
        place = self.key("revisions", _digits(revision.number))
        done = self.client.commit(
            [
                Put(newest, number),
                Put(place, signed.stored()),
                *(Put(self.key("head", track), number) for track in tracks),
            ],
            [Unchanged(newest, newest_changed), Unchanged(place, 0)],
        )
        if not done:
            raise OvertakenError

    def fetch(self, revision: Revision, at_hand: Mapping[str, bytes]) -> dict[str, bytes]:
        """The files of a revision. Chunks of the files `at_hand` (an earlier revision's) are not
        fetched again. Raises RefusedError.
        """
        known: dict[str, bytes] = {}
        for data in at_hand.values():
            known |= cut(data)[1]

        def chunks(names: list[str]) -> dict[str, bytes]:
            keys = {self.key("chunks", name): name for name in names if name not in known}
            found = self.client.many(list(keys))
            known.update({keys[key]: chunk for key, chunk in found.items()})
            return known

        files: dict[str, bytes] = {}
        for name, root in revision.files.items():
            try:
                files[name] = join(root, chunks)
            except ChunkError as error:
                raise RefusedError(f"its file {name} {error}; publish it again") from error
        return files

    def prune(self, keys: tuple[PublicKey, ...], kept_revisions: int = KEPT_REVISIONS) -> int:
        """Takes out revisions behind the last so many, and chunks of none that stays. Returns how
        many chunks went. It looks through all that there are, and so waits until there are twice as
        many revisions as are kept.

        Another publisher may take a chunk of an old revision for one that stays, at this moment:
        its revision is refused by every gateway then, for want of a chunk, and published again.
        """
        numbers = self.numbers()
        if len(numbers) < 2 * kept_revisions:
            return 0
        kept: list[Revision] = []
        heads = {self.head(track)[0] for track in TRACKS}
        for number in numbers:
            if len(kept) < kept_revisions or number in heads:
                # What nobody signed takes no other's place.
                with suppress(RefusedError):
                    signed = self.signed(number)
                    kept += [signed.revision(self.fleet, number, keys)] if signed else []
        if len(kept) < kept_revisions:
            return 0
        lowest = kept[kept_revisions - 1].number
        used: set[str] = set()
        for revision in kept:
            for root in revision.files.values():
                used |= self._names_of(root)
        prefix, before = self.key("chunks", ""), self.published_at()
        # What was put after the last revision is of one that is being published.
        there = {
            e.key for e in self.client.under(prefix, keys_only=True).entries if e.changed < before
        }
        gone = sorted(there - {prefix + name for name in used})
        stays = {revision.number for revision in kept}
        old = [self.key("revisions", _digits(n)) for n in numbers if n < lowest and n not in stays]
        for batch in _batches([Delete(key) for key in (*old, *gone)]):
            self.client.commit(batch)
        return len(gone)

    def _names_of(self, root: Root) -> set[str]:
        """All chunks of a file, those of its lists included."""
        names, found = [root.name], {root.name}
        for _ in range(root.depth):
            chunks = self.client.many([self.key("chunks", name) for name in names])
            names = b"".join(chunks.values()).decode("ascii", "replace").split()
            found |= set(names)
        return found

    # --- gateways -------------------------------------------------------------------------------

    def report(self, report: Report, lease: int) -> None:
        self.client.commit(
            [
                Put(self.key("gateways", report.gateway), report.stored(), lease),
                Put(self.key("roster", report.gateway), report.track.encode()),
            ]
        )

    def reports(self, roster: Iterable[str] | None = None) -> dict[str, Report | None]:
        """Gateway → what it says; None where it has gone silent, or cannot be understood. `roster`:
        the gateways that there are, where it has been read.
        """
        found: dict[str, Report | None] = dict.fromkeys(self.roster() if roster is None else roster)
        for entry in self.client.under(self.key("gateways", "")).entries:
            found[_last(entry.key)] = read_report(entry.value)
        return {name: found[name] for name in sorted(found) if GATEWAY.fullmatch(name)}

    def roster(self) -> dict[str, str]:
        """Gateway → the track that it was of when it reported last ("": none that there is)."""
        entries = self.client.under(self.key("roster", "")).entries
        tracks = {track.encode(): track for track in TRACKS}
        return {_last(entry.key): tracks.get(entry.value, "") for entry in entries}

    def forget(self, gateway: str) -> None:
        self.client.commit([Delete(self.key("roster", gateway))])


def _digits(number: int) -> str:
    return f"{number:012}"


def _last(key: str) -> str:
    return key.rpartition("/")[2]


def number_of(text: bytes) -> int:
    """A revision's number as it stands under a head. Raises RefusedError."""
    if text.isdigit() and len(text) <= len(str(MOST_NUMBER)) and int(text) > 0:
        return int(text)
    raise RefusedError(
        f"etcd holds {text[:40]!r} where a revision's number belongs; look who writes there, and "
        "publish again"
    )


def _batches(operations: Sequence[Put | Delete]) -> Iterator[list[Put | Delete]]:
    """As many at once as etcd takes."""
    batch: list[Put | Delete] = []
    size = 0
    for operation in operations:
        more = len(operation.key) + (len(operation.value) if isinstance(operation, Put) else 0)
        if batch and (len(batch) == etcd.MOST_OPERATIONS or size + more > etcd.MOST_REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(operation)
        size += more
    if batch:
        yield batch
