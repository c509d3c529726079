"""Who gives in when another program undoes every repair, and for how long."""

from __future__ import annotations

import pytest

from enforcer.contest import BURST, LONGEST_PAUSE_S, RELAPSE_S, SHARE, WITHIN_S, Contest


def beaten(at: float = 100.0, took_s: float = 0.01) -> Contest:
    contest = Contest()
    given_in = [contest.repaired(at + n / 10, took_s) for n in range(BURST)]
    assert given_in == [False] * (BURST - 1) + [True]
    assert contest.on
    return contest


def test_repairs_now_and_then_are_no_contest() -> None:
    contest = Contest()
    apart = WITHIN_S / (BURST - 1) + 0.01
    assert not any(contest.repaired(n * apart, 0.01) for n in range(100))
    assert not contest.on


def test_a_burst_of_repairs_is_one() -> None:
    assert beaten().look_at == pytest.approx(100.4 + 1)


def test_pauses_grow_while_the_table_is_touched_and_stop_growing() -> None:
    contest, pauses = beaten(), []
    for _ in range(8):
        now = contest.look_at
        assert not contest.looked(now, 0.01, touched=True)
        pauses.append(round(contest.look_at - now, 3))
    assert pauses == [2, 4, 8, *[LONGEST_PAUSE_S] * 5]


def test_what_a_look_costs_is_a_small_share_of_the_time() -> None:
    contest = beaten(took_s=3.0)
    assert contest.look_at == pytest.approx(100.4 + 3 * SHARE)
    now = contest.look_at
    contest.looked(now, 2.0, touched=True)
    assert contest.look_at == now + 2 * SHARE


def test_it_is_over_when_nobody_touched_the_table_for_a_pause() -> None:
    contest = beaten()
    assert contest.looked(contest.look_at, 0.01, touched=False)
    assert not contest.on


def test_the_same_loop_again_is_known_at_its_first_repair() -> None:
    contest = beaten()
    for _ in range(3):
        contest.looked(contest.look_at, 0.01, touched=True)
    over = contest.look_at
    contest.looked(over, 0.01, touched=False)
    assert contest.repaired(over + 1, 0.01)
    assert contest.look_at == over + 1 + 8, "with the pause it had"
    contest = beaten()
    contest.looked(102.0, 0.01, touched=False)
    assert not contest.repaired(102.0 + RELAPSE_S, 0.01)


def test_a_flush_loop_of_a_minute_costs_a_handful_of_repairs() -> None:
    """Ten flushes a second; each repair takes 60 ms."""
    contest, now, repairs, looks = Contest(), 0.0, 0, 0
    while now < 60:
        if not contest.on:
            now += 0.1
            repairs += 1
            contest.repaired(now, 0.06)
        else:
            now = contest.look_at
            looks += 1
            contest.looked(now, 0.06, touched=now < 60)
    assert (repairs, looks) == (BURST, 9)
    assert now < 60 + LONGEST_PAUSE_S
