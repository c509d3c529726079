"""What windows may not do together: share an id, mark one packet in two ways, reserve more of a
link than may be reserved, keep guard armed more than half of any 30 days.

Placed windows come in, problems go out. Only windows declared once have instants here; the other
forms are checked as `schedule` expands them. Provisional windows are not armed and do not count.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate

from enforcer.errors import Problem
from enforcer.policy import limits
from enforcer.policy.forms import hours
from enforcer.policy.model import Mark, Once
from enforcer.policy.windows import Placed
from enforcer.policy.words import shown

Span = tuple[datetime, datetime]


def check_together(placed: Sequence[Placed]) -> list[Problem]:
    """Every conflict between windows of all files."""
    armed = sorted(
        (p for p in placed if isinstance(p.window.form, Once) and not p.window.provisional),
        key=lambda p: (*_span(p), p.window.id),
    )
    return [*_same_ids(placed), *_marks(armed), *_shares(armed), *_guard_budget(armed)]


def _span(placed: Placed) -> Span:
    form = placed.window.form
    assert isinstance(form, Once)
    return form.starts_at, form.ends_at


def _same_ids(placed: Iterable[Placed]) -> Iterator[Problem]:
    first: dict[str, Placed] = {}
    for one in placed:
        other = first.setdefault(one.window.id, one)
        if other is not one:
            fact = f"{shown(one.window.id)} is already the id of the window at {other.place}"
            yield one.problem(f"{fact}; give each window an id of its own", "id")


def _overlapping(armed: Iterable[Placed]) -> Iterator[tuple[Placed, list[Placed]]]:
    """Each window with the earlier ones (by start) that are still armed when it begins."""
    running: list[Placed] = []
    for one in armed:
        running = [other for other in running if _span(other)[1] > _span(one)[0]]
        yield one, running
        running.append(one)


def _marks(armed: Iterable[Placed]) -> Iterator[Problem]:
    marking = [one for one in armed if one.window.mark is not None]
    for one, running in _overlapping(marking):
        for other in running:
            assert one.window.mark is not None
            assert other.window.mark is not None
            fact = _conflict(one.window.mark, other.window.mark)
            if fact is not None:
                where = f"window {shown(other.window.id)} at {other.place}"
                yield one.problem(
                    f"{fact[1]}, while {where} overlaps it in time and marks the same packets "
                    f"with {fact[2]}; use one {fact[0]}, or move one window",
                    "measures",
                    "mark",
                )


def _conflict(a: Mark, b: Mark) -> tuple[str, str, str] | None:
    if a.fwmark is not None and b.fwmark is not None and a.fwmark != b.fwmark:
        return "fwmark", f"marks with fwmark {a.fwmark:#x}", f"{b.fwmark:#x}"
    if a.dscp is not None and b.dscp is not None and a.dscp != b.dscp:
        return "dscp", f"marks with dscp {a.dscp}", f"{b.dscp}"
    return None


def _shares(armed: Iterable[Placed]) -> Iterator[Problem]:
    reserving = [one for one in armed if one.window.reserve is not None]
    for one, running in _overlapping(reserving):
        link = one.window.reserve.link if one.window.reserve else ""
        same = [o for o in running if o.window.reserve and o.window.reserve.link == link]
        total = sum(p.window.reserve.share for p in (*same, one) if p.window.reserve)
        # Shares are decimal fractions held in binary: 7 + 56 + 17 % must not be over 80 %.
        if not same or round(total, 9) <= limits.RESERVE_SHARE:
            continue
        others = ", ".join(f"{shown(o.window.id)} at {o.place}" for o in same)
        ceiling = f"over the {limits.RESERVE_SHARE * 100:g}% ceiling"
        yield one.problem(
            f"together with {others}, which overlaps it in time, {total * 100:g}% of link "
            f"{shown(link)} is reserved, {ceiling}; lower the shares, or move one window",
            "measures",
            "reserve",
            "share",
        )


def _guard_budget(armed: Iterable[Placed]) -> Iterator[Problem]:
    """Any 30 days hold at most 15 armed ones. Staged windows hold back nothing: not counted."""
    guarding = [one for one in armed if one.window.guard is not None and not one.window.stage]
    spans = list(_merged(_span(one) for one in guarding))
    if not spans:
        return
    # What is armed in a period grows until its edge meets an edge of a span: only these matter.
    starts = sorted([start for start, _ in spans] + [end - limits.GUARD_PERIOD for _, end in spans])
    total = list(accumulate((end - start for start, end in spans), initial=timedelta()))

    def armed_until(at: datetime) -> timedelta:
        index = bisect_right(spans, at, key=lambda span: span[0])
        if index == 0:
            return timedelta()
        start, end = spans[index - 1]
        return total[index - 1] + min(at, end) - start

    for start in starts:
        end = start + limits.GUARD_PERIOD
        length = armed_until(end) - armed_until(start)
        if length > limits.GUARD_ARMED_IN_PERIOD:
            inside = [o for o in guarding if _span(o)[0] < end and _span(o)[1] > start]
            names = ", ".join(shown(one.window.id) for one in inside[:8])
            if len(inside) > 8:
                names += f" and {len(inside) - 8} more"
            fact = f"guard is armed for {hours(length)} of the 30 days from {start:%Y-%m-%dT%H:%MZ}"
            ceiling = f"over the ceiling of {hours(limits.GUARD_ARMED_IN_PERIOD)}"
            remedy = "shorten or remove some, or leave guard out of them"
            yield inside[-1].problem(f"{fact} by {names}, {ceiling}; {remedy}", "measures", "guard")
            return


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    current: Span | None = None
    for start, end in sorted(spans):
        if current is not None and start <= current[1]:
            current = (current[0], max(current[1], end))
            continue
        if current is not None:
            yield current
        current = (start, end)
    if current is not None:
        yield current
