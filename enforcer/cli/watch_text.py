"""Answers of the daemon → rates, and a screen, lines or JSON of them. Values in, text out."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from enforcer.cli.terminal import span, table, utc_short

# Samples are few: shares are told of so many seconds.
SAMPLED_OVER_S = 60.0
_VERDICTS = {
    "let_in": "let in",
    "held_back": "held back",
    "would_drop": "would hold back",
    "marked": "marked",
    "reserved": "reserved",
    "untouched": "untouched",
}
_STYLES = {"held_back": "red", "would_drop": "yellow"}
_MEASURES = ("guard", "mark", "reserve")
_LEAST_COLUMNS = 20

Key = tuple[str, str, str, str]
Sampled = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one window, measure, verdict and category; `packets`, `bytes` since the daemon began."""

    window: str
    measure: str
    verdict: str
    category: str
    packets: int
    bytes: int
    packets_s: float
    bytes_s: float


@dataclass(frozen=True, slots=True)
class View:
    """`answer` is the newest, None before the first. `error`: why there is no newer one, since
    `gone_at`. `sampled`: (service, category, verdict) → packets of the last minute.
    """

    now: datetime
    interval_s: float
    answer: dict[str, Any] | None = None
    error: str | None = None
    gone_at: datetime | None = None
    rates: tuple[Rate, ...] = ()
    sampled: tuple[tuple[Sampled, int], ...] = ()


@dataclass(slots=True)
class History:
    """Answers of one daemon; what went backward is another one's."""

    answers: deque[dict[str, Any]] = field(default_factory=deque)

    def add(self, answer: dict[str, Any]) -> None:
        if self.answers and _went_back(self.answers[-1], answer):
            self.answers.clear()
        self.answers.append(answer)
        oldest = answer["monotonic_s"] - SAMPLED_OVER_S
        while len(self.answers) > 2 and self.answers[1]["monotonic_s"] <= oldest:
            self.answers.popleft()

    @property
    def ready(self) -> bool:
        """Whether there are two to make rates of."""
        return len(self.answers) > 1

    def rates(self) -> tuple[Rate, ...]:
        if not self.answers:
            return ()
        new = self.answers[-1]
        old = self.answers[-2] if self.ready else new
        seconds = new["monotonic_s"] - old["monotonic_s"]
        before = {_key(row): row for row in old["totals"] or ()}
        found = []
        for row in new["totals"] or ():
            # A window that has just opened had counted nothing.
            was = before.get(_key(row), {"packets": 0, "bytes": 0})
            each = [row[unit] - was[unit] for unit in ("packets", "bytes")]
            found.append(
                Rate(
                    *_key(row),
                    row["packets"],
                    row["bytes"],
                    *(count / seconds if seconds > 0 else 0.0 for count in each),
                )
            )
        return tuple(found)

    def sampled(self) -> tuple[tuple[Sampled, int], ...]:
        """Most first."""
        if not self.answers:
            return ()
        before = _sampled(self.answers[0])
        counts = _sampled(self.answers[-1])
        counts.subtract(before if self.ready else Counter())
        rows = [(key, count) for key, count in counts.items() if count > 0]
        return tuple(sorted(rows, key=lambda row: (-row[1], row[0])))


def _key(row: dict[str, Any]) -> Key:
    return row["window"], row["measure"], row["verdict"], row["category"]


def _sampled(answer: dict[str, Any]) -> Counter[Sampled]:
    counts: Counter[Sampled] = Counter()
    for row in answer["sampled"]:
        counts[row["service"], row["category"], row["verdict"]] += row["packets"]
    return counts


def _went_back(old: dict[str, Any], new: dict[str, Any]) -> bool:
    before = {_key(row): row["packets"] for row in old["totals"] or ()}
    fell = any(row["packets"] < before.get(_key(row), 0) for row in new["totals"] or ())
    return (
        fell
        or new["monotonic_s"] < old["monotonic_s"]
        or (new["samples"]["seen"] < old["samples"]["seen"])
    )


# --- JSON ----------------------------------------------------------------------------------------


def as_json(view: View) -> dict[str, Any]:
    """One object an interval. Without an answer `daemon` is false and only `error` tells more."""
    if view.error is not None or view.answer is None:
        return {"at": f"{view.now:%Y-%m-%dT%H:%M:%S}Z", "daemon": False, "error": view.error}
    a = view.answer
    return {
        "at": a["at"],
        "daemon": True,
        "error": None,
        "armed": a["armed"],
        "windows": a["windows"],
        "problem": a["problem"],
        "rates": None
        if a["totals"] is None
        else [
            {
                "window": r.window,
                "measure": r.measure,
                "verdict": r.verdict,
                "category": r.category,
                "packets": r.packets,
                "bytes": r.bytes,
                "packets_per_second": round(r.packets_s, 3),
                "bytes_per_second": round(r.bytes_s, 3),
            }
            for r in view.rates
        ],
        "samples": a["samples"],
        "sampled": [
            {"service": service, "category": category, "verdict": verdict, "packets": count}
            for (service, category, verdict), count in view.sampled
        ],
    }


