"""`enforcer registry export [FILE…] --to FORM --output FILE`: registrations in another form."""

from __future__ import annotations

import argparse
import sys

from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.progress import Progress
from enforcer.cli.registries import STDOUT, read_all, require_writable, say, write
from enforcer.cli.registry_import import notes_view, summary
from enforcer.cli.terminal import print_json


def run(args: argparse.Namespace) -> int:
    from enforcer.registries.writing import losses, pieces

    require_writable(args.output, args.force)
    registry, readings = read_all(args)
    lost = losses(registry, args.to)
    bar = Progress(len(registry))
    try:
        update = lambda rows: bar.update(rows, f"{rows:,} rows written")  # noqa: E731
        write(args.output, pieces(registry, args.to, update))
    except ValueError as error:
        print(f"enforcer registry: {args.output}: {error}", file=sys.stderr)
        return EXIT_FAILED
    finally:
        bar.close()
    if args.format == "json" and args.output != STDOUT:
        notes = [n for reading in readings for n in notes_view(reading)]
        notes += [{"text": note.text, "count": note.count, "line": None} for note in lost]
        print_json(
            {"output": str(args.output), "to": args.to, "rows": len(registry), "notes": notes}
        )
    else:
        read_notes = (note for reading in readings for note in reading.notes)
        notes_said = [f"note: {note}" for note in (*read_notes, *lost)]
        say(args.output, [*notes_said, f"{args.output}: {summary(registry)} written as {args.to}"])
    return 0
