"""All targets by name."""

from __future__ import annotations

from fuzz import control, netlink, targets
from fuzz.targets import Target

TARGETS: dict[str, Target] = {
    **targets.TARGETS,
    "kernel": netlink.kernel,
    "events": netlink.events,
    "control": control.control,
    "orders": control.orders,
}
