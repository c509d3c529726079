"""What a policy in force would break under new orders: the ceilings do not bend to a confirmation.

A policy, the orders of before and after, and `now` come in; the new problems go out, at the places
where the windows are declared.
"""

from __future__ import annotations

from datetime import datetime

from enforcer.errors import Problem
from enforcer.policy.model import Policy, Window
from enforcer.policy.places import Document
from enforcer.policy.windows import Placed
from enforcer.schedule.horizon import check_schedule
from enforcer.schedule.orders import Orders
from enforcer.schedule.past import PastGuards


def check_orders(
    policy: Policy, before: Orders, after: Orders, now: datetime, past: PastGuards = ()
) -> list[Problem]:
    """The problems that `policy` has under `after` and did not have under `before`; `past` as in
    `check_schedule`.
    """
    placed = [_placed(window) for window in policy.windows]
    old = set(check_schedule(placed, policy.estates, now, before, past))
    new = check_schedule(placed, policy.estates, now, after, past)
    return sorted(problem for problem in set(new) if problem not in old)


def _placed(window: Window) -> Placed:
    """The window at the place that it remembers: a loaded policy has no documents any more."""
    file, _, rest = window.source.partition(":")
    line, _, column = rest.partition(":")
    at = (int(line), int(column)) if line.isdigit() and column.isdigit() else (0, 0)
    return Placed(window, Document(file, None, {(): at}, {}), ())
