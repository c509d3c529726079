"""What windows may not do together: mark one packet in two ways, reserve more of a link than may be
reserved, guard an estate without a pause for longer than one guard window may last, keep guard
armed more than half of any 30 days.

Occurrences of all windows of all forms come in, sorted, and guard of the past as the record tells
it; problems go out. Provisional windows are not armed and are not among them.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate

from enforcer.errors import Problem
from enforcer.policy import limits
from enforcer.policy.forms import hours
from enforcer.policy.model import Estate, Mark
from enforcer.policy.windows import Placed
from enforcer.policy.words import shown
from enforcer.schedule.past import PastGuard, PastGuards

# More pairs than this tell nobody more.
MOST_CONFLICTS = 100


@dataclass(frozen=True, slots=True, order=True)
class Armed:
    """An occurrence and its window; `index` is the window's place in the order of the files."""

    starts_at: datetime
    ends_at: datetime
    index: int
    placed: Placed = field(compare=False)
    closed: bool = field(default=False, compare=False)

    @property
    def id(self) -> str:
        return self.placed.window.id


@dataclass(frozen=True, slots=True, order=True)
class Guarding:
    """Guard over a span. `placed` is None when it is told by the record and not by the files: it
    counts, but nobody can mend it. `open`: not all of it is past.
    """

    starts_at: datetime
    ends_at: datetime
    index: int
    name: str = field(compare=False)
    estate: str = field(compare=False)
    placed: Placed | None = field(compare=False)
    open: bool = field(compare=False)
    closed: bool = field(default=False, compare=False)


def check_together(
    armed: Sequence[Armed],
    on: Sequence[Armed],
    estates: Sequence[Estate],
    past: PastGuards = (),
    now: datetime | None = None,
    unread: Problem | None = None,
) -> list[Problem]:
    """Every conflict between occurrences, each pair or group of windows once. The ceilings of guard
    count `armed`, closed ones too, and `past` beside them; of these, `on` are on or may yet be, and
    they alone can clash in a mark or over a link. What is over and cannot be mended at `now` is no
    conflict. `unread` stands for every clash, as in `Orders`.
    """
    # Staged windows hold back nothing.
    guarding = [
        Guarding(
            a.starts_at,
            a.ends_at,
            a.index,
            shown(a.id),
            a.placed.window.guard.estate,
            a.placed,
            not past or now is None or a.ends_at > now,
            a.closed,
        )
        for a in armed
        if a.placed.window.guard and not a.placed.window.stage
    ]
    declared = {g.name for g in guarding}
    guarding += (_told(p, declared) for p in past)
    guarding.sort()
    clashes = [*_marks(on), *_shares(on)]
    return [
        *([unread] if clashes and unread is not None else clashes),
        *_guard_chains(guarding, estates),
        *_guard_budget(guarding),
    ]


def _told(p: PastGuard, declared: Collection[str]) -> Guarding:
    name = shown(p.window)
    name = name if name in declared else f"{name} (on the record)"
    return Guarding(p.starts_at, p.ends_at, -1, name, p.estate, None, False)


def _blamed(guarding: Iterable[Guarding]) -> Placed | None:
    """The last window that an operator can still mend; None when there is none."""
    mendable = [g.placed for g in guarding if g.open and g.placed is not None]
    return mendable[-1] if mendable else None


def _marks(armed: Iterable[Armed]) -> Iterator[Problem]:
    """Of each value only the occurrence that lasts longest is looked at: the others agree."""
    running: dict[tuple[str, Hashable], Armed] = {}
    told: set[tuple[int, int]] = set()
    for one in armed:
        mark = one.placed.window.mark
        for key, value in _values(mark):
            for (other_key, other_value), other in list(running.items()):
                if other_key != key or other_value == value:
                    continue
                if other.ends_at <= one.starts_at:
                    del running[other_key, other_value]
                    continue
                pair = (min(one.index, other.index), max(one.index, other.index))
                if pair not in told and len(told) < MOST_CONFLICTS:
                    told.add(pair)
                    yield _conflict(one, other, key)
            longest = running.get((key, value))
            if longest is None or longest.ends_at < one.ends_at:
                running[key, value] = one


def _values(mark: Mark | None) -> Iterator[tuple[str, int]]:
    if mark is not None and mark.fwmark is not None:
        yield "fwmark", mark.fwmark
    if mark is not None and mark.dscp is not None:
        yield "dscp", mark.dscp


def _conflict(one: Armed, other: Armed, key: str) -> Problem:
    mine, theirs = (
        f"{value:#x}" if key == "fwmark" else str(value)
        for armed in (one, other)
        for k, value in _values(armed.placed.window.mark)
        if k == key
    )
    where = f"window {shown(other.id)} at {other.placed.place}"
    when = f"{one.starts_at:%Y-%m-%dT%H:%MZ}"
    return one.placed.problem(
        f"marks with {key} {mine}, while {where} is armed too at {when} and marks the same "
        f"packets with {theirs}; use one {key}, or move one window",
        "measures",
        "mark",
    )


def _shares(armed: Iterable[Armed]) -> Iterator[Problem]:
    running: dict[str, list[tuple[datetime, int, Armed]]] = {}
    told: set[int] = set()
    for one in armed:
        reserve = one.placed.window.reserve
        if reserve is None:
            continue
        others = running.setdefault(reserve.link, [])
        while others and others[0][0] <= one.starts_at:
            heapq.heappop(others)
        total = reserve.share + sum(_share(other) for _, _, other in others)
        # Shares are decimal fractions held in binary: 7 + 56 + 17 % must not be over 80 %.
        if others and round(total, 9) > limits.RESERVE_SHARE and one.index not in told:
            told.add(one.index)
            yield _over(one, [other for _, _, other in sorted(others)], total, reserve.link)
        heapq.heappush(others, (one.ends_at, one.index, one))


