"""A report as lines of text, and the words that text and HTML share."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from enforcer.observe.page.markup import printable
from enforcer.observe.page.words import size
from enforcer.observe.report import Count, Incident, Report, Shown, Totals

# What each verdict means for people who never saw a firewall, in the order of the page.
VERDICTS = {
    "let_in": "let in",
    "held_back": "held back",
    "marked": "marked",
    "reserved": "given reserved capacity",
    "would_drop": "would have been held back",
}
MEASURES = {
    "guard": "new flows to the estate only from registered sources and lifelines",
    "mark": "registered traffic marked",
    "reserve": "a share of the link reserved for registered traffic",
}


def lines(report: Report, columns: int | None = None) -> list[str]:
    """For a terminal, a mail, or a printer. What is wider than `columns` is broken at words."""
    many = len(report.windows)
    head = [
        f"Report of gateway {report.gateway or '(unknown)'}",
        f"from {when(report.begins, UTC)} to {when(report.ends, UTC)}",
        "",
        f"{many:,} window{'' if many == 1 else 's'}" + (": " + in_all(report) if many else ""),
    ]
    return [
        *(part for line in head for part in _broken("", line, columns)),
        *(line for shown in report.windows for line in _window(shown, columns)),
        *(part for line in _incidents(report) for part in _broken("", line, columns)),
        *(part for line in _foot(report) for part in _broken("", line, columns)),
    ]


def _broken(name: str, text: str, columns: int | None) -> list[str]:
    """`name` and `text` in lines of at most `columns`; the second and later ones stand further in,
    below a name's text.
    """
    if columns is None or len(name + text) <= columns:
        return [(name + text).rstrip()]
    under = " " * (len(name) or len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(
        text, columns, initial_indent=name, subsequent_indent=under,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _window(s: Shown, columns: int | None) -> Iterator[str]:
    yield ""
    yield f"{s.window}" + (" (staged: counted, nothing held back)" if s.stage else "")
    rows = [
        ("reason", s.reason),
        ("reference", s.reference),
        ("declared by", s.declared_by),
        ("declared", span(s.starts_at, s.ends_at, s.zone)),
        ("in force", in_force(s)),
        ("measures", ", ".join(s.measures) + (f"; estate {s.estate}" if s.estate else "")),
        ("traffic", traffic(s)),
    ]
    for name, value in rows:
        for number, line in enumerate(printable(value).splitlines() or [""]):
            yield from _broken(f"  {name if number == 0 else '':<12}", line, columns)


def incident(i: Incident) -> tuple[str, str]:
    """What happened, and how often and when."""
    told = {
        "repaired": f"Another program's changes to our rules put right: {i.detail}",
        "stood_down": f"Windows stood down, because {i.detail} kept changing our rules",
        "refused": f"Refused: {i.detail}",
        "late": "The record could not be written for a while"
        + (f": {i.detail}" if i.detail else "; nothing of it is lost"),
    }
    often = "once" if i.times == 1 else f"{i.times:,} times"
    span = when(i.first_at, UTC)
    if i.last_at != i.first_at:
        span += f" to {when(i.last_at, UTC)}"
    return told[i.what], f"{often}, {span}"


def _incidents(report: Report) -> Iterator[str]:
    if report.incidents:
        yield from ("", "Repairs and refusals")
    for one in report.incidents:
        what, often = incident(one)
        yield f"  {printable(what)} ({often})"


def _foot(report: Report) -> list[str]:
    newest = [f"Newest record: {report.newest[0]:,}, {report.newest[1]}"] if report.newest else []
    return ["", report.chain, *newest]


def in_all(report: Report) -> str:
    """The sum over all windows, in one line."""
    told = counts_text(report.totals) or "no packet counted"
    return f"{told}{f'; of {report.unknown:,} the totals are unknown' if report.unknown else ''}"


def traffic(s: Shown) -> str:
    if s.totals is None:
        return "not known" if s.ended_at else "counted until it ends"
    told = counts_text(s.totals) or "no packet"
    if s.totals_at and s.ended_at and s.ended_at - s.totals_at > timedelta(minutes=1):
        told += f" (as last seen, {when(s.totals_at, s.zone)})"
    return told


def counts_text(totals: Totals) -> str:
    """`1,204 packets (1.2 MB) let in, 7 packets (700 B) held back`."""
    told = ((totals.get(verdict, Count()), word) for verdict, word in VERDICTS.items())
    return ", ".join(f"{count_text(count)} {word}" for count, word in told if count.packets)


def count_text(count: Count) -> str:
    noun = "packet" if count.packets == 1 else "packets"
    return f"{count.packets:,} {noun} ({size(count.bytes)})"


def in_force(s: Shown) -> str:
    if s.ended_at is None:
        return f"since {when(s.armed_at, s.zone)}; {s.how}"
    about = "" if s.exact else " at the latest"
    return f"{span(s.armed_at, s.ended_at, s.zone)}{about}; {s.how}"


def span(begins: datetime, ends: datetime, zone: tzinfo) -> str:
    """In the window's zone, then in UTC where that is another, and how long it is."""
    told = _span(begins, ends, zone)
    if begins.astimezone(zone).utcoffset() or ends.astimezone(zone).utcoffset():
        told += f" ({_span(begins, ends, UTC)})"
    return f"{told}, {lasted(ends - begins)}"


def _span(begins: datetime, ends: datetime, zone: tzinfo) -> str:
    first, last = begins.astimezone(zone), ends.astimezone(zone)
    day = "" if first.date() == last.date() else f"{last:%Y-%m-%d} "
    early = "" if first.utcoffset() == last.utcoffset() else _zone(first)
    return f"{first:%Y-%m-%d} {_clock(first)}{early} to {day}{_clock(last)}{_zone(last)}"


def when(instant: datetime, zone: tzinfo) -> str:
    """In the window's zone, and in UTC where that is another."""
    local, utc = instant.astimezone(zone), instant.astimezone(UTC)
    told = f"{local:%Y-%m-%d} {_clock(local)}{_zone(local)}"
    return told if not local.utcoffset() else f"{told} ({utc:%Y-%m-%d} {_clock(utc)}Z)"


def _clock(local: datetime) -> str:
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"


def _zone(local: datetime) -> str:
    return f" {local:%Z}" if local.utcoffset() else "Z"


def lasted(length: timedelta) -> str:
    """`12 h`, `1 h 30 min`, `45 s`."""
    seconds = max(0, int(length.total_seconds()))
    hours, minutes = divmod(seconds // 60, 60)
    if seconds < 60:
        return f"{seconds} s"
    parts = [f"{hours:,} h"] if hours else []
    return " ".join([*parts, f"{minutes} min"] if minutes else parts)
