"""A new revision: checked as a gateway would, cut into chunks, signed, and put in front of a fleet.

In: a store, files, and a way to sign. Out: a published `Revision`, or RefusedError with what to do.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from enforcer.fleet.revision import ManifestError, Revision, parse
from enforcer.fleet.store import OvertakenError, RefusedError, Report, Signed, Store
from enforcer.policy.registry import Registry
from enforcer.policy.shrinking import ShrinkError, refuse_shrinking
from enforcer.sources.files import WINDOWS_FOLDER, Documents
from enforcer.sources.load import parse_all
from enforcer.sources.minisign import PublicKey

Sign = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be published. `files` are bytes by name; None takes those of `rolled_back_to`.
    `accepts_shrink` is the token of a registry that may remove more than `shrink_limit`.
    """

    main: str
    files: Mapping[str, bytes] | None
    made_by: str
    note: str
    tracks: Sequence[str]
    rolled_back_to: int | None = None
    accepts_shrink: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """`changed` are the names of files that differ from the revision before, `sent` the bytes that
    etcd had to be given.
    """

    revision: Revision
    changed: Sequence[str]
    sent: int


def publish(
    store: Store, draft: Draft, keys: tuple[PublicKey, ...], now: datetime, sign: Sign
) -> Published:
    """Raises RefusedError when it is not published, and EtcdError when etcd cannot be asked."""
    newest, changed_at = store.newest()
    before = _revision(store, newest, keys) if newest else None
    reported = [r.revision or 0 for r in store.reports().values() if r is not None]
    # Gateways never go back: after etcd was restored from an older copy, numbers go on from theirs.
    number = 1 + max([newest, *reported])
    if draft.files is None:
        assert draft.rolled_back_to is not None, "files, or the revision that has them"
        old = _revision(store, draft.rolled_back_to, keys)
        if old is None:
            there = ", ".join(map(str, store.numbers())) or "none"
            raise RefusedError(
                f"there is no revision {draft.rolled_back_to} any more; there are: {there}"
            )
        main, files = old.main, store.fetch(old, {})
    else:
        main, files = draft.main, dict(draft.files)
    accepted = ""
    if before is not None:
        kept = store.fetch(before, files)
        accepted = _shrinks(kept, before.main, files, main, now.date(), draft.accepts_shrink)
    roots, sent = store.upload(files)
    revision = Revision(
        store.fleet, number, now, draft.made_by, draft.note, main, roots,
        draft.rolled_back_to, accepted,
    )  # fmt: skip
    manifest = revision.text()
    try:
        # What a gateway would refuse is refused here.
        parse(manifest)
    except ManifestError as error:
        raise RefusedError(f"the revision {error}; rename or leave out what it names") from error
    signed = Signed(manifest, sign(manifest, f"serial:{number} enforcer {store.fleet}"))
    signed.revision(store.fleet, number, keys)
    try:
        store.publish(revision, signed, changed_at, draft.tracks)
    except OvertakenError:
        other, _ = store.newest()
        theirs = _revision(store, other, keys)
        who = f" by {theirs.made_by}" if theirs else ""
        raise RefusedError(
            f"revision {other} was published{who} meanwhile; look at what it changed, then publish "
            "again"
        ) from None
    return Published(revision, revision.changed_since(before), sent)


def _shrinks(
    old: Mapping[str, bytes], old_main: str, new: Mapping[str, bytes], main: str, day: date,
    accepted: str,
) -> str:  # fmt: skip
    """The digest of the new registry, when it removes much and that is accepted; empty when it does
    not. Raises RefusedError when nobody said that it is meant: each gateway would refuse it.
    """
    before, _ = _registry(old, old_main)
    registry, limit = _registry(new, main)
    try:
        refuse_shrinking(before, registry, limit, day)
    except ShrinkError as error:
        if len(accepted) >= len(error.token) and registry.digest.startswith(accepted):
            return registry.digest
        lost = ", ".join(f"{x.removed:,} of {x.before:,} of {x.category}" for x in error.losses)
        raise RefusedError(
            f"it would remove {lost}, more than shrink_limit {limit:.0%}, from every gateway; "
            f"check the registry files or, if it is meant, add: --accept-shrink {error.token}"
        ) from error
    return ""


def _registry(files: Mapping[str, bytes], main: str) -> tuple[Registry, float]:
    """The registry among the files of a configuration, and its `shrink_limit`."""
    yaml = {
        name: data
        for name, data in files.items()
        if name == main or (name.startswith(f"{WINDOWS_FOLDER}/") and name.endswith(".yaml"))
    }
    policy = Documents(main, yaml, files).policy()
    named = {name: files[name] for name in policy.registry.files}
    return parse_all(named, policy), policy.registry.shrink_limit


def _revision(store: Store, number: int, keys: tuple[PublicKey, ...]) -> Revision | None:
    signed = store.signed(number)
    return signed.revision(store.fleet, number, keys) if signed is not None else None


def sign_with_minisign(key: Path) -> Sign:
    """Signs with the secret key in a file; minisign asks for its passphrase on the terminal."""

    def sign(text: str, comment: str) -> str:
        if not key.is_file():
            raise RefusedError(f"{key}: there is no such key; make one with: minisign -G -s {key}")
        with tempfile.TemporaryDirectory(prefix="enforcer-sign-") as folder:
            file = Path(folder) / "manifest"
            file.write_text(text)
            command = ("minisign", "-S", "-s", os.fspath(key), "-m", str(file), "-t", comment)
            try:
                done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
            except FileNotFoundError as error:
                raise RefusedError(
                    "minisign is not installed; install the package minisign"
                ) from error
            signature = file.with_name("manifest.minisig")
            if done.returncode or not signature.is_file():
                raise RefusedError(f"{key}: minisign did not sign; look at what it says above")
            return signature.read_text()

    return sign


def wrong_for(
    reports: Mapping[str, Report | None], number: int, track: str, *, late: bool
) -> str | None:
    """What keeps a revision from being given to more gateways: one of the track that refuses it or
    is not well, or, where it is `late`, does not hold it. None: nothing.
    """
    for name, report in reports.items():
        if report is None or report.track != track:
            continue
        if report.refused == number:
            return f"{name} refuses revision {number}: {report.problem}"
        if report.problem is not None:
            return f"{name}: {report.problem}"
        if late and (report.revision or 0) < number:
            return f"{name} holds revision {report.revision or 'none'}, not {number}"
    if late and not any(r is not None and r.track == track for r in reports.values()):
        return f"no gateway of track {track} reports"
    return None
