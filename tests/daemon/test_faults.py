"""The fake kernel fails at every call and at every operation, in every way: nothing half is left.

The same on the real kernel's sockets: tests/kernel/test_kernel_injected.py.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest
from daemon_worlds import AFTER, BEFORE, INSIDE, World

from enforcer.ruleset import transaction as t
from tests.kernel import faulty_socket
from tests.kernel.in_turn import in_turn

# As told by the kernel room: there a reply that is cut short has become an errno.
FAULTS = {**faulty_socket.FAULTS, "truncated": errno.EBADMSG}


def installed() -> tuple[World, datetime]:
    """Nothing is there, and a window is on."""
    return World(), INSIDE


def opened() -> tuple[World, datetime]:
    world = World()
    world.step_at(BEFORE)
    return world, INSIDE


def closed() -> tuple[World, datetime]:
    world = World()
    world.step_at(INSIDE)
    return world, AFTER


def repaired() -> tuple[World, datetime]:
    world = World()
    world.step_at(INSIDE)
    world.kernel.edit(lambda table: table.rules.clear() if table else None)
    return world, INSIDE


SCENES: dict[str, Callable[[], tuple[World, datetime]]] = {
    "install": installed,
    "open": opened,
    "close": closed,
    "repair": repaired,
}


def plain(state: t.KernelState) -> t.KernelState:
    return replace(state, generation=0, shapers=frozenset())


def clean(scene: str) -> tuple[World, list[t.KernelState], int]:
    """A run without a fault: its end, the states between its transactions, its number of calls."""
    world, at = SCENES[scene]()
    # What is armed ends by itself at this instant.
    world.clock.at = at
    whole = [plain(world.kernel.read())]
    commit = world.kernel.commit

    def noted(transaction: t.Transaction, now_ns: int) -> None:
        whole.extend(map(plain, in_turn(world.kernel, commit, transaction, now_ns)))

    world.kernel.commit = noted  # type: ignore[method-assign]
    world.step_at(at)
    world.kernel.commit = commit  # type: ignore[method-assign]
    counted, at = SCENES[scene]()
    counted.kernel.calls = 0
    counted.step_at(at)
    return world, whole, counted.kernel.calls


def is_whole(world: World, whole: list[t.KernelState], end: World, what: object) -> None:
    here = world.kernel.read()
    assert plain(here) in whole, what
    if world.outcome.result == "failed":
        assert world.outcome.error is not None
    world.step_at(world.clock.at)
    assert world.outcome.result != "failed", what
    assert replace(world.kernel.read(), generation=0) == replace(end.kernel.read(), generation=0)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_fault_at_any_call_leaves_no_half(scene: str, name: str) -> None:
    end, whole, calls = clean(scene)
    assert calls >= 3
    for call in range(calls):
        for after in (False, True):
            world, at = SCENES[scene]()
            world.kernel.fail_call(call, FAULTS[name], after=after)
            world.step_at(at)
            is_whole(world, whole, end, (call, after))


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_fault_at_any_operation_leaves_no_half(scene: str, name: str) -> None:
    end, whole, _ = clean(scene)
    operations = {type(op): op for tx in end.kernel.transactions for op in tx.operations}
    for kind in operations:
        world, at = SCENES[scene]()
        world.kernel.fail_next(kind, FAULTS[name])
        world.step_at(at)
        is_whole(world, whole, end, kind)
