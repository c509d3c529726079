"""A window as the record tells it: plain values, in the operator's own names only.

Windows and occurrences come in, mappings of text, numbers and lists go out. Pure.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from enforcer.observe.views import utc_text
from enforcer.policy.model import Activation, Once, Window

ARMED_FACTS = (
    "starts_at",
    "ends_at",
    "measures",
    "estate",
    "link",
    "stage",
    "lease",
    "reason",
    "declared_by",
    "timezone",
)


def armed_facts(a: Activation) -> dict[str, Any]:
    """What an armed occurrence is, in the operator's own names: the keys of ARMED_FACTS."""
    facts = {**declared_facts(a.window), "starts_at": a.starts_at, "ends_at": a.ends_at}
    return {key: _plain(facts[key]) for key in ARMED_FACTS}


def declared_facts(window: Window) -> dict[str, Any]:
    """What a window declares, as plain values; the times where it names them as instants."""
    form = window.form
    times = {"starts_at": form.starts_at, "ends_at": form.ends_at} if isinstance(form, Once) else {}
    facts: dict[str, Any] = {
        **times,
        "form": type(form).__name__.lower(),
        "measures": window.measure_names,
        "estate": window.guard.estate if window.guard else None,
        "link": window.reserve.link if window.reserve else None,
        "stage": window.stage,
        "provisional": window.provisional,
        "lease": window.lease,
        "reason": window.reason,
        "declared_by": window.declared_by,
        "timezone": window.zone_name,
    }
    return {key: _plain(value) for key, value in facts.items()}


def declaration_of(window: Window) -> str:
    """A digest of all that a window declares, wherever it stands (16 hexadecimal digits)."""
    text = json.dumps(_plain(window), sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return utc_text(value) if value.tzinfo else value.isoformat()
        case tuple() | list():
            return [_plain(one) for one in value]
        case frozenset():
            return sorted(map(str, map(_plain, value)))
        case None | bool() | int() | float() | str():
            return value
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.compare}
    return str(value)
