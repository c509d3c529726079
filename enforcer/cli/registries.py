"""What the acts of `enforcer registry` share: files in, files out, categories, and progress."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from enforcer.cli.main import DEFAULT_CONFIG, EXIT_FAILED
from enforcer.cli.progress import Progress
from enforcer.errors import PolicyError, Problem

if TYPE_CHECKING:
    from enforcer.policy.model import Policy
    from enforcer.policy.registry import Registry
    from enforcer.registries.reading import Asked, Reading

STDOUT = Path("-")


def asked_of(args: argparse.Namespace) -> Asked:
    from enforcer.registries.delegated import Chosen
    from enforcer.registries.reading import Asked

    chosen = Chosen()
    if args.act == "import":
        chosen = Chosen(
            frozenset(args.status or chosen.statuses),
            frozenset(country.upper() for country in args.country or ()),
            frozenset(args.opaque_id or ()),
        )
    return Asked(
        args.from_format, args.category, args.id_prefix, getattr(args, "sheet", None), chosen
    )


def declared(config: Path) -> Policy | None:
    """The policy at `config`, its registry files unread; None where no configuration was named and
    none is in its usual place. Raises PolicyError.
    """
    from enforcer.cli.places import orders_unsaid
    from enforcer.clock import SystemClock
    from enforcer.schedule.load import load
    from enforcer.sources.files import ZONES, Reader

    if config == DEFAULT_CONFIG and not config.exists():
        return None
    reader = Reader(config.parent)
    documents = reader.documents(config.name)
    reader.done()
    now = SystemClock().now()
    return load(documents, config.name, ZONES, reader.calendar, now, orders_unsaid())


def categories_of(config: Path) -> tuple[str, ...] | None:
    policy = declared(config)
    if policy is None:
        text = "no configuration, so that categories are taken from the file and not checked"
        print(f"{config}: {text}; name one with --config", file=sys.stderr)
        return None
    return policy.categories


def read_bytes(path: Path) -> bytes:
    """The file, or a PolicyError that says why not."""
    from enforcer.sources.files import REGISTRY_BYTES
    from enforcer.sources.reading import read_whole, refusal

    try:
        return read_whole(path, REGISTRY_BYTES)
    except (OSError, ValueError) as error:
        raise PolicyError([Problem(str(path), 0, 0, "", refusal(error, path))]) from error


def read_file(path: Path, categories: Sequence[str] | None, asked: Asked) -> Reading:
    """A registry file of any form. Raises PolicyError."""
    from enforcer.registries.reading import read_registry

    data = read_bytes(path)
    bar = Progress(None)
    try:
        return read_registry(
            str(path),
            data,
            categories,
            asked,
            lambda rows: bar.update(rows, f"{path.name}: {rows:,} rows read"),
        )
    finally:
        bar.close()


def read_all(args: argparse.Namespace) -> tuple[Registry, list[Reading]]:
    """The files that were named, or those of the configuration, as one registry. Raises
    PolicyError with the problems of every file.
    """
    from enforcer.policy.registry import merge
    from enforcer.registries.reading import with_categories

    paths: list[Path] = args.files
    if paths:
        categories = categories_of(args.config)
    else:
        policy = declared(args.config)
        if policy is None:
            fact = "does not exist; name registry files, or a configuration with --config"
            raise PolicyError([Problem(str(args.config), 0, 0, "", fact)])
        categories = policy.categories
        paths = [args.config.parent / name for name in policy.registry.files]
    asked = asked_of(args)
    readings: list[Reading] = []
    problems: list[Problem] = []
    count, more = 0, False
    for path in paths:
        try:
            readings.append(read_file(path, categories, asked))
        except PolicyError as error:
            problems += error.problems
            count, more = count + error.count, more or error.more
    if problems:
        raise PolicyError(problems, count, more=more)
    names = categories or sorted({n for r in readings for n in r.registry.categories})
    merged = merge([with_categories(reading.registry, names) for reading in readings])
    return merged, readings


def require_writable(output: Path, force: bool) -> None:
    """Before the work is done. Raises SystemExit with what to do instead."""
    if output != STDOUT and not force and os.path.lexists(output):
        _fail(output, "is there already; write to another file, or over it with --force")


def _fail(output: Path, why: str) -> NoReturn:
    print(f"enforcer: {output}: {why}", file=sys.stderr)
    raise SystemExit(EXIT_FAILED)


def write(output: Path, pieces: Iterable[bytes]) -> None:
    """The whole file or none of it; `-` is standard output. Raises SystemExit when it cannot."""
    from enforcer.disk import write_synced

    if output == STDOUT:
        sys.stdout.flush()
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    try:
        write_synced(output, pieces)
    except OSError as error:
        _fail(output, f"cannot be written: {error.strerror or error}; check the folder, its disk")


def say(output: Path, lines: Iterable[str]) -> None:
    """Text for people: on standard error where the file itself goes to standard output."""
    print("\n".join(lines), file=sys.stderr if output == STDOUT else sys.stdout)