def _share(armed: Armed) -> float:
    reserve = armed.placed.window.reserve
    return reserve.share if reserve else 0.0


def _over(one: Armed, others: Sequence[Armed], total: float, link: str) -> Problem:
    names = _listed(f"{shown(o.id)} at {o.placed.place}" for o in others)
    when = f"{one.starts_at:%Y-%m-%dT%H:%MZ}"
    ceiling = f"over the {limits.RESERVE_SHARE * 100:g}% ceiling"
    return one.placed.problem(
        f"together with {names}, armed too at {when}, {total * 100:g}% of link "
        f"{shown(link)} is reserved, {ceiling}; lower the shares, or move one window",
        "measures",
        "reserve",
        "share",
    )


def _listed(names: Iterable[str], most: int = 8) -> str:
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


# --- the ceilings of promise 7 --------------------------------------------------------------------


def _guard_chains(guarding: Iterable[Guarding], estates: Sequence[Estate]) -> Iterator[Problem]:
    """A chain of guard windows is one guard window: else two would outlast the ceiling of one."""
    groups = _groups(estates)
    chains: dict[str, list[Guarding]] = {}
    told: set[frozenset[int]] = set()
    for one in guarding:
        group = _group(one, groups)
        chain = chains.get(group, [])
        if chain and one.starts_at - max(a.ends_at for a in chain) >= limits.GUARD_PAUSE:
            yield from _too_long(chain, told)
            chain = []
        chains[group] = [*_needed(chain), one]
    for chain in chains.values():
        yield from _too_long(chain, told)


def _needed(chain: list[Guarding]) -> list[Guarding]:
    """A chain of thousands of overlapping windows is known by its first, last and longest."""
    if len(chain) < 64:
        return chain
    latest = max(chain, key=lambda a: a.ends_at)
    return list(dict.fromkeys((*chain[:8], latest, *chain[-8:])))


def _too_long(chain: Sequence[Guarding], told: set[frozenset[int]]) -> Iterator[Problem]:
    starts_at, ends_at = chain[0].starts_at, max(a.ends_at for a in chain)
    windows = frozenset(a.index for a in chain)
    # One occurrence alone is measured where it is declared.
    if ends_at - starts_at <= limits.GUARD_WINDOW or len(chain) == 1 or windows in told:
        return
    told.add(windows)
    last = _blamed(chain)
    if last is None:
        return
    names = _listed(a.name for a in chain)
    verb = "guard the same estate" if len(windows) > 1 else "guards its estate"
    pause = hours(limits.GUARD_PAUSE)
    fact = (
        f"{names} {verb} from {starts_at:%Y-%m-%dT%H:%MZ} to "
        f"{ends_at:%Y-%m-%dT%H:%MZ} without a pause of {pause}: {hours(ends_at - starts_at)} is "
        f"over the {hours(limits.GUARD_WINDOW)} ceiling of a guard window, and a chain of guard "
        "windows is one guard window"
    )
    remedy = f"shorten them, or leave a pause of {pause} between them"
    yield last.problem(f"{fact}; {remedy}{_closed_ones(chain)}", "measures", "guard")


def _closed_ones(guarding: Iterable[Guarding]) -> str:
    """What to do about windows that were closed: so that nobody closes windows to make room."""
    where = [f"{g.name} at {g.placed.place}" for g in guarding if g.closed and g.placed is not None]
    if not where:
        return ""
    return (
        f"; closed early, and counted as declared all the same: {_listed(where)}; of a window that "
        "is taken out of its file only the time counts that it was armed"
    )


def _group(one: Guarding, groups: dict[str, str]) -> str:
    return groups.get(one.estate, one.estate)


def _groups(estates: Sequence[Estate]) -> dict[str, str]:
    """Estate → the first of those it shares addresses with: under two names it is one estate."""
    ends = sorted(
        ((p.family, p.network, p.last, estate.name) for estate in estates for p in estate.prefixes),
    )
    first: dict[str, str] = {estate.name: estate.name for estate in estates}
    reach: tuple[int, int, str] | None = None
    for family, begin, end, name in ends:
        if reach is not None and reach[0] == family and begin <= reach[1]:
            old, new = first[name], first[reach[2]]
            first = {n: new if g == old else g for n, g in first.items()}
            reach = (family, max(end, reach[1]), name)
        else:
            reach = (family, end, name)
    return first


def _guard_budget(guarding: Sequence[Guarding]) -> Iterator[Problem]:
    """Any 30 days hold at most 15 armed ones."""
    spans = list(_merged((a.starts_at, a.ends_at) for a in guarding))
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
            inside = [a for a in guarding if a.starts_at < end and a.ends_at > start]
            last = _blamed(inside)
            if last is None:
                continue
            names = _listed(a.name for a in inside)
            fact = f"guard is armed for {hours(length)} of the 30 days from {start:%Y-%m-%dT%H:%MZ}"
            ceiling = f"over the ceiling of {hours(limits.GUARD_ARMED_IN_PERIOD)}"
            remedy = "shorten or remove some, or leave guard out of them"
            closed = _closed_ones(inside)
            told = f"{fact} by {names}, {ceiling}; {remedy}{closed}"
            yield last.problem(told, "measures", "guard")
            return


def _merged(spans: Iterable[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    current: tuple[datetime, datetime] | None = None
    for start, end in sorted(spans):
        if current is not None and start <= current[1]:
            current = (current[0], max(current[1], end))
            continue
        if current is not None:
            yield current
        current = (start, end)
    if current is not None:
        yield current
