"""A watch pokes, and whatever ends it at once is not asked for again and again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from enforcer.fleet import watching
from enforcer.fleet.poke import Poke
from enforcer.fleet.watching import FIRST_WAIT_S, LONGEST_WAIT_S, watch
from tests.fleet.follower_world import World


@pytest.mark.parametrize("lasts_s", [0.0, 25.0])
def test_watches_that_end_at_once_are_not_asked_for_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasts_s: float
) -> None:
    world, poke = World(tmp_path), Poke()
    pauses: list[float] = []
    now_s = 0.0

    def monotonic() -> float:
        """Twice for each watch: when it begins and when it is over."""
        nonlocal now_s
        now_s += lasts_s
        poke.ended = world.etcd.watched == 12
        return now_s

    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=monotonic, sleep=pauses.append))
    watch(world.store, lambda: "stable", poke)
    assert world.etcd.watched == 12
    assert poke.wait(0.0)
    if lasts_s:
        assert pauses == [], "one that lasted is made anew at once"
    else:
        assert len(pauses) == 12
        assert FIRST_WAIT_S / 2 <= pauses[0] <= FIRST_WAIT_S
        assert all(LONGEST_WAIT_S / 2 <= pause <= LONGEST_WAIT_S for pause in pauses[5:])
