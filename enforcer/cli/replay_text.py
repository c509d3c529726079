"""What `enforcer replay` found, as JSON and as text for a terminal of 60 columns."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from enforcer.cli.replaying import Outcome, Taken
from enforcer.cli.terminal import Painter, counted, fields, utc_short
from enforcer.observe.views import utc_text
from enforcer.policy.model import Activation, Policy
from enforcer.ruleset.measures import VERDICTS, CounterName
from enforcer.ruleset.moments import Moments, instant_of
from enforcer.ruleset.packets import EITHER, IN, OUT
from enforcer.sources.frames import LINK_NAMES

_SERVICES_SHOWN = 10
_WIDTH = 58
_STYLES = {"held_back": "red", "would_drop": "yellow", "let_in": "green"}
_WORDS = {"would_drop": "would be held back, but is staged"}


@dataclass(frozen=True, slots=True)
class Told:
    """What is told: `written` is the file of --write and its packets; `at` None: own times."""

    name: str
    outcome: Outcome
    moments: Moments
    policy: Policy
    at: datetime | None
    taken: Taken
    written: tuple[str, int] | None

    @property
    def armed(self) -> list[Activation]:
        return sorted(self.moments.armed.values(), key=lambda a: (a.starts_at, a.id))


def _pair(counts: list[int]) -> dict[str, int]:
    return {"packets": counts[0], "bytes": counts[1]}


def view(told: Told) -> dict[str, Any]:
    """The JSON answer. Bytes are of IP, as the kernel counts them."""
    outcome, skipped = told.outcome, told.outcome.skipped
    totals: dict[str, list[int]] = {verdict: [0, 0] for verdict in VERDICTS}
    for (counter, _), counts in outcome.tallies.items():
        for i in (0, 1):
            totals[counter.verdict][i] += counts[i]
    return {
        "file": told.name,
        "complete": outcome.error is None,
        "error": outcome.error,
        "packets": outcome.packets,
        "from": _instant(outcome.first_ns),
        "to": _instant(outcome.last_ns),
        "at": utc_text(told.at) if told.at else None,
        "windows": [
            {
                "id": a.id,
                "starts_at": utc_text(a.starts_at),
                "ends_at": utc_text(a.ends_at),
                "measures": list(a.window.measure_names),
                "stage": a.window.stage,
            }
            for a in told.armed
        ],
        "devices": [
            {"in_file": in_file, "judged_as": judged_as, "packets": count}
            for (in_file, judged_as), count in outcome.devices.items()
        ],
        "direction": {
            "in": outcome.directions[IN],
            "out": outcome.directions[OUT],
            "unknown": outcome.directions[EITHER],
        },
        "judged": _pair(outcome.judged),
        "untouched": _pair(outcome.untouched),
        "held_back": _pair(outcome.held_back),
        "totals": {verdict: _pair(counts) for verdict, counts in totals.items()},
        "verdicts": [
            {
                "measure": counter.measure,
                "window": counter.window,
                "verdict": counter.verdict,
                "family": counter.family,
                "category": counter.category,
                "service": told.moments.names.text(service),
                **_pair(counts),
            }
            for (counter, service), counts in sorted(outcome.tallies.items())
        ],
        "skipped": {
            "not_ip": dict(sorted(skipped.not_ip.items())),
            "malformed": skipped.malformed,
            "other_stations": skipped.other_stations,
            "other_devices": sum(outcome.other_devices.values()),
            "other_link_types": {str(k): v for k, v in sorted(outcome.other_links.items())},
            "no_time": outcome.timeless,
        },
        "cut_headers": outcome.cut,
        "written": {"file": told.written[0], "packets": told.written[1]} if told.written else None,
    }


def _instant(ns: int | None) -> str | None:
    return None if ns is None else utc_text(instant_of(ns))


def size_text(count: float) -> str:
    """`999 B`, `1.2 kB`, `34.5 MB`: powers of a thousand, as links are sold."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.95 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def text(told: Told, paint: Painter) -> list[str]:
    outcome = told.outcome
    lines = [f"{told.name}: {counted(outcome.packets, 'packet')}"]
    rows = [*_time_rows(told), *_device_rows(told), *_skipped_rows(told)]
    lines += fields(
        (name, line)
        for name, value in rows
        for name, line in zip(
            (name, *[""] * 9), textwrap.wrap(value, _WIDTH - 11) or [""], strict=False
        )
    )
    lines += _verdict_lines(told, paint)
    if told.written:
        lines.append(f"written: {counted(told.written[1], 'packet')} to {told.written[0]}")
    return lines


