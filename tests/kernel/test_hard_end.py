"""The hard end, on real packets: no window outlasts its end by more than half a second, whatever
becomes of the daemon; none lets strangers in while it is armed; and nobody registered loses one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enforcer.kernel.nft import NftKernel
from tests.kernel.edge_worlds import (
    EARLY_END_S,
    LATE_END_S,
    LATE_OPENING_S,
    REGISTERED,
    STRANGER,
    Gateway,
    sleep_until,
)
from tests.kernel.slowness import patient, whole

pytestmark = [pytest.mark.kernel, pytest.mark.punctual]
LASTS_S, AFTERWARDS_S, STEP_S = whole(3), patient(1), whole(2)
# Of a lease; it is renewed when a third of it is gone.
LEASE_S = whole(5)
Make = Callable[..., Gateway]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Make]:
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    made: list[Gateway] = []

    def make(lease: str = "10m", **environment: str) -> Gateway:
        one = Gateway(tmp_path / str(len(made)), lease)
        made.append(one)
        one.environment |= environment
        one.build()
        one.start()
        one.stream()
        return one

    try:
        yield make
    finally:
        for one in made:
            one.destroy()


def through(
    gateway: Gateway,
    act: Callable[[], None],
    ends: float | None = None,
    spans: int = 1,
    **declared: str,
) -> None:
    """Declares a window, acts inside it, and looks at every packet from before it to after it.
    `ends` is when strangers pass again, in seconds after the opening, if not at the declared end.
    """
    opens = gateway.soon()
    declared_spans = [(opens + STEP_S * n, opens + STEP_S * n + LASTS_S) for n in range(spans)]
    closes = opens + (ends if ends is not None else LASTS_S + STEP_S * (spans - 1))
    gateway.declare(*declared_spans, **declared)
    sleep_until(opens + patient(1))
    act()
    sleep_until(closes + LATE_END_S + AFTERWARDS_S)
    streams = gateway.end_stream()
    assert streams[REGISTERED].lost() == []
    stranger = streams[STRANGER]
    armed = opens + LATE_OPENING_S, closes - EARLY_END_S
    assert stranger.count(*armed) > 20, "nothing was tried while it was armed"
    assert stranger.through(*armed) == []
    assert stranger.lost(before=opens) == []
    assert stranger.lost(after=closes + LATE_END_S) == []
    assert stranger.count(closes + LATE_END_S, closes + 100) > 20, "nothing was tried after it"


def nothing() -> None:
    pass


def test_a_window_opens_and_ends_at_its_instants(gateway: Make) -> None:
    through(gateway(), nothing)


def test_killed_with_9_the_kernel_ends_it(gateway: Make) -> None:
    one = gateway()
    through(one, one.kill)


def test_stopped_the_kernel_ends_it(gateway: Make) -> None:
    one = gateway()
    through(one, lambda: one.signal(signal.SIGSTOP))


def test_killed_with_a_lease_it_ends_with_the_lease(gateway: Make) -> None:
    """Killed before it is renewed: over at the lease's end, counted from the opening."""
    one = gateway(lease=f"{LEASE_S}s")
    opens = one.soon()
    one.declare((opens, opens + whole(60)))
    sleep_until(opens + patient(1))
    one.kill()
    sleep_until(opens + LEASE_S + LATE_END_S + AFTERWARDS_S)
    streams = one.end_stream()
    assert streams[REGISTERED].lost() == []
    assert streams[STRANGER].through(opens + LATE_OPENING_S, opens + LEASE_S - EARLY_END_S) == []
    assert streams[STRANGER].lost(after=opens + LEASE_S + LATE_END_S) == []


def test_a_lease_that_is_renewed_leaves_no_gap(gateway: Make) -> None:
    one = gateway(lease=f"{LEASE_S}s")
    opens, lasts_s = one.soon(), 2 * LEASE_S + STEP_S
    one.declare((opens, opens + lasts_s))
    sleep_until(opens + lasts_s + LATE_END_S + AFTERWARDS_S)
    streams = one.end_stream()
    assert streams[REGISTERED].lost() == []
    assert streams[STRANGER].through(opens + LATE_OPENING_S, opens + lasts_s - EARLY_END_S) == []
    assert streams[STRANGER].lost(after=opens + lasts_s + LATE_END_S) == []


