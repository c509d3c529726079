"""A new revision: checked as a gateway would, cut into chunks, signed, and put in front of a fleet.

In: a store, files, and a way to sign. Out: a published `Revision`, or RefusedError with what to do.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from enforcer.errors import PolicyError
from enforcer.fleet.reports import Report
from enforcer.fleet.revision import ManifestError, Revision, parse
from enforcer.fleet.store import OvertakenError, RefusedError, Signed, Store
from enforcer.policy.keys import PublicKey
from enforcer.policy.registry import Registry
from enforcer.policy.shrinking import ShrinkError, refuse_shrinking
from enforcer.sources.files import WINDOWS_FOLDER, Documents
from enforcer.sources.load import parse_all

Sign = Callable[[str, str], str]
# Numbers that nobody has proven count up to so far above the newest revision that somebody signed:
# a forged one of twelve digits would be the last.
MOST_STEP = 1_000_000


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
    etcd had to be given. `uncounted`: why it was not counted what the registry loses (None: it
    was); each gateway counts for itself.
    """

    revision: Revision
    changed: Sequence[str]
    sent: int
    uncounted: str | None = None


def publish(
    store: Store, draft: Draft, keys: tuple[PublicKey, ...], now: datetime, sign: Sign
) -> Published:
    """Raises PolicyError when the files are no configuration, RefusedError when they are not
    published for another reason, and EtcdError when etcd cannot be asked.
    """
    changed_at = store.published_at()
    before = store.newest(keys)
    number = next_number(before, store.numbers(), store.reports().values())
    if draft.files is None:
        assert draft.rolled_back_to is not None, "files, or the revision that has them"
        old = _revision(store, draft.rolled_back_to, keys)
        if old is None:
            there = ", ".join(map(str, store.numbers()[:20])) or "none"
            raise RefusedError(
                f"there is no revision {draft.rolled_back_to} any more; there are: {there}"
            )
        main, files = old.main, store.fetch(old, {})
    else:
        main, files = draft.main, dict(draft.files)
    registry, limit = _registry(files, main)
    accepted, uncounted = "", None
    if before is not None:
        try:
            old_registry, _ = _registry(store.fetch(before, files), before.main)
            refuse_shrinking(old_registry, registry, limit, now.date())
        except ShrinkError as error:
            accepted = _accepted(error, registry, limit, draft.accepts_shrink)
        except (PolicyError, RefusedError) as error:
            # One that was published by another version, or whose chunks are gone.
            uncounted = f"revision {before.number}: {str(error).splitlines()[0]}"
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
        theirs = store.newest(keys)
        what = f"revision {theirs.number}" if theirs else "one"
        who = f" by {theirs.made_by}" if theirs else ""
        text = f"{what} was published{who} meanwhile; look at what it changed, then publish again"
        raise RefusedError(text) from None
    return Published(revision, revision.changed_since(before), sent, uncounted)


def next_number(
    before: Revision | None, numbers: Iterable[int], reports: Iterable[Report | None]
) -> int:
    """Above the revision before and all `numbers` that there are, and, because gateways never go
    back, above what they hold: after etcd was restored from an older copy, numbers go on from
    theirs.
    """
    last = before.number if before is not None else 0
    said = [*numbers, *(report.revision or 0 for report in reports if report is not None)]
    return 1 + max([last, *(n for n in said if n - last <= MOST_STEP)])


def _accepted(error: ShrinkError, registry: Registry, limit: float, token: str) -> str:
    """The digest of the registry, when `token` says that what it removes is meant. Raises
    RefusedError when nobody said so: each gateway would refuse it.
    """
    if len(token) >= len(error.token) and registry.digest.startswith(token):
        return registry.digest
    lost = ", ".join(
        f"{x.lost:,} of {x.before:,} of {x.category}"
        + (f" ({x.removed:,} removed, {x.narrowed:,} narrowed)" if x.narrowed else "")
        for x in error.losses
    )
    narrows = any(loss.narrowed for loss in error.losses)
    does, where = ("remove, or take services from,", "on") if narrows else ("remove", "from")
    raise RefusedError(
        f"it would {does} {lost}, more than shrink_limit {limit:.0%}, {where} every gateway; check "
        f"the registry files or, if it is meant, add: --accept-shrink {error.token}"
    ) from error


def _registry(files: Mapping[str, bytes], main: str) -> tuple[Registry, float]:
    """The registry among the files of a configuration, and its `shrink_limit`."""
    yaml = {
        name: data
        for name, data in files.items()
        if name == main or (name.startswith(f"{WINDOWS_FOLDER}/") and name.endswith(".yaml"))
    }
    policy = Documents(main, yaml, files).policy()
    named = {name: files[name] for name in policy.registry.files}
    return parse_all(named, policy)[0], policy.registry.shrink_limit


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


def promote(store: Store, number: int, *, force: bool = False) -> None:
    """Gives a revision to the gateways of track stable. Raises RefusedError, and EtcdError."""
    if not number or store.signed(number) is None:
        what = number or "of the canaries"
        raise RefusedError(f"there is no revision {what}; publish one first")
    before = store.head("stable")[0]
    if number < before:
        remedy = f"to go back to {number}, run: enforcer rollback {number}"
        raise RefusedError(f"revision {number} is older than {before}, which all hold; {remedy}")
    roster = store.roster()
    reports = store.reports(roster)
    wrong = wrong_for(reports, number, "canary", late=True)
    wrong = wrong or silent_of(reports, roster, "canary")
    if wrong is not None and not force:
        raise RefusedError(f"{wrong}; mend it, or give it to all with --force")
    store.set_head("stable", number)


def promote_after(store: Store, number: int, seconds: float) -> None:
    """Looks at the canaries for so long, and gives the revision to all if none of them errs. Raises
    RefusedError, and EtcdError.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(2.0, left))
        wrong = wrong_for(store.reports(), number, "canary", late=False)
        if wrong is not None:
            raise RefusedError(f"not promoted: {wrong}")
    promote(store, number)


def wrong_for(
    reports: Mapping[str, Report | None], number: int, track: str, *, late: bool
) -> str | None:
    """What keeps a revision from being given to more gateways: one of the track that refuses it or
    is not well, or, where it is `late`, does not hold it. None: nothing, of those that report.
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
    return None


def silent_of(
    reports: Mapping[str, Report | None], roster: Mapping[str, str], track: str
) -> str | None:
    """A gateway of the track (`roster`: that of each) that does not report: it may have died of the
    very revision. None: there is none, and some report.
    """
    for name, its in sorted(roster.items()):
        if its == track and reports.get(name) is None:
            remedy = f"bring it back or, if it is gone for good, run: enforcer fleet forget {name}"
            return f"{name} is of track {track} and does not report; {remedy}"
    if not any(report is not None and report.track == track for report in reports.values()):
        return f"no gateway of track {track} reports"
    return None
