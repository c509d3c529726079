"""What `follow`, `publish`, `rollback` and `fleet` share: the file that says where the fleet is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.cli.main import EXIT_FAILED, usage_error
from enforcer.errors import PolicyError, Problem

if TYPE_CHECKING:
    from enforcer.fleet.settings import Settings
    from enforcer.fleet.store import Store

DEFAULT_FILE = Path("/etc/enforcer/gateway.yaml")
_NO_FLEET = (
    "it says where the fleet is, docs/fleet.md has one to copy; a gateway of no fleet has none and "
    "begins with: enforcer init"
)
_MOST_BYTES = 1024**2


def add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fleet",
        type=Path,
        default=DEFAULT_FILE,
        metavar="FILE",
        help=f"the file with the section fleet (default {DEFAULT_FILE})",
    )


def settings(path: Path, *, follows: bool = False) -> Settings:
    """Raises PolicyError."""
    from enforcer.fleet.settings import read_settings
    from enforcer.sources.reading import read_whole, refusal

    try:
        data = read_whole(path, _MOST_BYTES, guarded=follows)
    except (OSError, ValueError) as error:
        why = refusal(error, path, _NO_FLEET)
        raise PolicyError([Problem(str(path), 0, 0, "", why)]) from error
    return read_settings(str(path), data, follows=follows)


@contextmanager
def store(s: Settings) -> Iterator[Store]:
    """The fleet's store. Raises EtcdError."""
    from enforcer.fleet.etcd import Client
    from enforcer.fleet.store import Store

    client = Client(s.etcd)
    try:
        yield Store(client, s.fleet)
    finally:
        client.close()


def failed(error: Exception | str) -> int:
    """Says what is wrong; the exit code."""
    print(f"enforcer: {error}", file=sys.stderr)
    return EXIT_FAILED


def seconds(verb: str, option: str, text: str | None) -> float | None:
    """What an option like `--promote-after 30m` says; exits 64 when it says nothing."""
    from enforcer.policy.times import duration

    if text is None:
        return None
    try:
        length: timedelta = duration(text)
    except ValueError as error:
        usage_error(verb, f"{option} {text}: {error}")
    return length.total_seconds()
