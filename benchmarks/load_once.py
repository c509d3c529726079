"""A registry file into the kernel of a namespace, once, in a process of its own.

In: a namespace and a file, as arguments. Out: one line of JSON: seconds for each phase
(`parse` reads the file as well), the peak and present resident memory, elements in the kernel. The
table stays. The phases are the daemon's.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path

from benchmarks.case import BUDGET_BYTES, now
from benchmarks.ours import Ours
from benchmarks.processes import status_bytes
from enforcer.lab.registry import CATEGORIES
from enforcer.lookup.planner import plan
from enforcer.lookup.tables import Tables
from enforcer.lookup.tree import RadixTree
from enforcer.policy.registry import read_again
from enforcer.sources.side_by_side import side_by_side


def main(namespace: str, path: str) -> None:
    gc.freeze()
    ours = Ours(namespace, Tables(), ("mark",))
    marks = [time.perf_counter()]
    data = Path(path).read_bytes()
    registry = read_again("registry.csv", data, CATEGORIES, None, side_by_side)[0]
    marks.append(time.perf_counter())
    tables = plan(RadixTree.build(registry, now().date()), BUDGET_BYTES)
    marks.append(time.perf_counter())
    ours.swap(tables)
    change = ours.change(armed=False)
    if change is None:
        raise RuntimeError("the registry is there already")
    ours.kernel.commit(change, time.time_ns())
    marks.append(time.perf_counter())
    rss, high = status_bytes(os.getpid())
    parse_s, plan_s, commit_s = (b - a for a, b in pairwise(marks))
    print(
        json.dumps(
            {
                "parse_s": parse_s,
                "plan_s": plan_s,
                "commit_s": commit_s,
                "total_s": marks[-1] - marks[0],
                "rss": rss,
                "peak": high,
                "elements": sum(map(len, tables.stages)),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
