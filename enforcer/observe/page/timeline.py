"""Windows as a chart: rows of occurrences → SVG, and the same as a table for whoever sees no chart.

Positions are parts of the width, sizes of text are not: the chart is as readable on a phone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from enforcer.observe.page.look import AHEAD, PAST, Look, Row
from enforcer.observe.page.markup import Html, el, join
from enforcer.observe.page.words import both, counted, length
from enforcer.observe.snapshot import Shown
from enforcer.schedule.agenda import Entry

STATES: dict[Shown, str] = {
    "armed": "armed now",
    "due": "due, not armed",
    "next": "ahead",
    "provisional": "waits to be confirmed",
    "closed": "closed by hand",
    "past": "over",
}
# Occurrences nearer to each other than this are drawn as one: a row has at most so many bars.
_SLOTS = 240
_ROW_PX, _BAR_PX, _TOP_PX = 38, 12, 22
_NAME_LETTERS = 34
MOST_LISTED = 40


def timeline(look: Look) -> Html:
    """The section of the page."""
    if not look.rows:
        text = "No window was on in the past 7 days, and none is ahead in the next 30."
        return el("p", text, class_="soft")
    many = f"{counted(look.more, 'more window')}: " if look.more else ""
    more = el("p", many, el("code", "enforcer windows --days 30"), class_="soft")
    return join(_key(look), _chart(look), more if look.more else "", _table(look))


def _key(look: Look) -> Html:
    there = {look.state(e) for row in look.rows for e in row.entries}
    return el("ul", *(
        el("li", el("svg", el("rect", class_=f"b {state}", width=20, height=10, rx=2),
                    aria_hidden="true"), word)
        for state, word in STATES.items() if state in there
    ), class_="key")  # fmt: skip


# --- the chart --------------------------------------------------------------------------------


def _at(instant: datetime, now: datetime) -> float:
    """Where on the width, in percent."""
    part = (instant - now + PAST) / (PAST + AHEAD) * 100
    return min(max(part, 0.0), 100.0)


def _chart(look: Look) -> Html:
    now, high = look.now, _TOP_PX + len(look.rows) * _ROW_PX
    here = f"{_at(now, now):.2f}%"
    parts = [
        el("rect", class_="gone", width=here, height=high),
        *_weeks(now, high),
        el("line", class_="now", x1=here, x2=here, y1=16, y2=high),
        *(_row(row, look, _TOP_PX + n * _ROW_PX) for n, row in enumerate(look.rows)),
        el("text", "now", class_="today", x=here, y=12, text_anchor="middle"),
    ]
    return el("svg", *parts, class_="chart", role="img", height=high, aria_label=_told(look))


def _weeks(now: datetime, high: int) -> Iterator[Html]:
    """A line at each Monday, midnight UTC."""
    first = (now - PAST).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = first + timedelta(days=7 - first.weekday())
    here = _at(now, now)
    while monday < now + AHEAD:
        x = _at(monday, now)
        yield el("line", class_="week", x1=f"{x:.2f}%", x2=f"{x:.2f}%", y1=16, y2=high)
        # Not where it would run into the word `now`, or out of the picture.
        if abs(x - here) > 9 and 4 < x < 95:
            yield el("text", f"{monday.day} {monday:%b}", x=f"{x:.2f}%", y=12, text_anchor="middle")
        monday += timedelta(days=7)


def _row(row: Row, look: Look, y: int) -> Html:
    name = row.window
    if len(name) > _NAME_LETTERS:
        name = name[: _NAME_LETTERS - 1] + "…"
    bar_y = y + 20
    bars = [
        el("rect", el("title", told), class_=f"b {state}", x=f"{x:.2f}%", y=bar_y,
           width=f"{wide:.2f}%", height=_BAR_PX, rx=2)
        for state, x, wide, told in _bars(row.entries, look)
    ]  # fmt: skip
    return el(
        "g",
        el("rect", class_="track", y=bar_y + _BAR_PX / 2 - 1, width="100%", height=2),
        *bars,
        el("text", el("title", row.window), name, class_="name", x=0, y=y + 14),
    )


def _bars(entries: Iterable[Entry], look: Look) -> list[tuple[Shown, float, float, str]]:
    """State, place, width, words. What lies too near to what went before becomes one with it."""
    found: list[tuple[Shown, float, float, str]] = []
    many, now = 0, look.now
    for e in entries:
        state = look.state(e)
        x, end = _at(e.activation.starts_at, now), _at(e.activation.ends_at, now)
        if found and found[-1][0] == state and x - found[-1][1] < 100 / _SLOTS:
            many += 1
            first = found[-1][1]
            told = f"{counted(many, 'occurrence')} of {e.activation.id}, {STATES[state]}"
            found[-1] = state, first, max(end - first, found[-1][2]), told
        else:
            many = 1
            found.append((state, x, end - x, _words(e, look)))
    return found


def _words(e: Entry, look: Look) -> str:
    a = e.activation
    zone = a.window.zone
    span = f"{both(a.starts_at, zone)} to {both(a.ends_at, zone)}"
    return f"{a.id}: {STATES[look.state(e)]}, {span}, {length(a.ends_at - a.starts_at)}"


def _told(look: Look) -> str:
    """The chart in words; every occurrence stands in the table below it."""
    on = [e.activation.id for e in look.due if look.state(e) == "armed"]
    ahead = sum(any(e.state(look.now) == "next" for e in row.entries) for row in look.rows)
    armed = f"armed now: {', '.join(on)}" if on else "nothing armed now"
    return (
        f"Timeline of the past 7 and the next 30 days, {counted(len(look.rows), 'window')}: "
        f"{armed}; {counted(ahead, 'window')} ahead. The table below has the times."
    )


# --- the table --------------------------------------------------------------------------------


def _table(look: Look) -> Html:
    every = [e for row in look.rows for e in row.entries]
    every.sort(key=lambda e: (e.activation.starts_at, e.activation.id))
    ahead = [e for e in every if e.activation.ends_at > look.now]
    past = [e for e in reversed(every) if e.activation.ends_at <= look.now]
    shown = [*ahead[:MOST_LISTED], *past[: MOST_LISTED // 2]]
    left = len(every) - len(shown)
    head = ("Window", "State", "From, to")
    return el(
        "details",
        el("summary", "The same as a table"),
        el(
            "table",
            el("caption", "What is on or ahead in order, then what is over, newest first"
               + (f"; {counted(left, 'occurrence')} more are left out" if left else "")),
            el("thead", el("tr", *(el("th", name, scope="col") for name in head))),
            el("tbody", *(_line(e, look) for e in shown)),
        ),
        id="occurrences",
    )  # fmt: skip


def _line(e: Entry, look: Look) -> Html:
    a, state = e.activation, look.state(e)
    measures = ", ".join(a.window.measure_names)
    return el(
        "tr",
        el("th", a.id, el("div", measures, class_="soft"), scope="row"),
        el("td", el("span", STATES[state], class_=f"pill {state}")),
        el("td", both(a.starts_at, a.window.zone), el("br"), both(a.ends_at, a.window.zone)),
    )
