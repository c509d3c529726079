"""The single fields that sections of the files are made of, and what all sections have in common.

Each takes what YAML gave (`values`, `times`, `prefix` parse it) and holds a value; its JSON schema
is for editors.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainValidator, WithJsonSchema

from enforcer.policy import times, values
from enforcer.policy.keys import PublicKey
from enforcer.policy.prefix import Prefix, Service, parse_prefix, parse_service


class Section(BaseModel):
    """A mapping of known keys."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True, defer_build=True
    )


def schema_of(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


def _prefix(value: Any) -> Prefix:
    return parse_prefix(values.text_of(value, "a prefix in quotes, like 192.0.2.0/24"))


def _service(value: Any) -> Service:
    return parse_service(values.text_of(value, "a service, like udp/51820 or esp"))


def _key(value: Any) -> PublicKey:
    return PublicKey.parse(values.text_of(value, "a public key of minisign"))


_ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_TIME_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?$"
_PERCENT_PATTERN = r"^\d{1,3}(\.\d+)? ?%$"

Sentence = Annotated[str, PlainValidator(values.sentence), WithJsonSchema({"type": "string"})]
Name = Annotated[str, PlainValidator(values.name), schema_of("^[a-z][a-z0-9-]{0,31}$", "core")]
Identifier = Annotated[str, PlainValidator(values.identifier), schema_of(_ID_PATTERN, "edge-1")]
WindowId = Annotated[
    str,
    PlainValidator(values.window_id),
    schema_of(_ID_PATTERN.replace(".", ""), "ddos-2026-12-01"),
]
Category = Annotated[
    str, PlainValidator(values.category), schema_of("^[a-z][a-z0-9-]{0,31}$", "freelancer")
]
Interface = Annotated[
    str, PlainValidator(values.interface), schema_of('^[^\\s/:"*]{1,15}$', "wan0")
]
PrefixText = Annotated[Prefix, PlainValidator(_prefix), schema_of("/[0-9]+$", "203.0.113.0/28")]
ServiceText = Annotated[Service, PlainValidator(_service), schema_of("^[a-z]+", "udp/51820", "esp")]
Duration = Annotated[
    timedelta, PlainValidator(times.duration), schema_of("^([0-9]+[dhms])+$", "4h")
]
Lease = Annotated[timedelta, PlainValidator(times.lease), schema_of("^([0-9]+[dhms])+$", "10m")]
Percent = Annotated[float, PlainValidator(values.percent), schema_of(_PERCENT_PATTERN, "40%")]
Rate = Annotated[int, PlainValidator(values.rate_bps), schema_of("^[0-9.]+ ?[kmgt]?bit$", "1gbit")]
Size = Annotated[int, PlainValidator(values.size_bytes), schema_of("^[0-9.]+ ?[KMG]i?B$", "256MB")]
ListenText = Annotated[
    values.Listen, PlainValidator(values.listen), schema_of(":[0-9]+$", "127.0.0.1:9435")
]
HostName = Annotated[
    str, PlainValidator(values.host_name), schema_of("^[A-Za-z0-9.-]{1,253}$", "gw1.isp.example")
]
Fwmark = Annotated[
    int,
    PlainValidator(values.fwmark),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 0xFFFFFFFF}),
]
Dscp = Annotated[
    int,
    PlainValidator(values.dscp),
    WithJsonSchema({"enum": [*sorted(values.DSCP), *range(64)]}),
]
Time = Annotated[
    times.Stamp, PlainValidator(times.stamp), schema_of(_TIME_PATTERN, "2026-12-01T08:00:00")
]
TimeOrDay = Annotated[
    times.Stamp, PlainValidator(times.stamp_or_day), WithJsonSchema({"type": "string"})
]
Clock = Annotated[
    int, PlainValidator(times.clock_minute), schema_of("^[0-9]{2}:[0-9]{2}$", "06:00")
]
Month = Annotated[
    int,
    PlainValidator(times.hijri_month),
    WithJsonSchema({"enum": [*times.MONTHS, *range(1, 13)]}),
]
Key = Annotated[PublicKey, PlainValidator(_key), WithJsonSchema({"type": "string"})]
