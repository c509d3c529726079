"""Windows of every form, and an oracle for wall clocks that knows nothing of folds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from enforcer.policy.model import Mark, TimeForm, Window
from enforcer.schedule.spans import END, FIRST, Span, Told, Unclear, spans

# Half hours, quarter hours, rules that changed, clocks set at midnight, half an hour of summer
# time, a day that never was, summer time that pauses for Ramadan.
ZONES = (
    "Europe/Berlin",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Asia/Beirut",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Caracas",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "UTC",
)

QUARTER = timedelta(minutes=15)


def wall(*fields: int) -> datetime:
    return datetime(*fields)  # type: ignore[arg-type]  # noqa: DTZ001


def utc(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=UTC)  # type: ignore[arg-type,misc]


def window(form: TimeForm, zone: tzinfo = UTC) -> Window:
    return Window("w", "r", "d", "n", form, zone, str(zone), mark=Mark(1))


def shown_at(moment: datetime, zone: tzinfo) -> list[datetime]:
    """Every instant at which clocks of `zone` show `moment`, found by asking them: each quarter of
    an hour within 15 h, since no offset in the years of policy is finer.
    """
    around = moment.replace(tzinfo=UTC)
    asked = (around + n * QUARTER for n in range(-60, 61))
    return [t for t in asked if t.astimezone(zone).replace(tzinfo=None) == moment]


def told(
    form: TimeForm,
    zone: tzinfo,
    after: datetime = FIRST,
    before: datetime = END,
) -> list[Told]:
    return list(spans(window(form, zone), after, before))


def instants(form: TimeForm, zone: tzinfo = UTC) -> list[tuple[datetime, datetime]]:
    """Spans as pairs; a window with an unclear time has none of it here."""
    found = told(form, zone)
    assert not [entry for entry in found if isinstance(entry, Unclear)]
    return [(s.starts_at, s.ends_at) for s in found if isinstance(s, Span)]
