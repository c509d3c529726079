"""The lab's report as text and as JSON. Pure: a Report in, text out."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator

from enforcer.lab.phases import PHASES, TRAFFIC, WATCHED, Cell, Check, Report, Row
from enforcer.lab.witness import Sample, samples

GREEN, RED, DIM, BOLD, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
# Narrow enough for a terminal of 80 columns; what the columns mean stands in the legend.
GAP = " "
CELL_WIDTH = max(len("✓ 10/10"), *(len(phase.head) for phase in PHASES))
TITLE_WIDTH = max(len(row.title) for row in TRAFFIC + WATCHED)
HEIGHT = 1 + len(TRAFFIC) + 1 + len(WATCHED)
WIDTH = TITLE_WIDTH + len(PHASES) * (len(GAP) + CELL_WIDTH)


def table(report: Report, color: bool = False) -> str:
    """Rows × phases; phases that are still to come are empty columns."""
    heads = GAP.join(phase.head.ljust(CELL_WIDTH) for phase in PHASES)
    header = f"{' ' * TITLE_WIDTH}{GAP}{heads}".rstrip()
    lines = [_paint(header, BOLD, color)]
    lines += [_line(row, report, color) for row in TRAFFIC]
    lines.append("")
    lines += [_line(row, report, color) for row in WATCHED]
    return "\n".join(lines) + "\n"


def legend(color: bool = False) -> str:
    """What columns and cells mean, one thing a line."""
    good, bad = _mark(True, color), _mark(False, color)
    meanings = [(phase.head, phase.meaning) for phase in PHASES]
    meanings += [
        ("10/10", "all ten passed, five by IPv4, five by IPv6; 0/10: all held back"),
        ("", "(below: so many of the packets had it; a plain number is a count)"),
    ]
    lines = [f"  {name:<8}{meaning}" for name, meaning in meanings]
    lines.append(f"  {good} {bad}     what the promises say, and not what they say")
    return "\n".join(lines) + "\n"


def text(report: Report, color: bool = False) -> str:
    """Everything: table, legend, checks, metrics, and the verdict in one sentence."""
    parts = [table(report, color), legend(color)]
    if report.checks:
        parts.append("".join(_check(check, color) for check in report.checks))
    if report.metrics:
        lines = "".join(f"  {line}\n" for line in _metrics(report.metrics))
        parts.append("What Prometheus read while the first window was open:\n" + lines)
    parts.append(verdict(report, color))
    return "\n".join(parts)


def verdict(report: Report, color: bool = False) -> str:
    if report.ok:
        words = f"All is what the promises say, in {report.seconds:.0f} s."
        return _paint(words, GREEN, color) + "\n"
    found = report.differs
    words = f"{len(found)} {'thing is' if len(found) == 1 else 'things are'} not what was promised:"
    told = [line for each in found for line in _wrapped(each, "  ", "    ")]
    return "\n".join([_paint(words, RED, color), *told]) + "\n"


def as_json(report: Report) -> str:
    """The same with stable keys."""
    document = {
        "ok": report.ok,
        "seconds": round(report.seconds, 1),
        "phases": [
            {"id": phase.id, "title": phase.title, "window": phase.window} for phase in PHASES
        ],
        "rows": [
            {
                "id": row.id,
                "title": row.title,
                "cells": {
                    phase.id: _cell_document(report.columns[phase.id][row.id])
                    for phase in PHASES
                    if phase.id in report.columns
                },
            }
            for row in TRAFFIC + WATCHED
        ],
        "checks": [
            {"id": check.id, "title": check.title, "value": check.value, "ok": check.ok}
            for check in report.checks
        ],
        "metrics": list(report.metrics),
        "differs": report.differs,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _cell_document(cell: Cell) -> dict[str, object]:
    return {
        "got": cell.count.got,
        "of": cell.count.of,
        "promise": cell.promise.value,
        "ok": cell.ok,
        "families": {
            f"ipv{family}": {"got": got, "of": of} for family, got, of in cell.count.by_family
        },
    }


def _metrics(lines: Iterable[str]) -> Iterator[str]:
    """Lines of a metrics page: of a name that has several, a table of the labels that differ."""
    found: dict[str, list[Sample]] = {}
    for sample in samples("\n".join(lines)):
        found.setdefault(sample.name, []).append(sample)
    for name, group in found.items():
        every = [sample.labels for sample in group]
        same = {
            key: value for key, value in every[0].items() if all(e.get(key) == value for e in every)
        }
        told = ",".join(f'{key}="{value}"' for key, value in same.items())
        if len(group) == 1:
            yield f"{name}{{{told}}} {group[0].value:,.0f}"
            continue
        yield f"{name}{{{told}}}"
        keys = [key for key in every[0] if key not in same]
        rows = [keys, *([sample.labels.get(key, "") for key in keys] for sample in group)]
        values = ["", *(f"{sample.value:,.0f}" for sample in group)]
        widths = [max(len(row[n]) for row in rows) for n in range(len(keys))]
        for row, value in zip(rows, values, strict=True):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            yield f"  {'  '.join(cells)}  {value:>{max(map(len, values))}}".rstrip()


def _line(row: Row, report: Report, color: bool) -> str:
    cells = []
    for phase in PHASES:
        column = report.columns.get(phase.id)
        cells.append(_cell(column[row.id], color) if column else " " * CELL_WIDTH)
    return f"{row.title.ljust(TITLE_WIDTH)}{GAP}{GAP.join(cells)}".rstrip()


def _cell(cell: Cell, color: bool) -> str:
    return f"{_mark(cell.ok, color)} {cell.short.ljust(CELL_WIDTH - 2)}"


def _check(check: Check, color: bool) -> str:
    first, *more = _wrapped(check.value, "", "", WIDTH - TITLE_WIDTH - len(GAP) - 2)
    lines = [f"{check.title.ljust(TITLE_WIDTH)}{GAP}{_mark(check.ok, color)} {first}"]
    lines += [f"{' ' * TITLE_WIDTH}{GAP}  {line}" for line in more]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, first: str, others: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=others,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _mark(ok: bool, color: bool) -> str:
    return _paint("✓", GREEN, color) if ok else _paint("✗", RED, color)


def _paint(words: str, paint: str, color: bool) -> str:
    return f"{paint}{words}{PLAIN}" if color else words
