"""The main job from beginning to end: build, run the daemon, send, watch, judge, clean up.

In: the registry's size, whether to keep, and a screen. Out: a Report. Whatever happens (a failure,
Ctrl-C, SIGTERM), the footprint is removed, unless the lab is to be kept and ran to its end.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from enforcer.lab import checks, gateway, topology, witness
from enforcer.lab.footprint import Footprint
from enforcer.lab.gateway import Daemon, Span
from enforcer.lab.machine import LabError, require, wall
from enforcer.lab.phases import PHASES, Cells, Check, Count, Phase, Report, judge
from enforcer.lab.registry import generate
from enforcer.lab.screen import Screen
from enforcer.lab.topology import REGISTERED, UPLINK, Places
from enforcer.lab.traffic import Hearts, Traffic, hearts, start_servers, start_tunnels, traffic
from enforcer.ruleset.vocabulary import REGISTERED_MINOR

SEED = 2
BEFORE, DURING, AFTER, KILLED, PAST = PHASES
# After an edge, until a phase's traffic begins: what an edge may be late by, and a little.
SETTLE_S = checks.LATE_S + 0.1
EDGE_S = 2.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def on_the_machine(keep: bool = False) -> Iterator[Footprint]:
    """A footprint that is removed on the way out. The first signal raises KeyboardInterrupt here;
    later ones are ignored, so that nothing interrupts the cleaning up."""

    def ignore() -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def stop(number: int, frame: FrameType | None) -> None:
        ignore()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        footprint = Footprint.begin()
        try:
            yield footprint
            footprint.kept = keep
        finally:
            ignore()
            if footprint.kept:
                footprint.save()
            else:
                footprint.remove()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class Stage:
    """What a run holds, and what it has found so far."""

    places: Places
    traffic: Traffic
    capture: witness.Capture
    screen: Screen
    began: float
    columns: dict[str, Cells] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    metrics: tuple[str, ...] = ()

    def report(self) -> Report:
        return Report(
            dict(self.columns), tuple(self.checks), self.metrics, time.monotonic() - self.began
        )

    def play(self, phase: Phase, until: float | None = None) -> None:
        """One round in the phase; it must be over at `until`, or it measured something else."""
        self.screen.progress(f"{phase.title}: sending")
        self.columns[phase.id] = judge(phase, measure(self.places, self.traffic, self.capture))
        if until is not None:
            late_s = wall() - until
            if late_s > 0:
                self.checks.append(
                    Check(
                        f"in-time-{phase.id}",
                        f"{phase.title}: traffic within the phase",
                        f"{late_s:.1f} s too long; this machine is too busy, run it again",
                        False,
                    )
                )
        self.screen.show(self.report())

    def wait(self, instant: float, what: str) -> None:
        while (left_s := instant - wall()) > 0:
            self.screen.progress(f"{what} in {left_s:.0f} s")
            time.sleep(min(left_s, 0.5))


def measure(places: Places, sending: Traffic, capture: witness.Capture) -> dict[str, Count]:
    """One round of traffic, with what was watched meanwhile. Keys are the ids of `phases.ROWS`."""
    reserved, seen = _reserved_packets(places), capture.seen()
    counts = sending.round()
    more, reserved_now = capture.seen() - seen, _reserved_packets(places)
    return counts | {
        "cs5-registered": Count(more.registered_cs5, more.registered),
        "cs5-others": Count(more.others_cs5, more.others),
        "reserved-packets": Count(max(0, reserved_now - reserved)),
        "hooked-chains": Count(witness.hooked_chains(places.gateway)),
    }


def _reserved_packets(places: Places) -> int:
    found = witness.shaper(places.gateway, UPLINK).get(REGISTERED_MINOR)
    return found.packets if found else 0


def lab(registry_size: int, keep: bool, screen: Screen) -> Report:
    """The whole run. Raises LabError when it cannot be carried out."""
    require()
    began = time.monotonic()
    with on_the_machine(keep) as footprint:
        screen.progress("building namespaces, servers and tunnels")
        registry = gateway.registry_text(generate(registry_size, SEED))
        places = topology.build(footprint)
        start_servers(footprint, places, sys.executable)
        tunnels = start_tunnels(footprint, places)
        with (
            hearts(places) as beating,
            traffic(places, tunnels) as sending,
            witness.Capture(places.estate, "eth0", (REGISTERED.ipv4, REGISTERED.ipv6)) as capture,
        ):
            stage = Stage(places, sending, capture, screen, began)
            declared = gateway.spans(wall(), registry_size)
            config = gateway.write_files(footprint.directory, registry, declared)
            daemon = gateway.start(footprint, places.gateway, sys.executable, config)
            _phases(stage, daemon, declared, beating)
        _judge_beats(stage, beating, declared)
        if keep:
            daemon = gateway.start(footprint, places.gateway, sys.executable, config)
            daemon.wait_ready(gateway.LEAD_S)
            screen.kept(footprint, places)
        return stage.report()


def _phases(stage: Stage, daemon: Daemon, declared: tuple[Span, Span], beating: Hearts) -> None:
    first, second = declared
    stage.screen.progress("starting the daemon")
    ready_s = daemon.wait_ready(first.starts_at - wall() - 2)
    stage.checks.append(Check("ready", "daemon ready", f"after {ready_s:.1f} s", True))

    stage.play(BEFORE, first.starts_at)
    daemon.require_running()

    stage.wait(first.starts_at + SETTLE_S, f"{first.window} opens")
    _wait_for(beating, silent=True, since=first.starts_at)
    stage.play(DURING, first.ends_at)
    daemon.require_running()
    stage.checks.append(checks.share(witness.shaper(stage.places.gateway, UPLINK)))
    page = _metrics(stage.places)
    stage.metrics = checks.shown_lines(first.window, page)
    stage.checks += checks.window_metrics(first.window, witness.samples(page))

    stage.wait(first.ends_at + SETTLE_S, f"{first.window} ends")
    _wait_for(beating, silent=False, since=first.ends_at)
    stage.play(AFTER, second.starts_at)
    daemon.require_running()

    stage.wait(second.starts_at + SETTLE_S, f"{second.window} opens")
    _wait_for(beating, silent=True, since=second.starts_at)
    daemon.require_running()
    daemon.kill()
    stage.screen.progress("the daemon is killed")
    stage.play(KILLED, second.ends_at)

    stage.wait(second.ends_at + SETTLE_S, f"{second.window} ends without the daemon")
    _wait_for(beating, silent=False, since=second.ends_at)
    stage.play(PAST)


def _metrics(places: Places) -> str:
    try:
        return witness.metrics(places.gateway)
    except OSError:
        return ""


def _wait_for(beating: Hearts, silent: bool, since: float) -> None:
    """Until unregistered beats are held back, or let in again. Bounded: what never comes shows in
    the table and in the edges; traffic is not sent over an edge that comes late."""
    deadline = time.monotonic() + EDGE_S
    while time.monotonic() < deadline and not all(
        heart.silent_at(wall()) if silent else heart.heard_since(since)
        for heart in beating.unregistered.values()
    ):
        time.sleep(0.05)


def _judge_beats(stage: Stage, beating: Hearts, declared: tuple[Span, Span]) -> None:
    for family, heart in beating.unregistered.items():
        title = f"unregistered IPv{family} sees it"
        stage.checks += checks.edges(f"ipv{family}", title, heart.beats(), declared)
    stage.checks += [
        checks.steady("registered", "registered traffic", beating.registered.beats(), declared),
        checks.steady("transit", "transit traffic", beating.transit.beats(), declared),
    ]


def run_lab(registry_size: int, keep: bool, screen: Screen) -> int:
    """The exit code: 0 when all is what the promises say, 1 when not or when it cannot be run."""
    try:
        report = lab(registry_size, keep, screen)
    except LabError as failure:
        screen.failed(str(failure))
        return 1
    except KeyboardInterrupt:
        screen.failed("lab: stopped; everything of it is removed")
        return 1
    screen.finish(report)
    return 0 if report.ok else 1
