"""How much is measured in a full run and in a quick one.

In: the command line. Out: numbers that bound every part in time and count.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """`sizes` are registries; `rounds` of `packets` for each cost; `repeats` for what is timed;
    `cell_s` bounds the rounds of one cell; `flushes` are put right, a fifth of them at a million;
    `stops` are how often the daemon is stopped and started to see what it costs outside windows.
    """

    sizes: tuple[int, ...]
    rounds: int
    packets: int
    sources: int
    loads: int
    repeats: int
    windows: int
    slow_command_s: float
    cell_s: float
    stops: int
    flushes: int


FULL = Extent(
    sizes=(20_000, 200_000, 1_000_000),
    rounds=40,
    packets=1 << 15,
    sources=1 << 18,
    loads=3,
    repeats=20,
    windows=5,
    slow_command_s=120,
    cell_s=24,
    stops=14,
    flushes=100,
)
QUICK = Extent(
    sizes=(20_000,),
    rounds=12,
    packets=1 << 14,
    sources=1 << 17,
    loads=2,
    repeats=5,
    windows=2,
    slow_command_s=10,
    cell_s=10,
    stops=6,
    flushes=16,
)
