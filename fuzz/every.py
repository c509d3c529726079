"""All targets by name."""

from __future__ import annotations

from fuzz import captured, control, http, netlink, stored, targets
from fuzz.targets import Target

TARGETS: dict[str, Target] = {
    **targets.TARGETS,
    "kernel": netlink.kernel,
    "events": netlink.events,
    "control": control.control,
    "orders": control.orders,
    "http": http.http,
    "last-good": stored.last_good,
    "audit": stored.audit,
    "capture": captured.capture,
}
