"""`map` by a few threads, for work that numpy does without the interpreter's lock.

In: a function and values. Out: its results in the order of the values, as `map` has them; a few are
worked on ahead of the one that is asked for. What a call raises is raised where its result is due.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

_V = TypeVar("_V")
_R = TypeVar("_R")
# Each holds some 40 MB while it reads a piece of a registry.
_MOST_THREADS = 4


def side_by_side(function: Callable[[_V], _R], values: Iterable[_V]) -> Iterator[_R]:
    """With one processor, or no more values than two, in the calling thread."""
    threads = min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    rest = iter(values)
    first = list(islice(rest, 3))
    if threads < 2 or len(first) < 3:
        yield from map(function, chain(first, rest))
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="reading") as pool:
        waiting: deque[Future[_R]] = deque()
        try:
            for value in chain(first, rest):
                waiting.append(_begun(pool, function, value))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


def _begun(pool: ThreadPoolExecutor, function: Callable[[_V], _R], value: _V) -> Future[_R]:
    try:
        return pool.submit(function, value)
    except RuntimeError:
        # No thread is to be had (TasksMax of the unit, memory): done here and now.
        done: Future[_R] = Future()
        done.set_result(function(value))
        return done
