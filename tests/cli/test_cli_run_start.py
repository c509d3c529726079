"""A first step that fails half way leaves nothing; what was in force before stays."""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import timedelta

import pytest

from enforcer.cli.run import require_devices, take_back
from enforcer.clock import SystemClock
from enforcer.errors import KernelError
from enforcer.kernel.fake import FakeKernel
from enforcer.ruleset.transaction import AddChain
from tests.cli.cli_worlds import Place, window_text


def failing_start(place: Place, kernel: FakeKernel) -> None:
    """A kernel that has HTB and cannot hook: the shaper is there when the rules are refused."""
    before = kernel.read()
    kernel.fail_next(AddChain, errno.EOPNOTSUPP)
    outcome = place.daemon(kernel).step()
    assert outcome.error is not None
    assert kernel.read().shapers
    take_back(kernel, before, SystemClock().now_ns())


def reserving(place: Place) -> None:
    hour = timedelta(hours=1)
    text = window_text("shape", place.now - hour, place.now + hour)
    text = text[: text.index("    guard")] + "    reserve: {link: wan, share: 40%}\n"
    place.write(windows=text)


def test_nothing_is_left_of_a_first_start(place: Place, kernel: FakeKernel) -> None:
    reserving(place)
    failing_start(place, kernel)
    state = kernel.read()
    assert not state.exists
    assert not state.shapers


def test_what_an_earlier_daemon_armed_stays(place: Place, kernel: FakeKernel) -> None:
    reserving(place)
    place.daemon(kernel).step()
    before = kernel.read()
    take_back(kernel, before, SystemClock().now_ns())
    after = kernel.read()
    assert after.exists
    assert after.shapers == before.shapers
    assert after.chains == before.chains


def test_without_any_uplink_a_first_start_fails_and_names_what_there_is(
    place: Place, kernel: FakeKernel
) -> None:
    policy, state = place.daemon(kernel).config.policy, kernel.read()
    gone = replace(state, devices=state.devices - {"wan0"} | {"eth7"})
    with pytest.raises(
        KernelError, match=r"gateway.uplinks: wan0 does not exist; .*: eth7"
    ) as told:
        require_devices(policy, gone)
    assert told.value.errno == errno.ENODEV
    with pytest.raises(KernelError, match="wan0 does not exist"):
        require_devices(policy, replace(gone, exists=True, foreign="it has no mark of ours"))


def test_a_restart_goes_on_with_what_is_in_force_though_the_uplink_is_gone(
    place: Place, kernel: FakeKernel, caplog: pytest.LogCaptureFixture
) -> None:
    place.daemon(kernel).step()
    state = kernel.read()
    require_devices(place.daemon(kernel).config.policy, state)
    assert not caplog.records, "nothing is missing"
    kernel.devices.discard("wan0")
    policy = place.daemon(kernel).config.policy
    require_devices(policy, kernel.read())
    assert [r.getMessage() for r in caplog.records] == ["device_missing"] * 2
    daemon = place.daemon(kernel)
    assert daemon.step().error is None
    assert daemon.snapshot().missing_devices == ("wan0",)
    assert daemon.snapshot().armed == ("ddos",)


def test_one_uplink_of_two_is_enough_for_a_first_start(
    place: Place, kernel: FakeKernel, caplog: pytest.LogCaptureFixture
) -> None:
    policy = place.daemon(kernel).config.policy
    two = replace(policy, gateway=replace(policy.gateway, uplinks=("wan0", "ppp0")))
    require_devices(two, kernel.read())
    assert [r.getMessage() for r in caplog.records] == ["device_missing"]
