"""`enforcer status`: what the daemon says of itself; without one, what the kernel still holds."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import Painter, print_json, table
from enforcer.errors import KernelError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import run_dir
    from enforcer.control import NoDaemonError, ask

    try:
        answer = ask(run_dir(), "status")
    except NoDaemonError as error:
        return _without_daemon(args, str(error))
    if args.format == "json":
        print_json(answer)
    else:
        print("\n".join(_text(answer, Painter(args))))
    return 0


def _without_daemon(args: argparse.Namespace, reason: str) -> int:
    from enforcer.kernel.nft import NftKernel

    try:
        sets = NftKernel().read().sets
        armed = sorted(
            name.removeprefix("armed.")
            for name, s in sets.items()
            if s.kind == "armed" and s.elements
        )
        kernel = ", ".join(armed) or "nothing"
    except KernelError as error:
        armed, kernel = [], f"unknown ({error})"
    if args.format == "json":
        print_json({"error": reason, "armed": armed})
    else:
        print(f"{reason}; start it: systemctl start enforcer", file=sys.stderr)
        print(f"armed in the kernel: {kernel}", file=sys.stderr)
    return EXIT_FAILED


def _text(s: dict[str, Any], paint: Painter) -> list[str]:
    config = s["config"]
    lines = [
        f"gateway     {s['gateway']}, enforcer {s['version']}",
        "armed       " + (paint(", ".join(s["armed"]), "green") if s["armed"] else "nothing"),
        f"prefixes    {s['prefixes']['ipv4']:,} IPv4, {s['prefixes']['ipv6']:,} IPv6",
        f"loaded      {config['loaded_at']}",
        "clock       " + ("synchronised" if s["clock"]["synchronised"] else "not synchronised"),
        f"drift       repaired {s['drift_repairs']} times",
    ]
    if s["waiting_for_clock"]:
        waiting = ", ".join(s["waiting_for_clock"])
        lines.append(paint(f"waiting     {waiting}: not armed until the clock is right", "yellow"))
    if s["missing_devices"]:
        missing = ", ".join(s["missing_devices"])
        lines.append(paint(f"missing     {missing}: armed again when back", "yellow"))
    if not config["ok"]:
        lines += [
            paint("reload      refused, the old configuration stays:", "red"),
            config["error"],
        ]
    if s["problem"]:
        lines.append(paint(f"problem     {s['problem']}", "red"))
    if s["windows"]:
        rows = [
            (w["id"], w["state"], w["starts_at"], w["ends_at"], ", ".join(w["measures"]))
            for w in s["windows"]
        ]
        lines += ["", *table(rows, ("window", "state", "opens", "closes", "measures"))]
    return lines
