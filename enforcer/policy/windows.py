"""A windows file → windows: one time form each, times as instants, measures that name what exists.

A document and the foundation come in; placed windows go out, and everything wrong goes to
`problems`. What concerns several windows or occurrences together is `schedule`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from enforcer.errors import Problem
from enforcer.policy import forms, limits
from enforcer.policy.documents import WindowSection
from enforcer.policy.icalevents import CalendarFiles
from enforcer.policy.model import Guard, Mark, Once, Recurring, Reserve, Window
from enforcer.policy.places import Document, Path
from enforcer.policy.sections import Foundation
from enforcer.policy.shape import Checked, check
from enforcer.policy.values import kind_of
from enforcer.policy.words import pick, shown
from enforcer.policy.zones import Zones


@dataclass(frozen=True, slots=True)
class Placed:
    """A window and where it stands, for problems that two windows have together."""

    window: Window
    document: Document
    path: Path

    @property
    def place(self) -> str:
        return self.document.place(self.path)

    def problem(self, message: str, *inner: str) -> Problem:
        return self.document.problem((*self.path, *inner), message)


def read_windows(
    document: Document,
    foundation: Foundation,
    zones: Zones,
    calendars: CalendarFiles,
    problems: list[Problem],
) -> Iterator[Placed]:
    """The windows of one file that are right in themselves."""
    entries = document.value
    if entries is None:
        return
    if not isinstance(entries, list):
        fact = f"{kind_of(entries)} where a list of windows belongs"
        problems.append(document.problem((), f"{fact}; begin each window with '- id:'"))
        return
    for index, entry in enumerate(entries):
        before = len(problems)
        path: Path = (index,)
        checked = check(WindowSection, document, path, entry, problems)
        if checked is None:
            continue
        time = forms.read_form(document, path, checked, set(entry), zones, calendars, problems)
        if checked.good("measures"):
            _check_measures(document, path, checked.section, foundation, problems)
            if time is not None:
                _check_guard_length(document, path, checked, time, problems)
        if len(problems) == before and time is not None:
            yield Placed(_window(document, path, checked.section, time), document, path)


def _window(document: Document, path: Path, section: WindowSection, time: forms.Timed) -> Window:
    measures = section.measures
    return Window(
        id=section.id,
        reason=section.reason,
        declared_by=section.declared_by,
        reference=section.reference,
        form=time.form,
        zone=time.zone,
        zone_name=time.zone_name,
        mark=Mark(measures.mark.fwmark, measures.mark.dscp) if measures.mark else None,
        reserve=Reserve(measures.reserve.link, measures.reserve.share)
        if measures.reserve
        else None,
        guard=Guard(measures.guard.estate) if measures.guard else None,
        lease=section.lease or "gateway",
        stage=section.stage,
        provisional=section.provisional,
        source=document.place(path),
    )


def _check_measures(
    document: Document,
    path: Path,
    section: WindowSection,
    foundation: Foundation,
    problems: list[Problem],
) -> None:
    measures = section.measures

    def refuse(message: str, *inner: str) -> None:
        problems.append(document.problem((*path, "measures", *inner), message))

    if measures.mark is None and measures.reserve is None and measures.guard is None:
        refuse("has no measure; write at least one of mark, reserve and guard")
    if measures.mark and measures.mark.fwmark is None and measures.mark.dscp is None:
        refuse("marks with nothing; give fwmark, dscp or both", "mark")
    if measures.reserve:
        share, link = measures.reserve.share, measures.reserve.link
        if share < limits.RESERVE_LEAST_SHARE:
            least = f"{limits.RESERVE_LEAST_SHARE * 100:g}%"
            refuse(f"{share * 100:g}% reserves nothing; write {least} to 80%", "reserve", "share")
        elif share > limits.RESERVE_SHARE:
            fact = f"{share * 100:g}% is over the {limits.RESERVE_SHARE * 100:g}% ceiling"
            rest = "the rest of a link keeps at least a fifth of it"
            refuse(f"{fact} of a share; {rest}: write 80% or less", "reserve", "share")
        if foundation.links is not None and link not in foundation.links:
            remedy = pick(link, foundation.links, "declare it under links in enforcer.yaml")
            refuse(f"no link is named {shown(link)}; {remedy}", "reserve", "link")
    if measures.guard and foundation.estates is not None:
        estate = measures.guard.estate
        if estate not in foundation.estates:
            remedy = pick(estate, foundation.estates, "declare it under estates in enforcer.yaml")
            refuse(f"no estate is named {shown(estate)}; {remedy}", "guard", "estate")
    if section.stage and measures.guard is None:
        fact = "stage counts what guard would hold back, and this window has no guard"
        problems.append(document.problem((*path, "stage"), f"{fact}; remove it"))


def _check_guard_length(
    document: Document,
    path: Path,
    checked: Checked[WindowSection],
    time: forms.Timed,
    problems: list[Problem],
) -> None:
    if checked.section.measures.guard is None:
        return
    match time.form:
        case Once(starts_at, ends_at):
            length = ends_at - starts_at
        case Recurring(duration=duration):
            length = duration
        case _:
            # A day of the Hijri form is under 24 h; events of a calendar are measured as instants.
            return
    if length > limits.GUARD_WINDOW:
        ceiling = f"{forms.hours(limits.GUARD_WINDOW)} ceiling of a guard window"
        message = f"{forms.hours(length)} is over the {ceiling}; shorten it or declare two"
        key = "end" if checked.section.end is not None else "duration"
        problems.append(document.problem((*path, key), message))