def _time_rows(told: Told) -> Iterable[tuple[str, str]]:
    outcome = told.outcome
    if outcome.first_ns is not None and outcome.last_ns is not None:
        first, last = (utc_short(instant_of(ns)) for ns in (outcome.first_ns, outcome.last_ns))
        yield "captured", f"{first} to {last}"
    yield "judged", f"as at {utc_short(told.at)}" if told.at else "each packet at its own time"
    for a in told.armed:
        staged = ", staged" if a.window.stage else ""
        measures = ", ".join(a.window.measure_names)
        span = f"{utc_short(a.starts_at)} to {utc_short(a.ends_at)}"
        yield "window", f"{a.id}: {measures}{staged}; {span}"
    if not told.armed:
        hint = "" if told.at else "; judge it as at another instant with --at T"
        yield "window", f"none is on{' then' if told.at else ' in that time'}{hint}"


def _device_rows(told: Told) -> Iterable[tuple[str, str]]:
    outcome = told.outcome
    for in_file, judged_as in outcome.devices:
        yield "device", _device(told, in_file, judged_as)
    known, unknown = outcome.directions[IN] + outcome.directions[OUT], outcome.directions[EITHER]
    if known:
        yield "direction", f"{outcome.directions[IN]:,} in, {outcome.directions[OUT]:,} out"
    if unknown:
        fact = f"{unknown:,} not known: guard supposes in, reserve out"
        yield ("" if known else "direction"), f"{fact}; --mac or --direction tell"


def _device(told: Told, in_file: str | None, judged_as: str | None) -> str:
    if judged_as is None:
        name = f"{in_file}, not in the configuration: " if in_file else ""
        return f"{name}supposed an uplink, and the link of every reserve; say --device NAME"
    policy = told.policy
    roles = ["an uplink"] if judged_as in policy.gateway.uplinks else []
    roles += [f"link {link.name}" for link in policy.links if link.device == judged_as]
    role = " and ".join(roles) or "no uplink and no link: guard and reserve do nothing there"
    return f"{judged_as}: {role}"


def _skipped_rows(told: Told) -> Iterable[tuple[str, str]]:
    outcome, skipped = told.outcome, told.outcome.skipped
    found = [f"{count:,} {kind}" for kind, count in skipped.not_ip.most_common(4)]
    if found:
        yield "not IP", f"{sum(skipped.not_ip.values()):,}: {', '.join(found)}"
    for count, what in (
        (skipped.malformed, "with a broken or cut IP header"),
        (skipped.other_stations, "between other stations than --mac"),
        (sum(outcome.other_devices.values()), "of other interfaces than --only"),
        (outcome.timeless, "without a time; judge them with --at T"),
    ):
        if count:
            yield "left out", f"{count:,} {what}"
    for link, count in sorted(outcome.other_links.items()):
        name = f" ({LINK_NAMES[link]})" if link in LINK_NAMES else ""
        yield "left out", f"{count:,} of link type {link}{name}, which is not read"
    if outcome.cut:
        yield (
            "cut off",
            f"{outcome.cut:,} before the ports; judged without, capture with -s 128",
        )
    if not outcome.judged[0]:
        yield "", "no IP packet is left to judge"


def _verdict_lines(told: Told, paint: Painter) -> list[str]:
    outcome = told.outcome
    groups: dict[tuple[str, str, str], dict[tuple[str, str], list[int]]] = defaultdict(dict)
    for (counter, service), counts in outcome.tallies.items():
        group = groups[_group(counter)]
        key = counter.category, told.moments.names.text(service)
        have = group.get(key, [0, 0])
        group[key] = [have[0] + counts[0], have[1] + counts[1]]
    lines: list[str] = []
    for (measure, window, verdict), rows in sorted(groups.items()):
        word = _WORDS.get(verdict, verdict.replace("_", " "))
        total = [sum(counts[i] for counts in rows.values()) for i in (0, 1)]
        shown = paint(word, _STYLES[verdict]) if verdict in _STYLES else word
        lines += ["", f"{measure} of window {window}: {shown}", *_rows(rows, total)]
    if outcome.judged[0]:
        lines.append("")
        for name, counts in (("held back", outcome.held_back), ("untouched", outcome.untouched)):
            share = counts[0] / outcome.judged[0]
            lines.append(
                f"{name}: {counts[0]:,} of {counted(outcome.judged[0], 'IP packet')} "
                f"({share:.1%}), {size_text(counts[1])}"
            )
    return lines


def _group(counter: CounterName) -> tuple[str, str, str]:
    return counter.measure, counter.window, counter.verdict


def _rows(rows: dict[tuple[str, str], list[int]], total: list[int]) -> list[str]:
    ordered = sorted(rows.items(), key=lambda row: (-row[1][0], row[0]))
    shown = ordered[:_SERVICES_SHOWN]
    cells = [(*key, f"{n:,}", size_text(size)) for key, (n, size) in shown]
    rest = ordered[_SERVICES_SHOWN:]
    if rest:
        n, size = (sum(counts[i] for _, counts in rest) for i in (0, 1))
        cells.append((f"{len(rest)} more rows", "", f"{n:,}", size_text(size)))
    if len(cells) > 1:
        cells.append(("in all", "", f"{total[0]:,}", size_text(total[1])))
    widths = [max(len(cell[i]) for cell in cells) for i in range(4)]
    return [
        "  " + "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]  # fmt: skip
