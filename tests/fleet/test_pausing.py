"""Pauses grow, never past the longest, and begin anew after something went well."""

from __future__ import annotations

from enforcer.fleet.pausing import Pauses


def test_they_grow_up_to_the_longest_and_begin_anew() -> None:
    pauses = Pauses(0.5, 15.0)
    for longest_s in (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0):
        assert longest_s / 2 <= pauses.next_s() <= longest_s
    for _ in range(5000):
        assert pauses.next_s() <= 15.0
    pauses.over()
    assert pauses.next_s() <= 0.5