# --- lines ---------------------------------------------------------------------------------------


def plain(view: View) -> list[str]:
    """For a pipe or a terminal that cannot be drawn on: what passed in the interval."""
    at = utc_short(view.now)
    if view.error is not None or view.answer is None:
        return [f"{at}  the daemon does not answer: {view.error}; asked again"]
    if not view.answer["armed"]:
        due = ", ".join(view.answer.get("due", ()))
        return [f"{at}  nothing armed{due and f'; due, not armed: {due}'}"]
    found = []
    for window in view.answer["armed"]:
        told = [
            f"{measure} {_verdict(verdict)} {_count(packets)}/s {_bits(octets)}"
            for (name, measure, verdict), (packets, octets, _) in summed(view.rates).items()
            if name == window
        ]
        found.append(f"{at}  {window}: {', '.join(told) or 'no figures yet'}")
    counts = view.answer["samples"]
    if counts["mismatches"]:
        found.append(f"{at}  {_mismatches(counts)}")
    return found


def summed(rates: Iterable[Rate]) -> dict[tuple[str, str, str], tuple[float, float, int]]:
    """(window, measure, verdict) → packets/s, bytes/s, packets; in the order of the packet path."""
    found: dict[tuple[str, str, str], tuple[float, float, int]] = {}
    for r in sorted(rates, key=lambda r: (r.window, _MEASURES.index(r.measure))):
        key = r.window, r.measure, r.verdict
        packets_s, bytes_s, packets = found.get(key, (0.0, 0.0, 0))
        found[key] = packets_s + r.packets_s, bytes_s + r.bytes_s, packets + r.packets
    return found


def _verdict(verdict: str) -> str:
    return _VERDICTS.get(verdict, verdict)


def _mismatches(counts: dict[str, Any]) -> str:
    return (
        f"the kernel judged {counts['mismatches']:,} of {counts['judged']:,} sampled packets "
        "otherwise than the registry; see kernel_mismatch in the daemon's log"
    )


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def _bits(bytes_s: float) -> str:
    """`11.2 Mbit/s`."""
    bits, units = bytes_s * 8, ["", "k", "M", "G", "T"]
    while bits >= 999.5 and len(units) > 1:
        bits /= 1000
        units.pop(0)
    unit = units[0]
    return f"{bits:.0f} {unit}bit/s" if bits >= 99.95 or not unit else f"{bits:.1f} {unit}bit/s"


# --- the screen ----------------------------------------------------------------------------------

Line = tuple[str, str | None]


def screen(view: View, columns: int, rows: int) -> list[Line]:
    """(text, style) for each line of a screen so large; nothing is longer or more."""
    lines = [*_head(view, columns), *_problems(view)]
    if view.answer is not None:
        lines += _windows(view)
    if view.answer is not None and view.error is None:
        lines += [("", None), *_rates(view, columns), ("", None)]
        lines += _samples(view, columns, max(3, rows - len(lines) - 1))
    return [(_cut(text, columns), style) for text, style in lines][: max(1, rows - 1)]


def _cut(text: str, columns: int) -> str:
    columns = max(columns, _LEAST_COLUMNS)
    return text if len(text) <= columns else f"{text[: columns - 1]}~"


def _head(view: View, columns: int) -> list[Line]:
    a = view.answer
    name = f"{a['gateway']}, enforcer {a['version']}" if a else "enforcer watch"
    when = utc_short(view.now)
    gap = columns - len(name) - len(when)
    return [(f"{name}{' ' * gap}{when}" if gap > 1 else f"{name}  {when[11:]}", "bold")]


def _problems(view: View) -> list[Line]:
    found: list[Line] = []
    if view.error is not None:
        since = f" since {utc_short(view.gone_at)[11:]}" if view.gone_at else ""
        found.append((f"the daemon does not answer{since}; asked again and again", "red"))
        found += [(f"  {part}", "red") for part in view.error.split("; ")]
        if view.answer is not None:
            found.append(("  what it said last:", "yellow"))
    a = view.answer
    if a is None:
        return found
    if a["samples"]["mismatches"]:
        found.append((_mismatches(a["samples"]), "red"))
    if a["problem"]:
        found.append((a["problem"], "red"))
    if due := a.get("due"):
        clock = " until the clock is right" if a["waiting_for_clock"] else ""
        found.append((f"due, not armed{clock}: {', '.join(due)}", "yellow"))
    if a["missing_devices"]:
        found.append((f"missing: {', '.join(a['missing_devices'])}", "yellow"))
    return found


