"""`enforcer registry lint [FILE…]`: what can hardly be meant. Exit 1 on errors, 0 with warnings."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from enforcer.cli.main import EXIT_FAILED, usage_error
from enforcer.cli.progress import Progress
from enforcer.cli.registries import read_all, read_bytes
from enforcer.cli.registry_import import summary
from enforcer.cli.terminal import Painter, counted, print_json
from enforcer.errors import PolicyError

if TYPE_CHECKING:
    from enforcer.policy.registry import Registry
    from enforcer.registries.findings import Finding

_STYLES = {"error": "red", "warning": "yellow", "note": "dim"}


def run(args: argparse.Namespace) -> int:
    from enforcer.registries.findings import Finding, Place

    if args.origins is not None and args.vrp is None:
        usage_error("registry", "--origins needs --vrp")
    registry = None
    try:
        registry, _ = read_all(args)
        findings = _findings(args, registry)
    except PolicyError as error:
        places = tuple(
            Place(p.file, p.line, f"{p.path}: {p.message}" if p.path else p.message)
            for p in error.problems
        )
        findings = [Finding("refused", "error", error.count, places)]
    failed = any(finding.severity == "error" for finding in findings)
    if args.format == "json":
        print_json(view(findings, registry, failed))
    else:
        print("\n".join(text(findings, registry, Painter(args))))
    return EXIT_FAILED if failed else 0


def _findings(args: argparse.Namespace, registry: Registry) -> list[Finding]:
    from enforcer.clock import SystemClock
    from enforcer.registries.lint import CHECKS, lint
    from enforcer.registries.rpki import read_origins, read_payloads

    payloads, origins = None, {}
    bar = Progress(None)
    try:
        if args.vrp is not None:
            payloads = read_payloads(
                str(args.vrp),
                read_bytes(args.vrp),
                lambda rows: bar.update(rows, f"{args.vrp.name}: {rows:,} payloads read"),
            )
        if args.origins is not None:
            origins = read_origins(str(args.origins), read_bytes(args.origins))
    finally:
        bar.close()
    bar = Progress(CHECKS)
    try:
        return lint(
            registry,
            SystemClock().now().date(),
            most=args.most,
            laboratory=args.lab,
            payloads=payloads,
            origins=origins,
            progress=lambda done: bar.update(done, f"{done} of {CHECKS} checks"),
        )
    finally:
        bar.close()


def view(findings: list[Finding], registry: Registry | None, failed: bool) -> dict[str, Any]:
    return {
        "ok": not failed,
        "rows": None if registry is None else len(registry),
        "findings": [
            {
                "check": finding.check,
                "severity": finding.severity,
                "count": finding.count,
                "places": [
                    {"file": p.file, "line": p.line or None, "message": p.message}
                    for p in finding.places
                ],
            }
            for finding in findings
        ],
    }


def text(findings: list[Finding], registry: Registry | None, paint: Painter) -> list[str]:
    lines = []
    for finding in findings:
        for place in finding.places:
            line = f":{place.line}" if place.line else ""
            severity = paint(finding.severity, _STYLES[finding.severity])
            lines.append(f"{place.file}{line}: {severity}: {place.message} [{finding.check}]")
        rest = finding.count - len(finding.places)
        if rest > 0:
            lines.append(f"… and {rest:,} more of [{finding.check}]")
    totals = dict.fromkeys(_STYLES, 0)
    for finding in findings:
        totals[finding.severity] += finding.count
    found = ", ".join(counted(totals[severity], severity) for severity in _STYLES)
    what = f"{summary(registry)}: " if registry is not None else ""
    return [*lines, f"{what}{found}"]
