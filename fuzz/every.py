"""All targets by name."""

from __future__ import annotations

from fuzz import captured, control, feeding, fleet, http, netlink, registries, stored, targets
from fuzz.targets import Target

TARGETS: dict[str, Target] = {
    **targets.TARGETS,
    "kernel": netlink.kernel,
    "events": netlink.events,
    "control": control.control,
    "orders": control.orders,
    "http": http.http,
    "feed": feeding.feed,
    "last-good": stored.last_good,
    "audit": stored.audit,
    "capture": captured.capture,
    "manifest": fleet.manifest,
    "chunks": fleet.chunks,
    "etcd": fleet.etcd,
    "report": fleet.report,
    "composed": fleet.composed,
    "gateway": fleet.gateway_file,
    "delegated": registries.delegated,
    "plain": registries.plain,
    "json": registries.json_rows,
    "xlsx": registries.archive,
    "sheet": registries.sheet,
    "vrp": registries.payloads,
}
