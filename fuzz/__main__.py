"""Fuzzes each target for a while and prints what was done: `python -m fuzz --seconds 60 [TARGET…]`.

An input that takes over `TIMEOUT_S`, or a process over `MEMORY_MB`, is a finding like an uncaught
exception is. What is found is minimised and kept under `.fuzz/found/TARGET`; moved to
`fuzz/crashes/TARGET`, it is a regression test. The corpus grows from run to run in `.fuzz/corpus`.
Exit code 0: nothing was found; 1: something was.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.every import TARGETS
from fuzz.seeds import ROOT, seeds

TIMEOUT_S = 10
MEMORY_MB = 1024
LONGEST_INPUT = 8192
_MINIMISE_S = 60


@dataclass(frozen=True, slots=True)
class Ran:
    """What a fuzzer did with a target. `found` are files of minimised inputs."""

    target: str
    executions: int
    seconds: int
    edges: int
    peak_mb: int
    found: tuple[Path, ...]

    def __str__(self) -> str:
        told = ", ".join(str(path) for path in self.found) or "nothing"
        return (
            f"{self.target:<10} {self.executions:>10,} {self.seconds:>6} s {self.edges:>7,} "
            f"{self.peak_mb:>5} MB  {told}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--state", type=Path, default=ROOT / ".fuzz", help="corpus and findings")
    given = parser.parse_args(arguments)
    if unknown := set(given.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    print(f"{'target':<10} {'executions':>10} {'time':>8} {'edges':>7} {'memory':>8}  found")
    ran = []
    for target in given.targets or TARGETS:
        ran.append(fuzz(target, given.seconds, given.state))
        print(ran[-1], flush=True)
    return int(any(one.found for one in ran))


def fuzz(target: str, seconds: int, state: Path) -> Ran:
    """Raises RuntimeError when the fuzzer did not run at all."""
    corpus, found = state / "corpus" / target, state / "found" / target
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    before = set(found.iterdir())
    done = _run(target, f"-max_total_time={seconds}", f"-artifact_prefix={found}/", str(corpus))
    counts = {key: int(number) for key, number in re.findall(r"stat::(\w+): +(\d+)", done.stderr)}
    edges = [int(number) for number in re.findall(r"cov: (\d+)", done.stderr)]
    crashed = sorted(set(found.iterdir()) - before)
    if "number_of_executed_units" not in counts and not crashed:
        raise RuntimeError(f"the fuzzer of {target} ended with {done.returncode}:\n{done.stderr}")
    if crashed:
        (found / "log.txt").write_text(done.stdout + done.stderr)
    return Ran(
        target,
        counts.get("number_of_executed_units", 0),
        seconds,
        max(edges, default=0),
        counts.get("peak_rss_mb", 0),
        tuple(_minimised(target, path) for path in crashed),
    )


def _minimised(target: str, crash: Path) -> Path:
    """The smallest input found that still breaks the target; the given one when none is."""
    small = crash.with_name(f"{crash.name}.small")
    _run(
        target,
        "-minimize_crash=1",
        f"-max_total_time={_MINIMISE_S}",
        f"-exact_artifact_path={small}",
        str(crash),
    )
    return small if small.exists() else crash


def _run(target: str, *flags: str) -> subprocess.CompletedProcess[str]:
    limits = (
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={LONGEST_INPUT}",
        "-print_final_stats=1",
        "-verbosity=1",
    )
    command = [sys.executable, "-m", "fuzz.one", target, *limits, *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
