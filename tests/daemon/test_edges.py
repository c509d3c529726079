"""An edge is prepared before it and only committed at it, and what is prepared is what the ordinary
way would have done: whatever happens in between.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from daemon_worlds import (
    BEFORE,
    CLOSES,
    HEADER,
    INSIDE,
    MADE_UP,
    OPENS,
    WINDOWS,
    World,
    break_a_promise,
)

from enforcer.daemon import DAY_LEAD, EDGE_LEAD
from enforcer.drift import Suspicion
from enforcer.errors import KernelError
from enforcer.kernel.fake import FakeKernel
from enforcer.policy.model import Activation
from enforcer.reconcile import Prepared, Wanted
from enforcer.ruleset import transaction as t
from enforcer.ruleset.vocabulary import RegisteredMap, Ruleset

READY = OPENS - EDGE_LEAD


class Watched(FakeKernel):
    """A fake kernel that notes what is asked of it, in order."""

    asked: list[str]

    def read(self) -> t.KernelState:
        self.asked.append("read")
        return super().read()

    def commit(self, transaction: t.Transaction, now_ns: int) -> None:
        try:
            super().commit(transaction, now_ns)
        except KernelError as error:
            self.asked.append(errno.errorcode[error.errno])
            raise
        self.asked.append("commit")


def watched() -> World:
    world = World()
    kernel = Watched(world.clock.now_ns, ["lo", "wan0", "lan0"])
    kernel.asked = []
    world.kernel = kernel
    world.start()
    return world


def asked_at(world: World, now: datetime) -> list[str]:
    kernel = world.kernel
    assert isinstance(kernel, Watched)
    kernel.asked.clear()
    world.step_at(now)
    return kernel.asked


def woken(instants: list[datetime]) -> World:
    """A world that was woken at these instants."""
    world = World()
    for now in instants:
        world.step_at(now)
    return world


def test_the_daemon_wakes_before_an_edge_and_then_for_nothing_but_the_edge() -> None:
    world = World()
    assert world.step_at(OPENS - timedelta(seconds=5)).next_wake() == READY
    assert world.step_at(READY).next_wake() == OPENS
    assert world.step_at(OPENS - timedelta(milliseconds=1)).next_wake() == OPENS
    assert world.step_at(CLOSES - timedelta(seconds=5)).next_wake() == CLOSES - EDGE_LEAD
    assert world.step_at(CLOSES - EDGE_LEAD).next_wake() == CLOSES


def test_at_the_opening_the_commit_comes_before_everything_else() -> None:
    world = watched()
    world.step_at(BEFORE)
    world.step_at(READY)
    assert asked_at(world, OPENS) == ["commit", "read"]
    assert world.armed() == {"ddos"}
    assert world.outcome.result == "changed"
    assert not world.outcome.drift


def test_at_the_end_the_commit_comes_before_everything_else() -> None:
    world = watched()
    world.step_at(INSIDE)
    world.step_at(CLOSES - EDGE_LEAD)
    assert asked_at(world, CLOSES)[0] == "commit"
    assert world.hooked() == set()
    assert world.kernel.read().shapers == frozenset()


@pytest.mark.parametrize(("before", "edge"), [(BEFORE, OPENS), (INSIDE, CLOSES)])
def test_prepared_equals_unprepared(before: datetime, edge: datetime) -> None:
    prepared, ordinary = woken([before, edge - EDGE_LEAD, edge]), woken([before, edge])
    # A lease may have been renewed on the way: the count of transactions is not what is compared.
    states = [replace(w.kernel.read(), generation=0) for w in (prepared, ordinary)]
    assert states[0] == states[1]
    assert prepared.outcome.desired == ordinary.outcome.desired


def test_nothing_of_a_window_can_meet_a_packet_before_its_instant() -> None:
    world = World()
    world.step_at(BEFORE)
    for now in (READY, OPENS - timedelta(microseconds=1)):
        world.step_at(now)
        assert world.hooked() == set()
        assert world.armed() == set()
        assert world.kernel.read().shapers == frozenset()
        assert not world.outcome.drift


def test_at_the_instant_only_hooks_shaper_and_arming_are_left() -> None:
    world = World()
    for now in (BEFORE, READY, OPENS):
        world.step_at(now)
    kinds = [type(operation) for operation in world.outcome.operations]
    assert set(kinds) == {t.AddChain, t.SetRules, t.Arm, t.AddShaper}
    added = [op for op in world.outcome.operations if isinstance(op, t.AddChain)]
    assert all(op.hook is not None for op in added)


def test_what_was_put_in_place_goes_when_the_window_does_not_open() -> None:
    world = World()
    before = replace(world.step_at(BEFORE) and world.kernel.read(), generation=0)
    world.step_at(READY)
    world.windows = "[]\n"
    assert world.daemon.reload() is None
    world.step_at(READY + timedelta(seconds=1))
    assert replace(world.kernel.read(), generation=0) == before


def test_a_ruleset_that_another_program_changed_meanwhile_is_planned_anew() -> None:
    world = watched()
    world.step_at(BEFORE)
    world.step_at(READY)
    world.kernel.edit()
    assert asked_at(world, OPENS) == ["ERESTART", "read", "commit", "read"]
    assert world.armed() == {"ddos"}
    assert world.outcome.error is None
    assert not world.outcome.drift


def test_a_flush_meanwhile_that_was_noticed_is_prepared_anew() -> None:
    world = watched()
    world.step_at(BEFORE)
    world.step_at(READY)
    world.kernel.flush()
    world.step_at(READY + timedelta(seconds=1))
    assert world.outcome.drift
    assert asked_at(world, OPENS) == ["commit", "read"]


def test_a_reload_meanwhile_is_what_counts() -> None:
    world = World()
    world.step_at(BEFORE)
    world.step_at(READY)
    world.windows = WINDOWS.replace("08:00:00Z", "09:00:00Z")
    assert world.daemon.reload() is None
    world.step_at(OPENS)
    assert world.hooked() == set()


def test_a_registry_reloaded_meanwhile_is_what_counts() -> None:
    world = World()
    world.step_at(BEFORE)
    world.step_at(READY)
    world.registry += "R-99,198.51.100.99/32,freelancer,,,\n"
    assert world.daemon.reload() is None
    world.step_at(OPENS)
    assert set(world.daemon.snapshot().prefixes) == {
        (4, "freelancer", 1),
        (4, "software-house", 10),
    }
    assert world.kernel.read().ledger == plain_ledger(world)


def plain_ledger(world: World) -> dict[str, str]:
    fresh = World(OPENS)
    fresh.registry = world.registry
    fresh.start()
    fresh.step_at(OPENS)
    return dict(fresh.kernel.read().ledger)


@pytest.mark.parametrize("away", [-timedelta(hours=1), timedelta(hours=13)])
def test_a_clock_that_is_stepped_meanwhile_drops_what_was_prepared(away: timedelta) -> None:
    world = World()
    world.step_at(BEFORE)
    world.step_at(READY)
    world.step_at(OPENS + away)
    assert world.hooked() == set()
    world.step_at(OPENS)
    assert world.armed() == {"ddos"}


def test_a_clock_that_loses_its_source_meanwhile_arms_nothing() -> None:
    world = World(require_clock=True)
    world.step_at(BEFORE)
    world.step_at(READY)
    world.clock.right = False
    world.step_at(OPENS)
    assert world.armed() == set()
    assert world.outcome.waiting == ("ddos",)


def test_without_its_clocks_source_nothing_is_put_in_place_ahead() -> None:
    world = World(require_clock=True)
    world.step_at(BEFORE)
    world.clock.right = False
    world.step_at(READY)
    state = world.kernel.read()
    assert not any(".ddos" in name for name in (*state.chains, *state.sets))


def test_a_commit_that_fails_at_the_instant_takes_the_ordinary_way() -> None:
    world = watched()
    world.step_at(BEFORE)
    world.step_at(READY)
    world.kernel.fail_next(t.AddChain, errno.ENOBUFS)
    assert asked_at(world, OPENS) == ["ENOBUFS", "read", "commit", "read"]
    assert world.armed() == {"ddos"}


def test_the_timeout_is_that_of_the_sending_not_of_the_preparing() -> None:
    world = World()
    for now in (BEFORE, READY, OPENS + timedelta(milliseconds=300)):
        world.step_at(now)
    (left,) = {
        remaining
        for s in world.kernel.read().sets.values()
        if s.kind == "armed"
        for _, remaining, _ in s.elements  # type: ignore[misc, has-type]
    }
    assert left == 600 * 10**9


def test_what_was_prepared_is_for_the_very_same_wish_and_no_other() -> None:
    world = World()
    policy, tables = world.daemon.config.policy, world.daemon.tables
    (window,) = policy.windows
    once = Activation(OPENS, CLOSES, window)
    wish = Wanted(policy, (once,), tables)
    prepared = Prepared(wish, Ruleset(), t.Transaction(1, ()))
    assert prepared.is_for(replace(wish))
    other = Activation(OPENS, CLOSES, replace(window, id="other"))
    assert other == once, "activations are equal when their times are"
    for another in (
        replace(wish, policy=replace(policy)),
        replace(wish, tables=replace(tables)),
        replace(wish, activations=()),
        replace(wish, activations=(other,)),
        replace(wish, activations=(replace(once, ends_at=CLOSES - timedelta(hours=1)),)),
        replace(wish, may_arm=False),
        replace(wish, idle=True),
    ):
        assert not prepared.is_for(another)


def test_what_is_under_suspicion_is_not_done_as_it_was_prepared() -> None:
    world = watched()
    world.step_at(BEFORE)
    world.step_at(READY)
    name = RegisteredMap(world.daemon.tables.stages[0]).name
    world.daemon.distrust(Suspicion(frozenset({name})))
    assert asked_at(world, OPENS)[0] == "read"
    loaded = {op.target.name for op in world.outcome.operations if isinstance(op, t.Load)}
    assert loaded == {name}


def test_a_window_that_breaks_a_promise_is_seen_before_it_opens_and_nothing_of_it_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = watched()
    world.step_at(BEFORE)
    break_a_promise(monkeypatch)
    world.step_at(READY)
    assert world.outcome.violations == (MADE_UP,)
    assert not any(name.endswith(".ddos") for name in world.kernel.read().chains)
    # The ordinary way, which says what is wrong.
    assert asked_at(world, OPENS)[0] == "read"
    assert world.outcome.violations
    assert world.hooked() == set()


def test_an_edge_that_goes_by_during_a_step_is_due_at_once() -> None:
    world = World()
    world.step_at(OPENS - timedelta(milliseconds=3))
    world.clock.at = OPENS + timedelta(milliseconds=7)
    assert world.daemon.next_wake() <= world.clock.at


def test_the_registry_of_the_next_day_is_ready_before_midnight() -> None:
    world = World()
    world.windows = WINDOWS.replace("2026-12-01T08:00", "2026-12-02T00:00").replace(
        "2026-12-01T20:00", "2026-12-02T20:00"
    )
    world.registry = HEADER + "R-1,198.51.100.1/32,freelancer,2026-12-02,,\n"
    world.start()
    midnight = OPENS.replace(day=2, hour=0)
    evening = midnight - timedelta(minutes=5)
    assert world.step_at(evening).next_wake() == evening + timedelta(seconds=10)
    assert world.step_at(midnight - DAY_LEAD - timedelta(seconds=3)).next_wake() == (
        midnight - DAY_LEAD
    )
    world.step_at(midnight - DAY_LEAD)
    assert world.daemon.snapshot().prefixes == ()
    world.step_at(midnight - EDGE_LEAD)
    world.step_at(midnight)
    assert world.daemon.snapshot().prefixes == ((4, "freelancer", 1),)
    assert world.armed() == {"ddos"}
    assert world.kernel.read().ledger != {}
