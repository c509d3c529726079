"""What a reload tells whoever asked for it, over a daemon in a world of values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enforcer.reloading import Reloaded, warning_of
from tests.daemon.daemon_worlds import INSIDE, World


def reloaded(world: World) -> Reloaded:
    before = world.daemon.snapshot().armed
    refusal = world.daemon.reload()
    outcome = world.daemon.step()
    return Reloaded.of(refusal, outcome, before, world.daemon.snapshot())


def at_work() -> World:
    world = World()
    world.step_at(INSIDE)
    return world


def test_a_wrong_uplink_is_warned_of_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    world = at_work()
    answer = reloaded(world).answer()
    assert (answer["error"], answer["warning"], answer["armed"]) == (None, None, ["ddos"])
    assert not caplog.records
    world.main = world.main.replace("[wan0]", "[wan9]")
    answer = reloaded(world).answer()
    assert answer["error"] is None
    assert answer["warning"] == (
        "uplink wan9 is not there: nothing that comes in by it is guarded; see: ip link"
    )
    assert [r.getMessage() for r in caplog.records] == ["device_missing"]
    problem = world.daemon.snapshot().problem
    assert problem == "no uplink is there (wan9), so guard holds back nothing: ddos; see: ip link"


def test_what_a_reload_ended_is_told() -> None:
    world = at_work()
    world.windows = "[]\n"
    answer = reloaded(world).answer()
    assert (answer["armed"], answer["ended"], answer["refused"]) == ([], ["ddos"], False)


def test_a_refused_reload_ends_nothing_and_says_why() -> None:
    world = at_work()
    world.main = world.main.replace("lease: 10m", "lease: soon")
    answer = reloaded(world).answer("note: ")
    assert (answer["armed"], answer["ended"], answer["refused"]) == (["ddos"], [], True)
    assert answer["error"].startswith("note: enforcer.yaml:")
    assert answer["details"].startswith("note: enforcer.yaml:")
    assert (answer["shrink"], answer["warning"]) == (None, None)


def test_an_update_that_lacks_too_much_is_answered_with_its_token() -> None:
    world = at_work()
    world.registry = "\n".join(world.registry.splitlines()[:4]) + "\n"
    answer = reloaded(world).answer()
    assert answer["refused"]
    assert f"--accept-shrink {answer['shrink']}" in answer["error"]


def test_a_kernel_that_cannot_be_read_tells_of_no_device() -> None:
    world = at_work()
    world.kernel.devices.discard("wan0")
    outcome, seen = world.daemon.step(), world.daemon.snapshot()
    assert warning_of(outcome, seen) is not None
    assert warning_of(replace(outcome, state=None), seen) is None