def _windows(view: View) -> list[Line]:
    assert view.answer is not None
    a = view.answer
    ends = {w["id"]: w for w in reversed(a["windows"]) if w["state"] == "armed"}
    found: list[Line] = []
    for name in a["armed"][:8]:
        text = f"armed   {name}"
        if name in ends:
            end = datetime.fromisoformat(ends[name]["ends_at"])
            text += "  guard (staged)" if ends[name].get("stage") else ""
            text += f"  {_left(end - view.now)} more, until {utc_short(end)}"
        found.append((text, "green"))
    if not a["armed"]:
        found.append(("armed   nothing", None))
    if len(a["armed"]) > 8:
        found.append((f"        and {len(a['armed']) - 8:,} more", None))
    coming = [w for w in a["windows"] if w["state"] in ("next", "provisional")][:2]
    for w in coming:
        start = datetime.fromisoformat(w["starts_at"])
        unless = ", once it is confirmed" if w["state"] == "provisional" else ""
        found.append((f"next    {w['id']}  in {_left(start - view.now)}{unless}", None))
    return found


def _left(length: timedelta) -> str:
    return span(max(length, timedelta()))


def _rates(view: View, columns: int) -> list[Line]:
    assert view.answer is not None
    if view.answer["totals"] is None:
        return [("the kernel does not tell its counters", "red")]
    sums = summed(view.rates)
    if not sums:
        return [("no packets are counted: no window is armed", "dim")]
    rows: list[Sequence[str]] = []
    styles: list[str | None] = []
    for (window, measure, verdict), (packets_s, bytes_s, packets) in sums.items():
        figures = _count(packets_s), _bits(bytes_s), f"{packets:,}"
        rows.append((window, measure, _verdict(verdict), *figures))
        styles.append(_STYLES.get(verdict) if packets_s else None)
    head = ("window", "measure", "verdict", "packets/s", "rate", "packets")
    return _table(rows, head, styles, columns, droppable=(5, 4), right=(3, 4, 5))


def _samples(view: View, columns: int, most: int) -> list[Line]:
    assert view.answer is not None
    counts = view.answer["samples"]
    if counts["problem"]:
        return [(f"no samples: {counts['problem']}", "yellow")]
    if not counts["rate"]:
        return [("no samples: switched off (observe.sample)", "dim")]
    lost = f", lost {counts['lost']:,} times" if counts["lost"] else ""
    judged = f"{counts['judged']:,} judged again, {counts['mismatches']:,} differ{lost}"
    if not view.sampled:
        return [(f"no samples in the last minute ({judged})", "dim")]
    total = sum(count for _, count in view.sampled)
    head: Line = (f"sampled headers of the last minute: {total:,} ({judged})", None)
    room = max(1, most - 2)
    shown = view.sampled if len(view.sampled) <= room else view.sampled[: max(1, room - 1)]
    rows = [
        (service, category, _verdict(verdict), f"{count:,}")
        for (service, category, verdict), count in shown
    ]
    titles = ("service", "category", "verdict", "samples")
    styles = [_STYLES.get(key[2]) for key, _ in shown]
    lines = [head, *_table(rows, titles, styles, columns, droppable=(), right=(3,))]
    left = len(view.sampled) - len(shown)
    return [*lines, *([(f"and {left:,} kinds more", "dim")] if left else [])]


def _table(
    rows: Sequence[Sequence[str]],
    head: Sequence[str],
    styles: Sequence[str | None],
    columns: int,
    *,
    droppable: Sequence[int],
    right: Sequence[int],
) -> list[Line]:
    """A table; figures stand to the `right`. Columns of `droppable` go, in this order, until the
    rest fits.
    """
    every = [head, *rows]
    width = {i: max(len(row[i]) for row in every) for i in right}
    cells = [[c.rjust(width.get(i, 0)) for i, c in enumerate(row)] for row in every]
    kept, left = list(range(len(head))), list(droppable)

    def made() -> list[str]:
        first, *rest = ([row[i] for i in kept] for row in cells)
        return table(rest, first)

    lines = made()
    while left and max(map(len, lines)) > columns:
        kept.remove(left.pop(0))
        lines = made()
    return [(lines[0], "bold"), *zip(lines[1:], styles, strict=True)]
