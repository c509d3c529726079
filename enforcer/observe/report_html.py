"""A report as one HTML file for the public: no script, nothing loaded, to be read on a phone, on
paper, by a screen reader. Every text of the operator is escaped here, in `_text` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from html import escape

from enforcer.observe.page.markup import printable
from enforcer.observe.page.words import size
from enforcer.observe.report import Count, Report, Shown
from enforcer.observe.report_style import STYLE
from enforcer.observe.report_text import (
    MEASURES,
    count_text,
    in_force,
    incident,
    lasted,
    span,
    traffic,
    when,
)

# Bars are drawn in these units; the page stretches them to its width.
_WIDE = 1000
# A window of a minute in a report of a month would be no pixel.
_LEAST = 4
_MOST_TICKS = 5


def page(report: Report) -> str:
    """The whole file."""
    title = f"Windows of gateway {report.gateway or '(unknown)'}"
    period = f"{_day(report.begins)} to {_day(report.ends)}, times in UTC unless said otherwise"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="soft">{period}</p>',
        _tiles(report),
        *_charts(report),
        "<h2>Each window</h2>",
        *(_card(shown) for shown in report.windows),
        "" if report.windows else "<p>No window was on in this period.</p>",
        _incidents(report),
        _record(report),
    ]
    if not report.chain_ok:
        broken = f'<p class="alarm"><b>Not proven.</b> {_text(report.chain)}</p>'
        parts.insert(0, broken)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return escape(printable(text)).replace("\n", "<br>")


def _day(instant: datetime) -> str:
    utc = instant.astimezone(UTC)
    return f"{utc:%Y-%m-%d}" if utc.time() == datetime.min.time() else f"{utc:%Y-%m-%d %H:%M}"


# --- what stands first ------------------------------------------------------------------------


def _tiles(report: Report) -> str:
    on = sum((_inside(report, s) for s in report.windows), timedelta())
    totals = report.totals
    tiles = [
        (f"{len(report.windows):,}", "window" if len(report.windows) == 1 else "windows"),
        (lasted(on), "in force, taken together"),
    ]
    if any("guard" in s.measures for s in report.windows):
        tiles += [_tile(totals["let_in"], "let in"), _tile(totals["held_back"], "held back")]
    if totals["marked"].packets:
        tiles.append(_tile(totals["marked"], "marked"))
    if totals["reserved"].packets:
        tiles.append(_tile(totals["reserved"], "given reserved capacity"))
    if report.unknown:
        tiles.append((f"{report.unknown:,}", "without totals on record"))
    return '<ul class="tiles">' + "".join(
        f"<li><b>{_text(number)}</b>{_text(name)}</li>" for number, name in tiles
    ) + "</ul>"  # fmt: skip


def _inside(report: Report, s: Shown) -> timedelta:
    """For how long of the period it was in force."""
    ended_at = min(s.ended_at or report.made_at, report.ends)
    return max(ended_at - max(s.armed_at, report.begins), timedelta())


def _tile(count: Count, name: str) -> tuple[str, str]:
    return f"{count.packets:,}", f"packets {name} ({size(count.bytes)})"


# --- charts -----------------------------------------------------------------------------------


def _charts(report: Report) -> list[str]:
    if not report.windows:
        return []
    return [_timeline(report), _split(report.windows)]


def _timeline(report: Report) -> str:
    begins, ends = report.begins, report.ends
    length = (ends - begins) / timedelta(seconds=1)

    def at(instant: datetime) -> float:
        where = (instant - begins) / timedelta(seconds=1) / length * _WIDE
        return min(max(where, 0.0), _WIDE)

    rows = [
        _row(
            s.window,
            f"{when(s.armed_at, UTC)}, {lasted((s.ended_at or report.made_at) - s.armed_at)}",
            f"{s.window}: in force {in_force(s)}",
            _bar("planned", at(s.starts_at), at(s.ends_at))
            + _bar("on", at(s.armed_at), at(s.ended_at or report.made_at)),
        )
        for s in report.windows
    ]
    ticks = "".join(f"<span>{tick}</span>" for tick in _ticks(begins, ends))
    key = _key((("on", "in force"), ("planned", "declared, and not in force")))
    return (
        f"<h2>When</h2><figure>{key}{''.join(rows)}"
        f'<div class="axis" aria-hidden="true">{ticks}</div></figure>'
    )


def _ticks(begins: datetime, ends: datetime) -> list[str]:
    step = (ends - begins) / (_MOST_TICKS - 1)
    instants = [(begins + step * n).astimezone(UTC) for n in range(_MOST_TICKS)]
    short = ends - begins <= timedelta(days=2)
    return [f"{i.day} {i:%b} {i:%H:%M}" if short else f"{i.day} {i:%b}" for i in instants]


def _split(windows: Iterable[Shown]) -> str:
    """Of the packets that asked to come in, how many were let in: only guard decides that."""
    rows = []
    for s in windows:
        if s.totals is None or "guard" not in s.measures:
            continue
        let_in = s.totals["let_in"]
        held = s.totals["would_drop"] if s.stage else s.totals["held_back"]
        every = let_in.packets + held.packets
        if not every:
            continue
        share = let_in.packets / every
        word = "would have been held back" if s.stage else "held back"
        told = f"{share:.1%} let in, {1 - share:.1%} {word}"
        label = f"{s.window}: {count_text(let_in)} let in, {count_text(held)} {word}"
        rows.append(_row(s.window, told, label, _parts(let_in.packets, held.packets)))
    if not rows:
        return ""
    key = _key((("let-in", "let in"), ("held-back", "held back")))
    return (
        "<h2>At the guarded servers</h2>"
        '<p class="soft">By packets that guard asked about: those to these servers that begin '
        "something new. TCP connections that were up stayed up, and nothing else was asked about."
        f"</p><figure>{key}{''.join(rows)}</figure>"
    )


def _parts(let_in: int, held: int) -> str:
    """Two parts of a whole. However few one is of the other, it is seen that there were any."""
    edge = _WIDE * let_in / (let_in + held)
    if not held or not let_in:
        return _bar("let-in" if let_in else "held-back", 0, _WIDE)
    edge = min(max(edge, 2 * _LEAST), _WIDE - 2 * _LEAST)
    return _bar("let-in", 0, edge - 1) + _bar("held-back", edge + 1, _WIDE)


def _row(name: str, told: str, label: str, bars: str) -> str:
    return (
        f'<div class="row"><div class="name"><span>{_text(name)}</span><span>{_text(told)}</span>'
        f'</div><svg viewBox="0 0 {_WIDE} 20" preserveAspectRatio="none" role="img" '
        f'aria-label="{_text(label)}"><rect class="ground" width="{_WIDE}" height="20"/>'
        f"{bars}</svg></div>"
    )


def _bar(kind: str, begins: float, ends: float) -> str:
    wide = max(ends - begins, _LEAST)
    x = min(begins, _WIDE - wide)
    return f'<rect class="{kind}" x="{x:.1f}" width="{wide:.1f}" height="20"/>'


def _key(entries: Iterable[tuple[str, str]]) -> str:
    return '<ul class="key">' + "".join(
        f'<li><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="{kind}" width="10" '
        f'height="10" rx="2"/></svg>{_text(name)}</li>'
        for kind, name in entries
    ) + "</ul>"  # fmt: skip


# --- each window ------------------------------------------------------------------------------


def _card(s: Shown) -> str:
    measures = [f"{m}: {MEASURES.get(m, m)}" for m in s.measures]
    rows = [
        ("Reason", s.reason),
        ("Reference", s.reference),
        ("Declared by", s.declared_by),
        ("Declared for", span(s.starts_at, s.ends_at, s.zone)),
        ("In force", in_force(s)),
        ("Measures", "\n".join(measures)),
        ("Estate", s.estate),
        ("Traffic", traffic(s)),
    ]
    staged = '<p class="soft">Staged: it counted, and held back nothing.</p>' if s.stage else ""
    return (
        f'<section class="card"><h3>{_text(s.window)}</h3>{staged}<dl>'
        + "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in rows if value)
        + "</dl></section>"
    )


def _incidents(report: Report) -> str:
    told = (incident(one) for one in report.incidents)
    rows = "".join(
        f'<li>{_text(what)}<span class="soft">{_text(often)}</span></li>' for what, often in told
    )
    none = '<p class="soft">Nothing was repaired, and nothing refused.</p>'
    told_all = f'<ul class="besides">{rows}</ul>' if rows else none
    return f"<h2>Repairs and refusals</h2>{told_all}"


def _record(report: Report) -> str:
    state = "good" if report.chain_ok else "bad"
    newest = ""
    if report.newest is not None:
        seq, digest = report.newest
        newest = f'<p class="soft">Newest record: {seq:,}, <code>{_text(digest)}</code></p>'
    return (
        f'<h2>The record behind this page</h2><p class="{state}">{_text(report.chain)}</p>{newest}'
        f'<p class="soft">Made at {when(report.made_at, UTC)} by enforcer from the audit log of '
        "the gateway. It holds no address of a subscriber and no name of a registrant; all times "
        "and totals are the gateway's own.</p>"
    )
