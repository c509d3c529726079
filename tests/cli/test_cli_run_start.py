"""A first step that fails half way leaves nothing; what was in force before stays."""

from __future__ import annotations

import errno
from datetime import timedelta

from enforcer.cli.run import take_back
from enforcer.clock import SystemClock
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
