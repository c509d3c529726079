"""Which processor core sends, and which does everything else.

In: the cores this process may use. Out: the calling thread moved there and back. Children inherit
the core for everything else, so no command of the bench runs beside the sender on its core.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

ALLOWED = tuple(sorted(os.sched_getaffinity(0)))
REST, SENDER = ALLOWED[0], ALLOWED[-1]


def settle() -> None:
    """Moves this thread, and what it starts from now on, to the core for everything else."""
    os.sched_setaffinity(0, {REST})


@contextmanager
def all_of_them() -> Iterator[None]:
    """The block, and what it starts, runs where it likes, as on a gateway: nothing is sent."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALLOWED)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def sending() -> Iterator[None]:
    """The block runs on the sender's core, on which nothing else of ours runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SENDER})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
