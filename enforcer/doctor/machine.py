"""Judges the machine around the daemon: rights, clock, directories, service manager, zone database.

In: facts as they were read. Out: findings. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from enforcer.doctor.findings import Finding, fail, ok, warning

_NET_ADMIN, _SYS_ADMIN = 12, 21
_SCARCE_BYTES, _LOW_BYTES = 16 << 20, 256 << 20
_SCARCE_FILES = 100
# A country changes its clocks with some months of notice.
_OLD_ZONES_YEARS = 1


def judge_rights(effective: int) -> list[Finding]:
    """`effective`: the capabilities of this process as a bit mask (CapEff of /proc/self/status)."""
    if not effective >> _NET_ADMIN & 1:
        return [
            fail(
                "rights",
                "no CAP_NET_ADMIN: the kernel's rules can be neither read nor changed from here",
                "run it as root; in a container, give it CAP_NET_ADMIN",
            )
        ]
    if not effective >> _SYS_ADMIN & 1:
        return [
            warning(
                "rights",
                "CAP_NET_ADMIN, and no CAP_SYS_ADMIN: nothing can be tried in a namespace",
                "run it as root; the daemon itself needs CAP_NET_ADMIN alone",
            )
        ]
    return [ok("rights", "CAP_NET_ADMIN, and CAP_SYS_ADMIN to try things in a namespace")]


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """`asked`: whether the unit's daemon has somebody to ask (the socket of enforcer-clock); None
    where no systemd runs.
    """

    synchronised: bool
    asked: bool | None = None


def judge_clock(facts: ClockFacts, required: bool) -> list[Finding]:
    found = []
    if facts.synchronised:
        found.append(ok("clock", "synchronised"))
    elif required:
        found.append(
            fail(
                "clock",
                "nobody keeps it right: no window is armed",
                "install chrony or systemd-timesyncd, then: timedatectl",
            )
        )
    else:
        found.append(
            warning(
                "clock",
                "nobody keeps it right, and gateway.require_synchronised_clock is false: windows "
                "open and close by a clock that may be wrong",
                "install chrony or systemd-timesyncd, and require it",
            )
        )
    if required and facts.asked is False:
        found.append(
            fail(
                "clock",
                "enforcer-clock does not listen, so the daemon's unit cannot ask and arms nothing",
                "systemctl enable --now enforcer-clock.socket",
                "enforcer-clock",
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Folder:
    """`why_not`: `fact; remedy` when somebody else could change it. `owner`: its user's name."""

    path: str
    there: bool = True
    owner: str = "root"
    why_not: str | None = None
    free_bytes: int = 1 << 40
    free_files: int = 1 << 20


def judge_folder(check: str, folder: Folder, user: str | None) -> list[Finding]:
    """`user`: whom the daemon's unit runs as; None where no such user exists."""
    path = folder.path
    if not folder.there:
        if check == "run":
            return [ok(check, f"{path} is made when the daemon starts")]
        return [
            warning(
                check,
                f"{path} does not exist; the unit makes it, another way of starting does not",
                "systemd-tmpfiles --create, or start it with systemctl start enforcer",
            )
        ]
    found = []
    if folder.why_not is not None:
        fact, _, remedy = folder.why_not.partition("; ")
        found.append(fail(check, f"{path} {fact}", f"{remedy} {path}"))
    elif user is not None and folder.owner != user:
        found.append(
            fail(
                check,
                f"{path} belongs to {folder.owner}: the daemon, as {user}, cannot write there",
                f"chown -R {user}: {path}",
            )
        )
    if folder.free_files < _SCARCE_FILES:
        found.append(fail(check, f"{path}: no inodes are left there", "make room: df -i"))
    elif folder.free_bytes < _LOW_BYTES:
        room = f"{path}: {folder.free_bytes >> 20} MiB are left there"
        if folder.free_bytes < _SCARCE_BYTES:
            found.append(fail(check, f"{room}: the record will soon not be written", "make room"))
        else:
            found.append(warning(check, room, "make room; the record and last-good copies grow"))
    if found:
        return found
    free = "" if check == "run" else f", {folder.free_bytes / (1 << 30):,.1f} GiB free"
    return [ok(check, f"{path} belongs to {folder.owner}{free}")]


@dataclass(frozen=True, slots=True)
class File:
    """A file or folder that the daemon uses. `needs` and `can`: of `r`, `w` and `x`, what its user
    has to and what its user may do with it.
    """

    path: str
    owner: str
    needs: str
    can: str


_DOING = {"r": "read it", "w": "write it", "x": "look into it"}


