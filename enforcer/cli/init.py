"""`enforcer init [DIR]`: a commented configuration that passes `enforcer check`, to begin from.

It asks nothing, guesses the uplinks from the default routes, and never overwrites a file.
"""

from __future__ import annotations

import argparse
import grp
import json
import os
import re
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path

from enforcer.cli.main import DEFAULT_CONFIG, EXIT_FAILED
from enforcer.cli.terminal import print_json

_GROUP = "enforcer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory",
        nargs="?",
        type=Path,
        default=DEFAULT_CONFIG.parent,
        metavar="DIR",
        help=f"where to (default {DEFAULT_CONFIG.parent})",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.uplinks import default_devices

    uplinks = default_devices()
    texts = documents(uplinks, _gateway_name(socket.gethostname()))
    paths = {args.directory / name: text for name, text in texts.items()}
    there = [str(path) for path in paths if os.path.lexists(path)]
    if there:
        return _failed(args, f"{', '.join(there)}: there already, and nothing is overwritten")
    try:
        for folder in (args.directory, args.directory / "windows.d"):
            make_folder(folder)
        for path, text in paths.items():
            _write_new(path, text)
    except OSError as error:
        return _failed(args, f"{error.filename}: {error.strerror}")
    config = args.directory / "enforcer.yaml"
    steps = next_steps(config, uplinks)
    if args.format == "json":
        written = [str(path) for path in paths]
        print_json({"error": None, "written": written, "uplinks": uplinks, "next": steps})
        return 0
    for path in paths:
        print(f"written: {path}")
    print("\nnext:")
    for number, step in enumerate(steps, 1):
        print(f"{number}. {step}")
    return 0


def documents(uplinks: Sequence[str], name: str) -> dict[str, str]:
    """File name → text: the examples, with this gateway's uplinks and name, and no window yet."""
    main = _example("enforcer.yaml")
    # In quotes: a device may be called what YAML would read as a number.
    quoted = [json.dumps(device) for device in uplinks]
    if quoted:
        main = _replaced(main, "  uplinks: [wan0]", f"  uplinks: [{', '.join(quoted)}]")
        main = _replaced(main, "  wan: {device: wan0, ", f"  wan: {{device: {quoted[0]}, ")
    main = _replaced(main, "  name: edge-1", f"  name: {json.dumps(name)}")
    return {
        "enforcer.yaml": main,
        "registry.csv": _example("registry.csv"),
        "windows.d/windows.yaml": _no_window(_example("windows.yaml")),
    }


def next_steps(config: Path, uplinks: Sequence[str]) -> list[str]:
    guessed = (
        f"uplinks are set to {', '.join(uplinks)}, from the default routes"
        if uplinks
        else "there is no default route: put your uplinks in place of wan0"
    )
    option = "" if config == DEFAULT_CONFIG else f" --config {config}"
    return [
        f"edit {config}: your estates, links and lifelines ({guessed})",
        f"put your registrations into {config.parent / 'registry.csv'}; those there are examples",
        f"enforcer{option} check",
        f"enforcer{option} doctor    # whether this machine can do it",
        "systemctl enable --now enforcer-clock.socket enforcer",
        f"declare a window: enforcer declare --help, or {config.parent / 'windows.d'}",
    ]


def _example(name: str) -> str:
    return (resources.files("enforcer.examples") / name).read_text(encoding="utf-8")


def _replaced(text: str, old: str, new: str) -> str:
    """With the spaces before a comment that keep it in its column."""
    pattern = rf"(?m)^{re.escape(old)}( *)"
    found = re.findall(pattern, text)
    assert len(found) == 1, f"the example no longer has {old!r}"
    room = len(old) + len(found[0])
    padded = f"{new}  ".ljust(room) if found[0] else new
    return re.sub(pattern, lambda _: padded, text)


def _no_window(examples: str) -> str:
    """The examples as comments: a window that nobody declared must not open."""
    lines = (line if line[:1] in ("", "#") else f"# {line}" for line in examples.splitlines())
    return "\n".join([*lines, ""])


def _gateway_name(host: str) -> str:
    name = host.partition(".")[0]
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", name, re.ASCII) else "edge-1"


def make_folder(folder: Path) -> None:
    """As the package makes it: for root and the daemon only. One that is there stays as it is."""
    try:
        folder.mkdir(parents=folder.name != "windows.d")
    except FileExistsError:
        return
    with suppress(KeyError, PermissionError):
        os.chown(folder, -1, grp.getgrnam(_GROUP).gr_gid)
        folder.chmod(0o750)


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        # Whatever the umask is, the daemon's user has to read it; the folder keeps others out.
        os.fchmod(descriptor, 0o644)
        file.write(text)


def _failed(args: argparse.Namespace, fact: str) -> int:
    remedy = "name another directory: enforcer init DIR"
    if args.format == "json":
        print_json({"error": f"{fact}; {remedy}", "written": []})
    else:
        print(f"enforcer: {fact}; {remedy}", file=sys.stderr)
    return EXIT_FAILED
