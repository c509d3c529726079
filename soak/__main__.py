"""`python -m soak`: breaks a gateway on purpose and counts every packet that is lost.

In: how often each fault is done. Out: a table, soak/results/DATE.md (long form, or `--write`), exit
1 when a packet was lost by us, registered or others' transit, or something did not go as it must.
Needs root, for the namespaces that it makes and takes away.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import fields
from pathlib import Path

from soak.faults import Plan
from soak.gateway import SoakError
from soak.report import markdown
from soak.run import ROOT, soak

RESULTS = ROOT / "soak" / "results"
SHORT = Plan(
    seed=1, kills=20, updates=20, million=0, million_flushes=0, reloads=5, edges=6, restarts=3,
    flushes=8, unseen=2, overruns=2, quiet_s=2.0, minutes=0.8,
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--short", action="store_true", help="the form that CI runs, about a minute"
    )
    parser.add_argument("--write", action="store_true", help="soak/results/DATE.md also if short")
    parser.add_argument("--seed", type=int, default=1, help="of everything drawn (default 1)")
    counted = [f.name for f in fields(Plan) if f.name != "seed"]
    for name in counted:
        kind = float if name in ("minutes", "quiet_s") else int
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("soak: network namespaces need root; run it as root", file=sys.stderr)
        return 1
    # So that a TERM, too, takes the namespaces away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    given = {name: getattr(args, name) for name in counted if getattr(args, name) is not None}
    base = SHORT if args.short else Plan(seed=args.seed)
    plan = Plan(
        **{f.name: getattr(base, f.name) for f in fields(Plan)} | given | {"seed": args.seed}
    )
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        result = soak(plan, say)
    except SoakError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    text = markdown(result)
    print(text)
    if args.write or not args.short:
        _write(result.machine["date"][:16].translate({ord(" "): "-", ord(":"): None}), text)
    return 0 if result.sound else 1


def _write(name: str, text: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    path: Path = RESULTS / f"{name}.md"
    path.write_text(text)
    print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
