"""Where the lab tells what it does, while it runs and at its end.

In: reports and words. Out: text or JSON on `out`, and for JSON the progress on `err`. On a terminal
the table is drawn anew as each column is done; elsewhere a column is one line.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TextIO

from enforcer.lab import gateway, table, witness
from enforcer.lab.footprint import Footprint
from enforcer.lab.phases import PHASES, Report
from enforcer.lab.topology import Places

CLEAR_LINE, CLEAR_BELOW = "\r\x1b[2K", "\x1b[J"


@dataclass(slots=True)
class Screen:
    """`live` redraws in place and needs a terminal. `said` is what `kept` adds at the end."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    json: bool = False
    color: bool = False
    live: bool = False
    _drawn: int = 0
    _told: set[str] = field(default_factory=set)
    _last_words: str = ""

    def progress(self, words: str) -> None:
        """Something is under way: a passing line on a terminal, nothing elsewhere."""
        if self.live:
            self._progress.write(f"{CLEAR_LINE}{words} …")
            self._progress.flush()

    def show(self, report: Report) -> None:
        """A phase is done."""
        if self.live and not self.json:
            up = f"\x1b[{self._drawn}A" if self._drawn else ""
            drawing = table.table(report, self.color)
            self.out.write(f"\r{up}{CLEAR_BELOW}{drawing}")
            self.out.flush()
            self._drawn = drawing.count("\n")
            return
        for phase in PHASES:
            column = report.columns.get(phase.id)
            if column and phase.id not in self._told:
                self._told.add(phase.id)
                good = sum(cell.ok for cell in column.values())
                line = (
                    f"{report.seconds:5.1f} s  {phase.title}: {good} of {len(column)} as promised"
                )
                self._progress.write(f"{CLEAR_LINE if self.live else ''}{line}\n")
                self._progress.flush()

    def finish(self, report: Report) -> None:
        if self.json:
            self.progress("done")
            self.out.write(table.as_json(report))
        else:
            up = f"\r\x1b[{self._drawn}A{CLEAR_BELOW}" if self._drawn else ""
            self.out.write(f"{up}{'' if self._drawn else chr(10)}{table.text(report, self.color)}")
        self.out.flush()
        if self._last_words:
            self._progress.write(self._last_words)
            self._progress.flush()

    def failed(self, sentence: str) -> None:
        if self.live:
            self._progress.write(CLEAR_LINE)
        self.err.write(f"{sentence}\n")

    def kept(self, footprint: Footprint, places: Places) -> None:
        """Remembers how to go on with a lab that stays."""
        settings = " ".join(
            f"{key}={value}" for key, value in gateway.environment(footprint.directory).items()
        )
        config = footprint.directory / "etc" / "enforcer.yaml"
        host, port = witness.METRICS
        enforcer = f"{sys.executable} -m enforcer"
        into = f"ip netns exec {places.gateway.name}"
        lines = [
            "",
            "The lab stays.",
            f"  status   {into} env {settings} {enforcer} --config {config} status",
            f"  metrics  {into} curl -s http://{host}:{port}/metrics",
            f"  files    {footprint.directory}",
            *(
                f"  enter    ip netns exec {place.name} bash    # {place.role}"
                for place in places.all
            ),
            f"  remove   {enforcer} lab --clean",
        ]
        self._last_words = "\n".join(lines) + "\n"

    @property
    def _progress(self) -> TextIO:
        return self.err if self.json else self.out
