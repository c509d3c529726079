"""`explain`: which registrations cover an address, what each window does with a flow of it, and
whether the kernel holds the same. The command and the status port give this one answer.

In: a question, and what is declared and loaded. Out: values. It asks the kernel a few things, over
a socket of its own, and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from enforcer.absent import unguarded
from enforcer.errors import KernelError
from enforcer.held import EndHeld, Held, armed_differences, end_held, read_held
from enforcer.kernel import nft
from enforcer.lookup.covering import covering
from enforcer.lookup.tables import Tables
from enforcer.observe.snapshot import Snapshot
from enforcer.policy.model import Activation, Policy
from enforcer.policy.prefix import Prefix, format_address
from enforcer.policy.registry import Registration, Registry
from enforcer.ruleset.question import Explained, Question
from enforcer.ruleset.transaction import Kernel
from enforcer.ruleset.verdict import Flow, terms_of, verdict
from enforcer.schedule.agenda import armed_at
from enforcer.schedule.orders import Orders

# While a change is being committed, the kernel is ahead of what the daemon shows: look again.
_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Declared:
    """`tables` are the registry of today, as it should be in the kernel. `due` is asked where the
    kernel cannot be: which windows are on by the schedule, and not in force. `in_force`: whether
    all this is (None: not known), and `remark` what is to be said of that.
    """

    policy: Policy
    orders: Orders
    registry: Registry
    tables: Tables
    due: Callable[[], Collection[str]] = tuple
    in_force: bool | None = True
    remark: str | None = None


def explain(question: Question, declared: Declared, now: datetime) -> Explained:
    """What is asked of now is judged by the windows in force, another instant by the schedule. The
    kernel is asked about now, whatever the instant.
    """
    try:
        kernel = nft.NftKernel()
    except KernelError as error:
        return _explained(question, declared, now, None, Held(None, str(error)))
    try:
        return _explained(question, declared, now, kernel, read_held(kernel))
    finally:
        kernel.close()


def _explained(
    question: Question, declared: Declared, now: datetime, kernel: Kernel | None, held: Held
) -> Explained:
    at = question.at or now
    policy, registry = declared.policy, declared.registry
    source, to = question.address, question.to
    on = armed_at(policy, declared.orders, now)
    due = _due(on, held, declared)
    windows = (
        tuple(a for a in on if a.id not in due)
        if at == now
        else armed_at(policy, declared.orders, at)
    )
    differences = armed_differences(held, [a.id for a in on])
    rows = _covering(registry, source, at.date())
    to_rows = _covering(registry, to, at.date()) if to else []
    # A state that cannot be read tells of no device.
    on_now = [a.id for a in windows]
    note = unguarded(policy, held.state.devices, on_now) if held.state else None
    flow = Flow(
        (source.family, source.network),
        (to.family, to.network) if to else None,
        question.service,
    )
    uplink = note is None or at != now
    found = verdict(policy, windows, flow, terms_of(rows), terms_of(to_rows), uplink=uplink)
    answer = {
        "address": _text_of(source),
        "to": _text_of(to) if to else None,
        "service": str(question.service) if question.service else None,
        "at": f"{at:%Y-%m-%dT%H:%M:%S}Z",
        "registrations": [_view(row) for row in rows],
        "to_registrations": [_view(row) for row in to_rows],
        "windows": list(found.windows),
        "due": [a.id for a in on if a.id in due] if at == now else [],
        "verdict": found.name,
        "partly": found.partly,
        "steps": list(found.steps),
        "notes": [note] if note else [],
        "in_force": declared.in_force,
        "remark": declared.remark,
        **kernel_view(kernel, held, declared.tables, source, to, differences),
    }
    return Explained(answer, windows, at)


def _due(on: Sequence[Activation], held: Held, declared: Declared) -> Collection[str]:
    """Which of the windows that are on by the schedule are not in force. Where nothing of ours is
    loaded, the schedule is all there is to tell of.
    """
    if held.ours:
        return {a.id for a in on} - set(held.armed)
    return declared.due() if on and held.state is None else ()


class Explainer:
    """Answers out of what the daemon has in force, in whatever thread asks. It takes no lock and
    never waits for the daemon.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        orders: Callable[[], Orders],
        now: Callable[[], datetime],
    ) -> None:
        self._snapshot, self._orders, self._now = snapshot, orders, now

    def __call__(self, question: Question) -> Explained | None:
        """None while the daemon is starting."""
        first = self._explain(question)
        if first is None or first.answer["agrees"]:
            return first
        time.sleep(_AGAIN_S)
        return self._explain(question)

    def _explain(self, question: Question) -> Explained | None:
        seen = self._snapshot()
        if seen is None or seen.registry is None or seen.tables is None:
            return None
        declared = Declared(
            seen.policy, self._orders(), seen.registry, seen.tables, due=lambda: seen.due
        )
        return explain(question, declared, self._now())


def _covering(registry: Registry, end: Prefix, day: date) -> list[Registration]:
    return list(dict.fromkeys(registry.row(i) for i in covering(registry, end, day)))


def kernel_view(
    kernel: Kernel | None,
    held: Held,
    tables: Tables,
    source: Prefix,
    to: Prefix | None,
    differences: list[str],
) -> dict[str, Any]:
    """The keys `kernel`, `agrees` and `differences` of the answer."""
    ends: list[EndHeld | None] = [
        None
        if end is None
        else EndHeld(None)
        if kernel is None
        else end_held(kernel, held, tables, _text_of(end), end)
        for end in (source, to)
    ]
    first, second = ends
    assert first is not None
    found = [end.difference for end in ends if end is not None and end.difference is not None]
    found += differences
    reason = held.reason
    if reason is None and held.state is not None and not held.state.exists:
        reason = "nothing of enforcer is loaded"
    return {
        "kernel": {
            **_end_view(first),
            "to": _end_view(second) if second else None,
            "armed": list(held.armed) if held.state is not None else None,
            "reason": reason,
        },
        "agrees": not found,
        "differences": found,
    }


def _end_view(end: EndHeld) -> dict[str, Any]:
    class_id = None if end.class_id is None else f"{end.class_id:#010x}"
    return {"member": end.member, "class": class_id, "means": end.means}


def _text_of(address: Prefix) -> str:
    return format_address(address.family, address.network)


def _view(row: Registration) -> dict[str, Any]:
    return {
        "id": row.id,
        "prefix": str(row.prefix),
        "category": row.category,
        "valid_from": row.valid_from.isoformat() if row.valid_from else None,
        "valid_until": row.valid_until.isoformat() if row.valid_until else None,
        "services": [str(service) for service in row.services],
    }
