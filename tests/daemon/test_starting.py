"""With what a daemon starts: its files, or the last good when that is what stays in force."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from enforcer import days
from enforcer.daemon import Daemon
from enforcer.errors import KernelError, PolicyError, Problem
from enforcer.policy.model import Policy
from enforcer.policy.shrinking import ShrinkError
from enforcer.ruleset.transaction import KernelState
from enforcer.sources.files import Documents, RegistryError
from enforcer.sources.lastgood import FILE, SPOILT, LastGood, write_last_good
from enforcer.sources.load import Configuration
from enforcer.starting import DEADLY, Start, choose, kept_before
from tests.daemon.daemon_worlds import BEFORE, OPENS, REGISTRY, WINDOWS, World
from tests.daemon.test_keeping import CONFIG, configuration

BROKEN = RegistryError([Problem("registry.csv", 3, 1, "", "is broken; mend it")])
WRONG = PolicyError([Problem("enforcer.yaml", 3, 1, "", "is wrong; mend it")])


def kept_of(world: World) -> LastGood:
    made = configuration(world)
    assert made.documents is not None
    return LastGood(str(CONFIG), BEFORE, made.policy.digest, made.documents, made.registry)


def start(
    world: World, files: Configuration | PolicyError, kept: LastGood | None, days: int = 0
) -> Start:
    def load() -> Configuration:
        if isinstance(files, PolicyError):
            raise files
        return files

    def parse(documents: Documents) -> Policy:
        return documents.policy()

    now = BEFORE + timedelta(days=days)
    return choose(load, parse, kept, world.kernel.read, now, partial(today, world))


def today(world: World) -> tuple[Policy, Documents]:
    """What the files say but for the registry."""
    made = configuration(world)
    assert made.documents is not None
    return made.policy, made.documents


@pytest.fixture
def ran() -> World:
    """A gateway on which an earlier daemon has loaded its registry."""
    world = World()
    world.step_at(BEFORE)
    return world


def smaller(world: World) -> Configuration:
    world.registry = "".join(line + "\n" for line in world.registry.splitlines()[:-3])
    return world.configuration()


def test_files_that_are_right_are_what_it_starts_with(ran: World) -> None:
    files = ran.configuration()
    assert start(ran, files, None) == Start(files)
    assert start(ran, files, kept_of(ran)) == Start(files)


def test_a_restart_is_no_way_around_the_shrink_guard(ran: World) -> None:
    began = start(ran, smaller(ran), kept_of(ran))
    assert isinstance(began.refused, ShrinkError)
    assert len(began.configuration.registry) == 10
    assert began.accepted_at == BEFORE


def test_a_higher_limit_in_the_new_files_counts(ran: World) -> None:
    ran.main = ran.main.replace("20%", "50%")
    assert start(ran, smaller(ran), kept_of(ran)).refused is None


def test_a_registry_broken_at_a_restart_leaves_in_force_what_is_in_force(ran: World) -> None:
    began = start(ran, BROKEN, kept_of(ran))
    assert began.refused is BROKEN
    assert began.configuration.policy == ran.daemon.config.policy
    # Over midnight, too: the registry of yesterday is what the kernel holds.
    assert start(ran, BROKEN, kept_of(ran), days=1).refused is BROKEN


MORE = WINDOWS.replace("id: ddos", "id: more").replace("reserve: {link: wan, share: 40%}", "")


@pytest.mark.parametrize("broken", [True, False])
def test_a_window_that_was_declared_meanwhile_is_taken_with_the_registrations_of_before(
    ran: World, broken: bool
) -> None:
    kept = kept_of(ran)
    ran.windows += MORE
    began = start(ran, BROKEN if broken else smaller(ran), kept)
    assert began.refused is not None
    assert {w.id for w in began.configuration.policy.windows} == {"ddos", "more"}
    assert began.configuration.registry is kept.registry
    assert began.configuration.documents == today(ran)[1]


def test_what_else_was_changed_meanwhile_waits_for_the_registry_that_it_may_belong_to(
    ran: World,
) -> None:
    kept = kept_of(ran)
    ran.windows += MORE
    ran.main = ran.main.replace("192.0.2.53/32", "192.0.2.54/32")
    began = start(ran, BROKEN, kept)
    assert began.configuration.policy == ran.daemon.config.policy
    assert began.configuration.documents == kept.documents


def test_nothing_is_begun_with_a_broken_registry() -> None:
    """After a reboot the kernel is empty: what is loaded would be new, so a person has to look."""
    world = World()
    with pytest.raises(RegistryError):
        start(world, BROKEN, kept_of(world))


def test_a_broken_registry_without_a_snapshot_is_refused(ran: World) -> None:
    with pytest.raises(RegistryError):
        start(ran, BROKEN, None)


def test_a_snapshot_that_is_not_what_the_kernel_holds_is_not_put_in_its_place(ran: World) -> None:
    kept = kept_of(ran)
    ran.registry += "R-50,198.51.100.50/32,freelancer,,,\n"
    assert ran.daemon.reload() is None
    ran.step_at(BEFORE)
    with pytest.raises(RegistryError):
        start(ran, BROKEN, kept)


def test_a_kernel_that_cannot_be_asked_holds_nothing_that_is_known(ran: World) -> None:
    def denied() -> KernelState:
        raise KernelError("read", 1, "not permitted")

    def load() -> Configuration:
        raise BROKEN

    with pytest.raises(RegistryError):
        choose(load, lambda d: d.policy(), kept_of(ran), denied, BEFORE, partial(today, ran))


def test_files_that_killed_the_daemon_are_not_tried_where_the_last_good_is_in_force(
    ran: World,
) -> None:
    def deadly() -> Configuration:
        raise AssertionError("it died of this")

    began = choose(
        *(deadly, lambda d: d.policy(), kept_of(ran), ran.kernel.read, BEFORE, partial(today, ran)),
        deadly=True,
    )
    assert began.refused is DEADLY
    assert began.accepted_at == BEFORE


def test_where_nothing_is_in_force_files_that_killed_the_daemon_are_tried_again(ran: World) -> None:
    empty, files = World(), ran.configuration()
    began = choose(
        *(lambda: files, lambda d: d.policy(), kept_of(empty), empty.kernel.read, BEFORE),
        partial(today, empty),
        deadly=True,
    )
    assert began == Start(files)


def over_the_budget(world: World, first: str = "") -> Configuration:
    """The files hold, from a day on, more than fits into the kernel memory."""
    world.main = world.main.replace("20%", "20%, kernel_memory: 1MB")
    world.registry += "".join(
        f"T-{i},198.18.{i >> 8}.{i & 255}/32,freelancer,{first},,\n" for i in range(0, 40000, 2)
    )
    return configuration(world, world.registry.removeprefix(REGISTRY))


def begun(world: World, began: Start) -> Daemon:
    return Daemon(
        *(lambda orders: began.configuration, world.kernel, world.clock, world.daemon.totals),
        refused=began.refused,
        accepted_at=began.accepted_at,
        plan=began.plan,
    )


def test_a_registry_over_the_budget_at_a_restart_leaves_in_force_what_is_in_force() -> None:
    world = World()
    world.step_at(OPENS)
    kept = kept_of(world)
    began = start(world, over_the_budget(world), kept)
    assert isinstance(began.refused, RegistryError), "a feed may mend it"
    assert began.refused.for_all.startswith("registry: 20,002 prefixes need 2.1 MB")
    daemon = begun(world, began)
    assert (daemon.step().result, world.armed()) == ("unchanged", {"ddos"})
    assert daemon.snapshot().config_error == began.refused.for_all


def test_nothing_is_begun_with_a_registry_over_the_budget() -> None:
    world = World()
    kept = kept_of(world)
    with pytest.raises(RegistryError):
        start(world, over_the_budget(world), kept)


def test_a_restart_on_a_day_that_is_over_the_budget_keeps_the_day_before() -> None:
    world = World()
    files = over_the_budget(world, "2026-12-02")
    world.start()
    world.step_at(BEFORE)
    assert files.documents is not None
    kept = LastGood(str(CONFIG), BEFORE, files.policy.digest, files.documents, files.registry)
    began = start(world, files, kept, days=1)
    world.clock.at = BEFORE + timedelta(days=1)
    daemon = begun(world, began)
    assert daemon.step().result == "unchanged"
    assert daemon.day == BEFORE.date()
    assert daemon.snapshot().day_refused


def test_a_registry_is_planned_once_at_a_start(ran: World, monkeypatch: pytest.MonkeyPatch) -> None:
    began = start(ran, ran.configuration(), kept_of(ran))
    monkeypatch.setattr(days, "first_plan", None)
    assert begun(ran, began).step().result == "unchanged"


def test_a_mistake_in_the_policy_is_never_passed_over(ran: World) -> None:
    with pytest.raises(PolicyError) as refused:
        start(ran, WRONG, kept_of(ran))
    assert refused.value is WRONG


def test_what_was_kept_is_refused_when_todays_rules_refuse_it(ran: World) -> None:
    def stricter(documents: Documents) -> Policy:
        raise WRONG

    def load() -> Configuration:
        raise BROKEN

    with pytest.raises(RegistryError):
        choose(load, stricter, kept_of(ran), ran.kernel.read, BEFORE, partial(today, ran))


def test_the_daemon_says_what_was_refused_until_the_files_are_right(ran: World) -> None:
    began = start(ran, smaller(ran), kept_of(ran))
    ran.registry += "".join(f"R-{i},198.51.100.{i}/32,software-house,,,\n" for i in range(7, 10))
    daemon = type(ran.daemon)(
        lambda orders: began.configuration,
        ran.kernel,
        ran.clock,
        ran.daemon.totals,
        refused=began.refused,
        accepted_at=began.accepted_at,
    )
    ran.clock.at = BEFORE + timedelta(minutes=5)
    assert daemon.step().result == "unchanged", "it adopts what is there"
    shown = daemon.snapshot()
    assert began.refused is not None
    assert shown.config_error == began.refused.for_all
    assert shown.shrink_refused
    assert shown.loaded_at == BEFORE
    assert daemon.reload() is None
    assert daemon.snapshot().config_error is None


# --- the snapshot on the disk --------------------------------------------------------------------


def test_a_spoilt_snapshot_is_set_aside_and_said(
    ran: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("enforcer"), "propagate", True)
    (tmp_path / FILE).write_bytes(b"junk")
    assert kept_before(tmp_path, CONFIG) is None
    assert [p.name for p in tmp_path.iterdir()] == [SPOILT]
    said = {record.getMessage(): record for record in caplog.records}["last_good_spoilt"]
    assert said.fields == {  # type: ignore[attr-defined]
        "error": f"{tmp_path / FILE}: it does not begin like one",
        "done": f"set aside as {tmp_path / SPOILT}",
    }


def test_a_snapshot_of_another_configuration_is_not_its_predecessor(
    ran: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("enforcer"), "propagate", True)
    write_last_good(tmp_path, "/etc/other.yaml", BEFORE, configuration(ran))
    assert kept_before(tmp_path, CONFIG) is None
    assert (tmp_path / FILE).exists()
    said = {record.getMessage(): record for record in caplog.records}["last_good_of_another"]
    assert said.fields == {  # type: ignore[attr-defined]
        "config": "/etc/other.yaml",
        "done": "not used; replaced once this configuration is in force",
    }
    write_last_good(tmp_path, str(CONFIG), BEFORE, configuration(ran))
    assert kept_before(tmp_path, CONFIG) is not None
