"""The class of an address, as a packet would find it in the maps that are there."""

from __future__ import annotations

from datetime import timedelta

from enforcer.held import Held, armed_windows, class_held, meaning, read_held
from enforcer.kernel.fake import FakeKernel
from enforcer.lookup.planner import classify
from enforcer.policy.prefix import BITS, Prefix, parse_address
from tests.cli.cli_worlds import Place


def _host(text: str) -> Prefix:
    family, number = parse_address(text)
    return Prefix(family, number, BITS[family])


def test_the_kernels_maps_answer_as_the_planned_ones(place: Place, kernel: FakeKernel) -> None:
    daemon = place.daemon(kernel)
    daemon.step()
    held = read_held(kernel)
    for text in ("198.51.100.7", "198.51.100.8", "198.51.101.1", "2001:db8:5::9", "2001:db8::1"):
        host = _host(text)
        wanted = classify(daemon.tables, host.family, host.network)
        assert class_held(kernel, held, host) == (wanted.id if wanted else None), text


def test_an_armed_window_tells_what_is_left_of_it(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    (left,) = armed_windows(kernel.read()).values()
    # The lease of ten minutes, not the hour to the window's end.
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)


def test_a_foreign_table_is_not_ours(kernel: FakeKernel) -> None:
    kernel.make_foreign("it has no mark")
    held = read_held(kernel)
    assert (held.ours, held.reason) == (False, "it has no mark")
    assert Held(None, "why").ours is False


def test_a_class_nobody_has_is_said_so() -> None:
    assert meaning(None) == "a class that no registration has today"