def judge_files(check: str, files: Sequence[File], user: str | None) -> list[Finding]:
    """Files that the daemon's user lacks: root's commands, or an editor, made them. Of files in its
    own directory it has to be the owner; others have to be readable by its group.
    """
    found = []
    for file in files:
        rights = set(file.needs) - set(file.can)
        lacks = [doing for right, doing in _DOING.items() if right in rights]
        if user is None or not lacks:
            continue
        fact = f"{file.path} belongs to {file.owner}: the daemon, as {user}, cannot "
        if check == "state":
            remedy = f"chown {user}: {file.path}; chmod 640 {file.path}"
        else:
            remedy = f"chgrp {user} {file.path}; chmod g+{file.needs} {file.path}"
        found.append(fail(check, fact + " or ".join(lacks), remedy))
    return found


@dataclass(frozen=True, slots=True)
class Daemons:
    """`version`: what the daemon that answers is; None when none does. `problem` and `remedy`: why
    not, where one may be there. `processes`: ids of daemons in this network namespace. `foreign`:
    why the table of our name is not ours.
    """

    version: str | None = None
    problem: str | None = None
    remedy: str = ""
    processes: tuple[int, ...] = ()
    foreign: str | None = None


def judge_daemons(daemons: Daemons, version: str) -> list[Finding]:
    found = []
    if daemons.foreign is not None:
        found.append(
            fail(
                "daemon",
                f"a table inet enforcer of somebody else's is in the kernel: {daemons.foreign}",
                "have its owner use another name, or: nft delete table inet enforcer",
            )
        )
    if len(daemons.processes) > 1:
        listed = ", ".join(map(str, daemons.processes))
        found.append(
            fail(
                "daemon",
                f"{len(daemons.processes)} daemons run in this network namespace (processes "
                f"{listed}) and undo what the other does",
                "stop all but one",
            )
        )
    if daemons.problem is not None:
        found.append(warning("daemon", daemons.problem, daemons.remedy))
    elif daemons.version is None:
        found.append(ok("daemon", "none runs"))
    elif daemons.version != version:
        found.append(
            warning(
                "daemon",
                f"the one that runs is {daemons.version}, installed is {version}",
                "systemctl restart enforcer: it adopts what is armed",
            )
        )
    else:
        found.append(ok("daemon", f"{version} runs"))
    return found


Unit = Mapping[str, str]


def judge_units(units: Mapping[str, Unit] | None) -> list[Finding]:
    """`units`: name → properties as `systemctl show` tells them; None where no systemd runs."""
    if units is None:
        fact = "no systemd runs here: nothing starts the daemon at boot, or again after a crash"
        return [warning("unit", fact, "have your own service manager do it: enforcer run")]
    return [_judge_unit(name, unit) for name, unit in units.items()]


def _judge_unit(name: str, unit: Unit) -> Finding:
    if unit.get("LoadState") != "loaded":
        return fail(
            "unit",
            f"not installed (systemd says: {unit.get('LoadState') or 'nothing'})",
            "install the Debian package, or copy systemd/ as the README says",
            name,
        )
    if unit.get("NeedDaemonReload") == "yes":
        return warning(
            "unit", "its file is newer than what systemd knows", "systemctl daemon-reload", name
        )
    state, boot = unit.get("ActiveState", ""), unit.get("UnitFileState", "")
    if boot not in ("enabled", "static", "enabled-runtime"):
        fact = f"{boot or 'not enabled'}: not started at boot"
        return warning("unit", fact, f"systemctl enable {name}", name)
    if state == "failed":
        return fail("unit", "failed", f"journalctl -u {name}", name)
    return ok("unit", f"{boot}, {state}", name)


def judge_zones(database: str | None, year: int) -> Finding:
    """`database`: a version like 2026a; the windows' zones are read from there."""
    remedy = "apt-get install tzdata, and keep it up to date"
    if database is None:
        return warning("tzdata", "the zone database does not tell its version", remedy)
    digits = database[:4]
    if digits.isdecimal() and int(digits) < year - _OLD_ZONES_YEARS:
        fact = f"{database}: clock changes decreed since then are not known"
        return warning("tzdata", fact, remedy)
    return ok("tzdata", database)


def judge_registered(rows: int, prefixes: int) -> Finding:
    """`rows`: registrations in the files; `prefixes`: those that are valid today."""
    if not prefixes:
        return fail(
            "registry",
            f"none of {rows:,} registrations is valid today: guard would hold back everybody",
            "look at valid_from and valid_until",
        )
    return ok("registry", f"{prefixes:,} prefixes are valid today, of {rows:,} registrations")


def sorted_as_read(findings: Sequence[Finding]) -> list[Finding]:
    """What fails first, then warnings; each in the order in which it was looked at."""
    return sorted(findings, key=lambda f: ("fail", "warning", "ok").index(f.level))
