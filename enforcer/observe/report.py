"""The public's view of a period, out of the record: which windows were on, why, and what they did.

Records come in, with what `audit verify` says of them; a `Report` goes out, which `report_text` and
`report_html` show. It tells the operator's own names only: no address, no registrant, and of the
operator's people only whom the declaration names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from enforcer.observe.audit_chain import Record
from enforcer.observe.audit_verify import Verified
from enforcer.observe.audit_windows import instant
from enforcer.observe.views import utc_text
from enforcer.ruleset.measures import VERDICTS

# Why a window ended, for the public.
WHY = {
    "end": "ended as declared",
    "closed": "closed early",
    "disarmed": "closed early",
    "lapsed": "ended because nobody confirmed it",
    "withdrawn": "ended because its declaration was withdrawn or moved",
    "lease": "ended by the kernel because the daemon was gone",
    "promise": "ended because it would have broken a promise",
    "stopped": "ended because the daemon was stopped",
    "stood_down": "ended because another program interfered",
}
# What was refused, for the public.
REFUSED = {
    "configuration": "a configuration with mistakes",
    "registry": "a registry with mistakes",
    "shrink": "a registry that would have lost too many registrations",
    "request": "a request of an operator",
    "promise": "rules that would have broken a promise",
}
OPEN, UNTOLD = "still on", "its end is not on the record"
# Closed while no daemon ran: the kernel goes on until the end or the lease.
LINGERS = "closed early, but the kernel may still arm it"


@dataclass(frozen=True, slots=True)
class Count:
    packets: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.packets + other.packets, self.bytes + other.bytes)


Totals = Mapping[str, Count]


@dataclass(frozen=True, slots=True)
class Shown:
    """One opening of a window. `ended_at` is None while it is on; `exact` is False when the record
    knows the end only at the latest. `totals` by verdict; None when nothing is known of them, and
    as of `totals_at`.
    """

    window: str
    reason: str
    reference: str
    declared_by: str
    measures: tuple[str, ...]
    estate: str
    stage: bool
    zone: tzinfo
    starts_at: datetime
    ends_at: datetime
    armed_at: datetime
    ended_at: datetime | None
    exact: bool
    how: str
    totals: Totals | None
    totals_at: datetime | None


@dataclass(frozen=True, slots=True)
class Incident:
    """What happened beside the windows, as often as it did: `what` is `repaired`, `stood_down`,
    `refused` or `late`, `detail` says of which kind.
    """

    what: str
    detail: str
    times: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """`chain` is what became of verifying the record, in one sentence. `incidents` of the period,
    in order of their first.
    """

    gateway: str
    begins: datetime
    ends: datetime
    made_at: datetime
    windows: tuple[Shown, ...]
    chain_ok: bool
    chain: str
    records: int
    newest: tuple[int, str] | None
    incidents: tuple[Incident, ...] = ()

    @property
    def totals(self) -> Totals:
        """Of all windows whose totals are known, by verdict."""
        return _added(shown.totals for shown in self.windows if shown.totals is not None)

    @property
    def unknown(self) -> int:
        """Windows that ended and whose totals nobody knows."""
        return sum(s.totals is None and s.ended_at is not None for s in self.windows)


@dataclass(slots=True)
class _Opening:
    """`disarmed_at`, `closed_at`: what people decided before its end is on the record, if it is."""

    opened: Mapping[str, Any]
    ended: Mapping[str, Any] = field(default_factory=dict)
    disarmed_at: datetime | None = None
    closed_at: datetime | None = None


def build(
    records: Iterable[Record],
    verified: Verified,
    begins: datetime,
    ends: datetime,
    now: datetime,
) -> Report:
    """What was on in `begins` <= t < `ends`, in order of arming."""
    gateway, openings = "", dict[tuple[str, str], _Opening]()
    incidents: dict[tuple[str, str], Incident] = {}
    for record in records:
        if begins <= record.at < ends:
            _happened(record, incidents)
        gateway = record.text("gateway") or gateway
        key = record.text("window"), record.text("armed_at")
        if record.what in ("armed", "changed"):
            openings.setdefault(key, _Opening({})).opened = record.values
        elif record.what == "ended":
            openings[key] = _Opening(record.values, record.values)
        elif record.what in ("closed", "disarmed"):
            _decided(record, openings.values())
    shown = sorted(_shown(openings.values(), now), key=lambda s: (s.armed_at, s.window))
    inside = (s for s in shown if s.armed_at < ends and (s.ended_at or now) > begins)
    newest = verified.newest
    return Report(
        gateway,
        begins,
        ends,
        now,
        tuple(inside),
        verified.ok,
        _chain(verified),
        verified.records,
        (newest.seq, newest.digest) if newest else None,
        tuple(sorted(incidents.values(), key=lambda i: (i.first_at, i.what, i.detail))),
    )


def _decided(record: Record, openings: Iterable[_Opening]) -> None:
    """Without a daemon nobody else tells that a window ended. `disarm` ends all that is on, and of
    no window in particular every one; `close` may be about an occurrence that is ahead.
    """
    window, starts_at = record.text("window"), instant(record.values, "starts_at")
    for opening in openings:
        if opening.ended or window not in ("", _text(opening.opened, "window")):
            continue
        if record.what == "disarmed":
            opening.disarmed_at = opening.disarmed_at or record.at
        elif window and starts_at in (None, instant(opening.opened, "starts_at")):
            opening.closed_at = opening.closed_at or record.at


def _happened(record: Record, known: dict[tuple[str, str], Incident]) -> None:
    """Counts a record that tells of an incident; of a program its name, not its process."""
    values = record.values
    match record.what:
        case "repaired":
            detail = _text(values, "kinds").replace(",", ", ")
        case "stood_down":
            detail = _text(values, "by").partition(" (")[0]
        case "refused":
            kind = _text(values, "kind")
            detail = REFUSED.get(kind, kind)
        case "late":
            lost = values.get("lost")
            detail = f"since {_text(values, 'since')}, {lost} records lost" if lost else ""
        case _:
            return
    told = values.get("times")
    times = told if type(told) is int and told > 0 else 1
    key = record.what, detail
    before = known.get(key, Incident(*key, 0, record.at, record.at))
    first_at, last_at = min(before.first_at, record.at), max(before.last_at, record.at)
    known[key] = Incident(*key, before.times + times, first_at, last_at)


def _shown(openings: Iterable[_Opening], now: datetime) -> Iterator[Shown]:
    for opening in openings:
        v, ended = opening.opened, opening.ended
        starts_at, ends_at = instant(v, "starts_at"), instant(v, "ends_at")
        armed_at, ended_at = instant(v, "armed_at"), instant(ended, "ended_at")
        if starts_at is None or ends_at is None or armed_at is None:
            continue
        how = WHY.get(str(ended.get("why")), "ended") if ended else OPEN
        if not ended:
            ended_at, how = _end_untold(opening, ends_at, now)
        measures = v.get("measures")
        yield Shown(
            window=_text(v, "window"),
            reason=_text(v, "reason"),
            reference=_text(v, "reference"),
            declared_by=_text(v, "declared_by"),
            measures=tuple(map(str, measures)) if isinstance(measures, list) else (),
            estate=_text(v, "estate"),
            stage=bool(v.get("stage")),
            zone=_zone(_text(v, "timezone")),
            starts_at=starts_at,
            ends_at=ends_at,
            armed_at=armed_at,
            ended_at=ended_at,
            exact=bool(ended.get("seen")),
            how=how,
            totals=_totals(ended.get("totals")),
            totals_at=instant(ended, "totals_at"),
        )


def _end_untold(opening: _Opening, ends_at: datetime, now: datetime) -> tuple[datetime | None, str]:
    """When, at the latest, a window ended whose end is not on the record, and how."""
    if opening.disarmed_at is not None and opening.disarmed_at < ends_at:
        return opening.disarmed_at, WHY["disarmed"]
    if opening.closed_at is not None:
        return (ends_at, WHY["closed"]) if ends_at <= now else (None, LINGERS)
    return (ends_at, UNTOLD) if ends_at <= now else (None, OPEN)


def _totals(rows: Any) -> Totals | None:
    if not isinstance(rows, list):
        return None
    return _added(_row(row) for row in rows if isinstance(row, dict))


def _row(row: Mapping[str, Any]) -> Totals:
    packets, octets = row.get("packets"), row.get("bytes")
    if not isinstance(packets, int) or not isinstance(octets, int):
        return {}
    return {str(row.get("verdict")): Count(packets, octets)}


def _added(many: Iterable[Totals]) -> Totals:
    sums: dict[str, Count] = {verdict: Count() for verdict in VERDICTS}
    for totals in many:
        for verdict, count in totals.items():
            if verdict in sums:
                sums[verdict] += count
    return sums


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        found = _offset(name)
        return found if found is not None else UTC


def _offset(name: str) -> tzinfo | None:
    """A zone that is named by its offset, like `+05:00`."""
    try:
        return datetime.fromisoformat(f"2000-01-01T00:00:00{name}").tzinfo
    except ValueError:
        return None


def _chain(verified: Verified) -> str:
    broken = verified.broken
    if broken is not None:
        return (
            f"The record is broken at record {broken.seq} ({broken.file}, line {broken.line}): "
            f"expected {broken.expected}; found {broken.found}. What follows it is not proven."
        )
    if verified.newest is None:
        return "There is no record yet."
    if verified.records == 1:
        return "The record is whole: it is one record, the first."
    return f"The record is whole: each of its {verified.records:,} records names the one before."


def view(report: Report) -> dict[str, Any]:
    """The report for programs, with stable keys; instants are UTC."""
    return {
        "gateway": report.gateway,
        "from": utc_text(report.begins),
        "to": utc_text(report.ends),
        "made_at": utc_text(report.made_at),
        "windows": [_window(shown) for shown in report.windows],
        "totals": _counts(report.totals),
        "totals_unknown": report.unknown,
        "incidents": [
            {
                "what": i.what,
                "detail": i.detail,
                "times": i.times,
                "first_at": utc_text(i.first_at),
                "last_at": utc_text(i.last_at),
            }
            for i in report.incidents
        ],
        "audit": {
            "ok": report.chain_ok,
            "state": report.chain,
            "records": report.records,
            "newest": report.newest and {"seq": report.newest[0], "digest": report.newest[1]},
        },
    }


def _window(s: Shown) -> dict[str, Any]:
    return {
        "id": s.window,
        "reason": s.reason,
        "reference": s.reference,
        "declared_by": s.declared_by,
        "measures": list(s.measures),
        "estate": s.estate or None,
        "stage": s.stage,
        "starts_at": utc_text(s.starts_at),
        "ends_at": utc_text(s.ends_at),
        "armed_at": utc_text(s.armed_at),
        "ended_at": utc_text(s.ended_at) if s.ended_at else None,
        "ended_exactly": s.exact,
        "how": s.how,
        "totals": _counts(s.totals) if s.totals is not None else None,
        "totals_at": utc_text(s.totals_at) if s.totals_at else None,
    }


def _counts(totals: Totals) -> dict[str, dict[str, int]]:
    return {v: {"packets": c.packets, "bytes": c.bytes} for v, c in totals.items()}
