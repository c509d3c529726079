"""What was measured once, judged: window edges, steady beats, the share, the metrics. Pure.

In: beats, spans, samples, classes. Out: a `Check` each, with the value in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from enforcer.lab.gateway import SHARE_PERCENT, Span
from enforcer.lab.heartbeat import Beat, Silence, silences
from enforcer.lab.phases import Check
from enforcer.lab.topology import UPLINK
from enforcer.lab.witness import Sample, ShaperClass
from enforcer.ruleset.vocabulary import REGISTERED_MINOR

# How far a measured edge may be from the declared one.
LATE_S, EARLY_S = 0.5, 0.1
# Silences with less than this between them are one.
JOINED_S = 0.3
RESERVED_RATE = "400Mbit"
# Measure → the verdicts that the lab's traffic must have raised while the window was open.
VERDICTS = {"guard": ("held_back", "let_in"), "mark": ("marked",), "reserve": ("reserved",)}


def edges(name: str, title: str, beats: list[Beat], declared: Sequence[Span]) -> list[Check]:
    """For beats that windows hold back: one silence a window, from its start to its end."""
    found = silences(beats, JOINED_S)
    if len(found) != len(declared):
        value = f"{len(found)} silences in {len(beats):,} beats, {len(declared)} windows"
        return [Check(f"edges-{name}", f"windows as {title}", value, False)]
    checks = []
    for span, silence in zip(declared, found, strict=True):
        if silence.until is None:
            value, ok = "never opened to it again", False
        else:
            late_s, after_s = silence.from_ - span.starts_at, silence.until - span.ends_at
            value = f"held back {_ms(late_s)} its start, let in {_ms(after_s)} its end"
            ok = all(-EARLY_S <= edge <= LATE_S for edge in (late_s, after_s))
        title_ = f"{span.window} as {title}"
        checks.append(Check(f"edges-{name}-{span.window}", title_, value, ok))
    return checks


def _ms(seconds: float) -> str:
    return f"{abs(seconds) * 1000:.0f} ms {'after' if seconds >= 0 else 'before'}"


def steady(name: str, title: str, beats: list[Beat], declared: Sequence[Span]) -> Check:
    """For beats that nothing may hold back, nor lose as a link's root qdisc is exchanged."""
    lost = sum(not beat.echoed for beat in beats)
    value = f"{lost:,} lost of {len(beats):,}"
    found = silences(beats)
    if found:
        at = ", ".join(
            f"{_near(silence.from_, declared)} for {_length(silence)}" for silence in found
        )
        value += f": {at}"
    return Check(f"steady-{name}", f"steady {title}, whole run", value, bool(beats) and not found)


def _edges(declared: Sequence[Span]) -> list[tuple[str, int]]:
    return [
        edge
        for span in declared
        for edge in (
            (f"the start of {span.window}", span.starts_at),
            (f"the end of {span.window}", span.ends_at),
        )
    ]


def _near(instant: float, declared: Sequence[Span]) -> str:
    name, edge = min(_edges(declared), key=lambda known: abs(instant - known[1]))
    return f"{abs(instant - edge):.2f} s {'after' if instant >= edge else 'before'} {name}"


def _length(silence: Silence) -> str:
    return "ever" if silence.until is None else f"{(silence.until - silence.from_) * 1000:.0f} ms"


def share(classes: dict[int, ShaperClass]) -> Check:
    reserved = classes.get(REGISTERED_MINOR)
    title = f"reserved on {UPLINK}, declared {SHARE_PERCENT}%"
    if reserved is None:
        return Check("share", title, f"no class :{REGISTERED_MINOR:x}", False)
    return Check("share", title, reserved.rate, reserved.rate == RESERVED_RATE)


def window_metrics(window: str, samples: Iterable[Sample]) -> list[Check]:
    """While the window is open: it is told as active, and each measure has counted."""
    samples = list(samples)
    active = [
        sample.value
        for sample in samples
        if sample.name == "enforcer_window_active" and sample.labels.get("window") == window
    ]
    checks = [
        Check(
            "metrics-active",
            f"metrics: {window} active while open",
            f"{active[0]:.0f}" if active else "no sample",
            active == [1.0],
        )
    ]
    for measure, verdicts in VERDICTS.items():
        for verdict in verdicts:
            packets = sum(
                sample.value
                for sample in samples
                if sample.name == "enforcer_packets_total"
                and sample.labels.get("window") == window
                and sample.labels.get("measure") == measure
                and sample.labels.get("verdict") == verdict
            )
            title = f"metrics: {measure} {verdict}"
            checks.append(
                Check(f"metrics-{measure}-{verdict}", title, f"{packets:,.0f} packets", packets > 0)
            )
    return checks


def shown_lines(window: str, page: str) -> tuple[str, ...]:
    """The lines of the metrics page about the window that are worth a look."""
    wanted = ("enforcer_window_active{", "enforcer_packets_total{")
    mine = f'window="{window}"'
    return tuple(
        line
        for line in page.splitlines()
        if line.startswith(wanted) and mine in line and not line.endswith(" 0.0")
    )
