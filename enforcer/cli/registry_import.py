"""`enforcer registry import FILE --output FILE`: what a registrar sent, as the daemon reads it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from enforcer.cli.progress import Progress
from enforcer.cli.registries import (
    STDOUT,
    asked_of,
    categories_of,
    read_file,
    require_writable,
    say,
    write,
)
from enforcer.cli.terminal import counted, print_json

if TYPE_CHECKING:
    from enforcer.policy.registry import Registry
    from enforcer.registries.reading import Reading


def run(args: argparse.Namespace) -> int:
    from enforcer.registries.writing import pieces

    require_writable(args.output, args.force)
    reading = read_file(args.file, categories_of(args.config), asked_of(args))
    total = len(reading.registry)
    bar = Progress(total)
    try:
        update = lambda rows: bar.update(rows, f"{rows:,} rows written")  # noqa: E731
        write(args.output, pieces(reading.registry, "csv", update))
    finally:
        bar.close()
    if args.format == "json" and args.output != STDOUT:
        print_json(view(args, reading))
    else:
        said = "as was asked" if args.from_format else "by its look"
        next_ = "see what changed with registry diff, look it over with registry lint"
        say(
            args.output,
            [
                f"{args.file}: read as {reading.form}, {said}: {summary(reading.registry)}",
                *(f"note: {note}" for note in reading.notes),
                *([] if args.output == STDOUT else [f"{args.output}: written; {next_}"]),
            ],
        )
    return 0


def summary(registry: Registry) -> str:
    """`1,200 rows (1,000 IPv4, 200 IPv6) in 3 categories`."""
    families = f"{len(registry.v4):,} IPv4, {len(registry.v6):,} IPv6"
    used = len(counts(registry))
    noun = "category" if used == 1 else "categories"
    return f"{counted(len(registry), 'row')} ({families}) in {used} {noun}"


def counts(registry: Registry) -> dict[str, int]:
    """Rows by category, those without any left out."""
    import numpy as np

    size = len(registry.categories)
    v4, v6 = (np.bincount(c.category, minlength=size) for c in (registry.v4, registry.v6))
    return {n: int(k) for n, k in zip(registry.categories, v4 + v6, strict=True) if k}


def view(args: argparse.Namespace, reading: Reading) -> dict[str, Any]:
    return {
        "file": str(args.file),
        "from_format": reading.form,
        "output": str(args.output),
        "rows": len(reading.registry),
        "prefixes": {"ipv4": len(reading.registry.v4), "ipv6": len(reading.registry.v6)},
        "categories": counts(reading.registry),
        "notes": notes_view(reading),
    }


def notes_view(reading: Reading) -> list[dict[str, Any]]:
    return [{"text": n.text, "count": n.count, "line": n.line or None} for n in reading.notes]
