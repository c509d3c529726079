"""`enforcer registry diff OLD NEW`: rows and addresses that come and go. Exit 2 for changes."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enforcer.cli.registries import asked_of, categories_of, read_file
from enforcer.cli.terminal import Painter, print_json, table

if TYPE_CHECKING:
    from enforcer.registries.comparing import Difference, Line

EXIT_CHANGES = 2


def run(args: argparse.Namespace) -> int:
    from enforcer.clock import SystemClock
    from enforcer.registries.comparing import compare

    categories, asked = categories_of(args.config), asked_of(args)
    old, new = (read_file(path, categories, asked).registry for path in (args.old, args.new))
    day = SystemClock().now().date()
    found = compare(old, new, day, args.most)
    if args.format == "json":
        print_json({"day": day.isoformat(), "changes": not found.is_none, **view(found)})
    else:
        print("\n".join(text(found, args.old, args.new, Painter(args))))
    return 0 if found.is_none else EXIT_CHANGES


def view(found: Difference) -> dict[str, Any]:
    names = ("old", "new", "appear", "vanish")
    return {
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "lines": [asdict(line) for line in found.lines],
        "categories": [
            {
                "category": change.category,
                "prefixes": dict(zip(names, change.prefixes, strict=True)),
                "ipv4_addresses": dict(zip(names, change.addresses, strict=True)),
                "ipv6_slash_64s": dict(zip(names, change.slash_64s, strict=True)),
            }
            for change in found.categories
        ],
    }


def text(found: Difference, old: Path, new: Path, paint: Painter) -> list[str]:
    if found.is_none:
        return [f"{old} and {new} register the same"]
    lines = [_line(line, old, new, paint) for line in found.lines]
    total = found.added + found.removed + found.changed
    if total > len(lines):
        lines.append(f"… and {total - len(lines):,} more; --most N tells more")
    changes = [
        (c.category, *map(_change, (c.prefixes, c.addresses, c.slash_64s)))
        for c in found.categories
        if any(value for each in (c.prefixes, c.addresses, c.slash_64s) for value in each[2:])
    ]
    if changes:
        header = ("today", "prefixes", "IPv4 addresses", "IPv6 /64s")
        lines += ["", *table(changes, header)]
    counts = f"{found.added:,} added, {found.removed:,} removed, {found.changed:,} changed"
    return [*lines, "", f"rows: {counts}"]


def _line(line: Line, old: Path, new: Path, paint: Painter) -> str:
    if line.new is None:
        return paint(f"- {old}:{line.old}", "red")
    if line.old is None:
        return paint(f"+ {new}:{line.new}", "green")
    return paint(f"~ {new}:{line.new} (was line {line.old}): {', '.join(line.fields)}", "yellow")


def _change(counts: tuple[int, int, int, int]) -> str:
    _, new, appear, vanish = counts
    return f"{new:,} (+{appear:,} -{vanish:,})" if appear or vanish else f"{new:,}"
