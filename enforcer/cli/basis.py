"""By what `explain` and `windows` tell: by what is in force, wherever that can be had.

In: the files, read or refused; and what the daemon says that it has loaded, or without one what the
kernel arms. Where the files are not what is in force, the daemon's copy of that is read (the last
good configuration, by root alone), and counts only when its digests are those that the daemon
names. Where even that is out of reach the files have to do, and it is said that they are not in
force. Nothing is asked of the daemon but its status, and nothing is changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enforcer.cli.arming import Asked, asked
from enforcer.cli.main import EXIT_CONFIG, failed
from enforcer.cli.waiting import Waiting
from enforcer.errors import PolicyError

if TYPE_CHECKING:
    import argparse

    from enforcer.policy.model import Policy
    from enforcer.policy.registry import Registry
    from enforcer.schedule.orders import Orders

LOOK = "what is in force is told by `enforcer status` and the status page"
_FILES = "by the files as they are: --files"


@dataclass(frozen=True, slots=True)
class Read:
    """A configuration. `registry` is None where it was not looked at."""

    policy: Policy
    registry: Registry | None = None

    def differs(self, policy: object, registry: object) -> str:
        """What is not of these digests, in words; empty when all of it is."""
        differing = ["policy"] if self.policy.digest != policy else []
        if self.registry is not None and self.registry.digest != registry:
            differing.append("registrations")
        return " and ".join(differing)


@dataclass(frozen=True, slots=True)
class Basis:
    """`ahead` tells of instants to come, and `now` of this one. `in_force`: whether `now` is what
    is in force; None where nobody can tell, or nobody was asked. `remark`: what people must know
    of that, as `fact; remedy`. `mistake`: what is wrong with the files, where they were not needed.
    `stale`: the files are not in force, and what is cannot be had here.
    """

    ahead: Read
    now: Read
    in_force: bool | None
    asked: Asked
    remark: str | None = None
    mistake: PolicyError | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class _Files:
    read: Read | None
    mistake: PolicyError | None
    config: Path
    now: datetime
    orders: Orders
    registrations: bool

    def unlike(self, policy: object, registry: object) -> str:
        """Why what has these digests is not what is in the files; empty when it is."""
        if self.read is None:
            return "the files are refused"
        differing = self.read.differs(policy, registry)
        return differing and f"the files differ from what is in force ({differing})"

    def needed(self) -> Read:
        """Raises PolicyError: nothing else can take their place."""
        if self.read is None:
            assert self.mistake is not None
            raise self.mistake
        return self.read


def add_files_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--files",
        action="store_true",
        help="tell by the files as they are, loaded or not (default: by what is in force)",
    )


def broken(args: argparse.Namespace, error: PolicyError) -> int:
    """Says what is wrong with files that are needed, and how to see all the same what is on."""
    return failed(args, f"{error}\n{LOOK}", EXIT_CONFIG)


def basis(
    config: Path,
    load: Callable[[], Read],
    now: datetime,
    orders: Orders,
    *,
    files: bool,
    registrations: bool,
) -> Basis:
    """`load` reads the files at `config` as of `now`, with their `registrations` or without. With
    `files` they alone count. Raises PolicyError when they are needed and refused.
    """
    read, mistake = None, None
    try:
        with Waiting("reading the configuration"):
            read = load()
    except PolicyError as error:
        mistake = error
    found, who = _Files(read, mistake, config, now, orders, registrations), asked()
    if files:
        return Basis(found.needed(), found.needed(), None, who)
    if who.status is None:
        return _without_daemon(found, who)
    return _with_daemon(found, who, who.status)


def _with_daemon(files: _Files, who: Asked, status: Mapping[str, Any]) -> Basis:
    told = status.get("config")
    told = told if isinstance(told, dict) else {}
    digests = told.get("policy"), told.get("registry")
    if not all(isinstance(text, str) for text in digests):
        read = files.needed()
        fact = "the daemon does not say what it has loaded; these are the files"
        return Basis(read, read, None, who, fact)
    fact = files.unlike(*digests)
    if not fact:
        return Basis(files.needed(), files.needed(), True, who)
    if told.get("ok") is False:
        fact += ", and the last reload was refused"
    kept, of, why = _kept(files)
    if kept is not None and not kept.differs(*digests):
        if not _same(of, files.config):
            read = files.needed()
            fact = f"these files are not in force: the daemon reads {of}"
            return Basis(read, read, False, who, f"{fact}; ask without --config, or with that")
        remedy = "mend them: enforcer check" if files.read is None else _FILES
        return Basis(
            kept, kept, True, who, f"{fact}; this is what is in force; {remedy}", files.mistake
        )
    read = files.needed()
    why = why or "the copy in the state directory is another"
    fact += f", and this is told by the files: what is in force cannot be read here ({why})"
    return Basis(read, read, False, who, f"{fact}; {LOOK}", stale=True)


def _without_daemon(files: _Files, who: Asked) -> Basis:
    """The kernel goes on with what the last daemon gave it; one that starts takes the files."""
    held = who.held
    if held.ours and held.armed:
        kept, of, _ = _kept(files)
        if kept is not None and _same(of, files.config):
            registry = kept.registry.digest if kept.registry else None
            fact = files.unlike(kept.policy.digest, registry)
            if not fact:
                return Basis(files.needed(), files.needed(), True, who)
            told = f"no daemon answers; {fact}; what is armed is told as the last daemon kept it"
            ahead = files.read or kept
            return Basis(ahead, kept, True, who, told, files.mistake)
    read = files.needed()
    if who.none_runs or held.state is not None:
        return Basis(read, read, None, who)
    fact = f"whether the files are what is in force is not known ({who.reason})"
    return Basis(read, read, None, who, f"{fact}; {LOOK}")


def _kept(files: _Files) -> tuple[Read | None, str, str]:
    """The last good configuration and the path that it was of; or why it cannot be had."""
    from enforcer.cli.places import state_dir
    from enforcer.sources.lastgood import FILE, SpoiltError, read_last_good

    path = state_dir() / FILE
    try:
        found = read_last_good(state_dir())
        if found is None:
            return None, "", f"{path}: it is not there"
        policy = found.documents.policy(files.now, files.orders)
        return Read(policy, found.registry if files.registrations else None), found.config, ""
    except OSError as error:
        why = error.strerror or str(error)
    except SpoiltError as error:
        why = str(error)
    except PolicyError as error:
        why = error.problems[0].for_all
    return None, "", f"{path}: {why}"


def _same(told: str, config: Path) -> bool:
    return os.path.realpath(told) == os.path.realpath(config)
