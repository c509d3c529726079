"""`python -m benchmarks`: measures, prints the tables, writes them to benchmarks/results/.

In: the command line. Out: a `.md` and a `.json` of the run, with every goal and whether it is met;
exit 1 when something could not be measured. Needs root, for the namespaces that it makes and takes
away. Two runs at a time would measure each other.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import (
    changes,
    cores,
    loading,
    lookups,
    machine,
    packets,
    punctual,
    repair,
    replaying,
    running,
)
from benchmarks.figures import Figure
from benchmarks.plan import FULL, QUICK, Extent
from benchmarks.report import Report, from_json, markdown, readme_section, to_json, with_section

Part = Callable[[Extent, Callable[[str], None]], Iterator[Figure]]
PARTS: dict[str, Part] = {
    "mark": lambda extent, said: packets.measure(extent, ("mark",), said),
    "guard": lambda extent, said: packets.measure(extent, ("guard",), said),
    "outside": running.measure_outside,
    "load": loading.measure,
    "row": changes.measure_rows,
    "windows": changes.measure_windows,
    "punctual": punctual.measure,
    "repair": repair.measure,
    "daemon": running.measure_daemon,
    "lookup": lookups.measure,
    "replay": replaying.measure,
}
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
PARTIAL = "partial"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures enforcer.")
    parser.add_argument("--quick", action="store_true", help="20 k only, a few rounds")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="NAME",
                        help=f"one part (repeatable): {', '.join(PARTS)}")  # fmt: skip
    parser.add_argument("--readme", action="store_true",
                        help="newest full results into README.md; measures nothing")  # fmt: skip
    args = parser.parse_args()
    if args.readme:
        return _write_readme()
    if os.geteuid() != 0:
        print("benchmarks: network namespaces need root; run it as root", file=sys.stderr)
        return 1
    # So that a TERM, too, takes the namespaces away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cores.settle()
    report = _measure(args.only or list(PARTS), QUICK if args.quick else FULL)
    text = markdown(report)
    print(text)
    whole = not args.quick and not args.only
    name = report.machine["date"][:16].translate({ord(" "): "-", ord(":"): None})
    _write(name if whole else PARTIAL, text, to_json(report))
    return _exit_code(report)


def _measure(names: list[str], extent: Extent) -> Report:
    facts = machine.facts()
    begun = time.monotonic()

    def said(text: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {text}", file=sys.stderr, flush=True)

    figures: list[Figure] = []
    failures: list[str] = []
    for name in names:
        try:
            figures += PARTS[name](extent, said)
        except Exception as error:  # the other parts are worth having all the same
            said(f"{name}: {type(error).__name__}: {error}")
            failures.append(f"{name}: {type(error).__name__}: {error}")
    facts["took"] = f"{time.monotonic() - begun:.0f} s"
    return Report(facts, tuple(figures), tuple(failures))


def _write(name: str, text: str, document: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    (RESULTS / f"{name}.json").write_text(document)
    print(f"written: {(RESULTS / name).relative_to(ROOT)}.md and .json")


def _exit_code(report: Report) -> int:
    """A goal that is missed is a finding, told in the table; a part that failed is an error."""
    return 1 if report.failures else 0


def _write_readme() -> int:
    found = sorted(path for path in RESULTS.glob("*.json") if path.stem != PARTIAL)
    if not found:
        print("benchmarks: no full results there; run make bench first", file=sys.stderr)
        return 1
    section = readme_section(from_json(found[-1].read_text()))
    README.write_text(with_section(README.read_text(), section))
    print(f"README.md: performance of {found[-1].stem}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