def test_restarted_inside_it_goes_on_and_ends(gateway: Make) -> None:
    one = gateway()

    def restart() -> None:
        one.stop()
        one.start()

    through(one, restart)


def test_killed_and_restarted_inside_it_goes_on_and_ends(gateway: Make) -> None:
    one = gateway()

    def restart() -> None:
        one.kill()
        one.start()

    through(one, restart)


def test_reloaded_inside_with_another_registry_it_goes_on_and_ends(gateway: Make) -> None:
    one = gateway()

    def reload() -> None:
        for last in range(2, 6):
            one.register(REGISTERED, *(f"192.0.2.{n}" for n in range(1, last)))
            assert one.ask("reload")["error"] is None

    through(one, reload)


def test_several_windows_end_with_the_last(gateway: Make) -> None:
    through(gateway(), nothing, spans=2)


@pytest.mark.parametrize("end", ["goes on", "reload", "kill"])
def test_a_time_zone_file_replaced_inside_moves_no_end(
    gateway: Make, tmp_path: Path, end: str
) -> None:
    zones = tmp_path / "zones"
    for name in ("Asia/Karachi", "Europe/Berlin", "UTC"):
        target = zones / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_system_zone(name), target)
    one = gateway(PYTHONTZPATH=str(zones))

    def replace() -> None:
        # As a package manager does: the new file is renamed into the place of the old one.
        new = zones / "new"
        shutil.copy(zones / "Europe/Berlin", new)
        new.rename(zones / "Asia/Karachi")
        if end == "reload":
            assert one.ask("reload")["error"] is None
        elif end == "kill":
            one.kill()

    through(one, replace, zone="Asia/Karachi")


def test_closed_early_it_ends_at_once(gateway: Make) -> None:
    one = gateway()
    through(one, lambda: assert_done(one.ask("close", id="w0")), ends=patient(1))


def test_on_trial_it_ends_at_the_deadline_also_when_the_daemon_is_dead(gateway: Make) -> None:
    one = gateway()
    opens, trial_s = one.soon(), whole(4)
    one.declare((opens, opens + whole(60)), more="  provisional: true\n")
    assert_done(one.ask("declared", id="w0", within_s=trial_s))
    sleep_until(opens + patient(1))
    one.kill()
    sleep_until(opens + trial_s + LATE_END_S + AFTERWARDS_S)
    streams = one.end_stream()
    assert streams[REGISTERED].lost() == []
    assert streams[STRANGER].through(opens + LATE_OPENING_S, opens + trial_s - EARLY_END_S) == []
    assert streams[STRANGER].lost(after=opens + trial_s + LATE_END_S) == []


def test_staged_it_counts_and_holds_back_nothing(gateway: Make) -> None:
    one = gateway()
    opens = one.soon()
    one.declare((opens, opens + LASTS_S), more="  stage: true\n")
    sleep_until(opens + STEP_S)
    kernel = NftKernel(one.names["gw"])
    counters = kernel.counters()
    kernel.close()
    sleep_until(opens + LASTS_S + AFTERWARDS_S)
    streams = one.end_stream()
    assert streams[REGISTERED].lost() == []
    assert streams[STRANGER].lost() == []
    assert counters["guard/w0/would_drop/ip4/unregistered"][0] > 20
    assert not any("held_back" in name for name in counters)


def assert_done(answer: dict[str, object]) -> None:
    assert answer["error"] is None, answer


def _system_zone(name: str) -> Path:
    for folder in (sysconfig.get_config_var("TZPATH") or "/usr/share/zoneinfo").split(os.pathsep):
        if (Path(folder) / name).exists():
            return Path(folder) / name
    import tzdata

    return Path(tzdata.__file__).parent / "zoneinfo" / name
