"""The shape of the files: pydantic models of `enforcer.yaml` and of a window.

Each field (`fields`) takes what YAML gave and holds a value. What concerns
several fields, files or windows is not here: `sections`, `windows` and `together` look at that.
Descriptions serve three readers: the JSON schema, the message for a missing key, and you.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from enforcer.policy.feed_sections import FeedSection
from enforcer.policy.fields import (
    Category,
    Clock,
    Dscp,
    Duration,
    Fwmark,
    HostName,
    Identifier,
    Interface,
    Lease,
    ListenText,
    Month,
    Name,
    Percent,
    PrefixText,
    Rate,
    Section,
    Sentence,
    ServiceText,
    Size,
    Time,
    TimeOrDay,
    WindowId,
)
from enforcer.policy.limits import SAMPLE_DEFAULT, SAMPLE_MOST


class GatewaySection(Section):
    name: Identifier = Field(description="the name of this gateway in status and audit")
    uplinks: list[Interface] = Field(
        min_length=1, max_length=64, description="the interfaces that face the rest of the Internet"
    )
    lease: Lease = Field(
        timedelta(minutes=10),
        description="how long armed windows stay armed once the daemon is gone",
    )
    require_synchronised_clock: bool = Field(
        True, description="arm no window while the clock is not synchronised"
    )
    on_stop: Literal["keep", "release"] = Field(
        "keep", description="what a clean stop does with an armed window"
    )


class RegistrySource(Section):
    file: Sentence | None = Field(
        None, description="a CSV file or a list of prefixes, beside this file"
    )
    feed: FeedSection | None = Field(
        None, description="where `enforcer fetch` gets it from; without file it is kept in its own"
    )

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if self.file is None and self.feed is None:
            raise ValueError("names neither file nor feed; write one of them")
        return self


class RegistrySection(Section):
    sources: list[RegistrySource] = Field(
        min_length=1, max_length=256, description="where the registrations come from"
    )
    shrink_limit: Percent = Field(
        0.2,
        description="refuse an update that removes more than this share of a category, or takes "
        "services from so much of it",
    )
    kernel_memory: Size = Field(
        256 * 1024**2, description="how much kernel memory the registered sets may take"
    )


class EstateSection(Section):
    prefixes: list[PrefixText] = Field(
        min_length=1, description="the addresses of the operator's own VPN servers"
    )
    services: list[ServiceText] = Field(
        min_length=1, description="the services those servers offer, like udp/51820"
    )


class LinkSection(Section):
    device: Interface = Field(description="the interface that the link leaves by")
    rate: Rate = Field(description="the rate of the link, like 1gbit")


class TlsSection(Section):
    certificate: Sentence = Field(description="the PEM file of the certificate and its chain")
    key: Sentence = Field(description="the PEM file of its private key, without passphrase")
    client_ca: Sentence | None = Field(
        None, description="answer only clients with a certificate signed by this PEM file"
    )


class MetricsSection(Section):
    listen: ListenText = Field(description="the address and port of /metrics and the status page")
    tls: TlsSection | None = Field(None, description="speak TLS, with these files")
    names: list[HostName] = Field(
        [], max_length=16, description="host names, beside this machine's own, that it is asked by"
    )


class ObserveSection(Section):
    sample: Annotated[int, Field(ge=0, le=SAMPLE_MOST)] = Field(
        SAMPLE_DEFAULT,
        description="how many packets a second of each kind have their headers checked and counted "
        "while a window is armed, 0 for none",
    )


class MainSection(Section):
    """`enforcer.yaml`."""

    version: Literal[1] = Field(description="the version of this file's form, 1")
    gateway: GatewaySection = Field(description="the name and uplinks of this gateway")
    categories: list[Category] = Field(
        min_length=1, max_length=256, description="the categories that registrations may have"
    )
    registry: RegistrySection = Field(description="where the registrations come from")
    lifelines: list[PrefixText] = Field([], description="sources that every guard lets in")
    estates: dict[Name, EstateSection] = Field(
        {}, description="the operator's own servers that guard may protect"
    )
    links: dict[Name, LinkSection] = Field({}, description="the links that reserve may share out")
    metrics: MetricsSection | None = Field(None, description="where Prometheus scrapes")
    observe: ObserveSection | None = Field(None, description="how much the daemon looks at traffic")


class MarkSection(Section):
    fwmark: Fwmark | None = Field(None, description="the packet mark, like 0x51")
    dscp: Dscp | None = Field(None, description="the DSCP, by name or number")


class ReserveSection(Section):
    link: Name = Field(description="the link to reserve a share of")
    share: Percent = Field(description="the share guaranteed to registered traffic, at most 80%")


class GuardSection(Section):
    estate: Name = Field(description="the estate to guard")


class MeasuresSection(Section):
    mark: MarkSection | None = Field(None, description="tag registered traffic")
    reserve: ReserveSection | None = Field(
        None, description="guarantee registered traffic a share of a link"
    )
    guard: GuardSection | None = Field(
        None, description="let new flows into an estate only from registered sources and lifelines"
    )


class HijriSection(Section):
    month: Month = Field(description="the month of the Hijri year, by name or number")
    day: Annotated[int, Field(ge=1, le=30)] = Field(description="the first day, 1 to 30")
    days: Annotated[int, Field(ge=1, le=30)] = Field(1, description="how many days, 1 to 30")


class WindowSection(Section):
    """A window of `windows.d/*.yaml`."""

    id: WindowId = Field(description="a name of its own for the window, like ddos-2026-12-01")
    reason: Sentence = Field(description="why the window is needed, for the public record")
    declared_by: Sentence = Field(description="who declares it, for the public record")
    reference: Sentence = Field(description="the ticket or order it rests on")
    measures: MeasuresSection = Field(description="what it does: mark, reserve, guard")
    start: Time | None = Field(None, description="when it begins")
    end: Time | None = Field(None, description="when it ends")
    duration: Duration | None = Field(None, description="how long it lasts, like 4h")
    timezone: Sentence | None = Field(None, description="an IANA zone, like Asia/Karachi")
    fold: Annotated[int, Field(ge=0, le=1)] | None = Field(
        None,
        description="how a time is read that comes twice or never when clocks change: 0 by the "
        "clock before the change, 1 by the one after",
    )
    rrule: Sentence | None = Field(None, description="a recurrence of RFC 5545")
    except_: list[TimeOrDay] | None = Field(
        None, alias="except", description="occurrences of the rrule that are left out"
    )
    hijri: HijriSection | None = Field(None, description="days of the Hijri calendar")
    from_: Clock | None = Field(None, alias="from", description="the time of day it begins")
    to: Clock | None = Field(None, description="the time of day it ends")
    sighting: dict[int, Annotated[int, Field(ge=-2, le=2)]] | None = Field(
        None, description="for a Hijri year, by how many days the month began later"
    )
    calendar: Sentence | None = Field(None, description="an iCalendar file, beside this file")
    match: Sentence | None = Field(None, description="take only events whose summary holds this")
    lease: Literal["until-end"] | None = Field(
        None, description="until-end: stay armed to the end even when the daemon is gone"
    )
    stage: bool = Field(False, description="count what guard would hold back, hold back nothing")
    provisional: bool = Field(False, description="not armed until an operator confirms it")


_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(document: Literal["enforcer", "windows"]) -> dict[str, Any]:
    """The JSON schema of `enforcer.yaml`, or of a file of `windows.d`, for editors."""
    kind: Any = MainSection if document == "enforcer" else list[WindowSection]
    schema = _without_null(TypeAdapter(kind).json_schema())
    return {"$schema": _DIALECT, **schema, "title": document}


def _without_null(schema: Any) -> Any:
    """A key may be left out, but never hold null: take the `X or null` of the models apart.

    Defaults that are values of the program, not text of the file (a timedelta), go as well.
    """
    if isinstance(schema, list):
        return [_without_null(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    options = schema.get("anyOf", [])
    if {"type": "null"} in options:
        rest = {k: v for k, v in schema.items() if k not in {"anyOf", "default"}}
        return _without_null({**options[0], **rest})
    return {
        key: _without_null(value)
        for key, value in schema.items()
        if key != "default" or isinstance(value, bool) or value in schema.get("enum", [])
    }
