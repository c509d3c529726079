"""The files of the operator → one `Policy`, or every problem in them at once.

Bytes and zones come in; nothing is opened, no clock is asked, and nothing is half-accepted: either
all files are right, their windows as instants too, or `PolicyError` carries everything wrong in all
of them, in order of file and place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from enforcer.errors import PolicyError
from enforcer.policy.load import no_calendars, read_documents
from enforcer.policy.model import Policy
from enforcer.policy.zones import Zones
from enforcer.schedule.horizon import NO_ORDERS, check_schedule
from enforcer.schedule.orders import Orders
from enforcer.schedule.past import PastGuards


def load(
    documents: Mapping[str, bytes],
    main: str,
    zones: Zones,
    read_calendar: Callable[[str], bytes] = no_calendars,
    now: datetime | None = None,
    orders: Orders = NO_ORDERS,
    past: PastGuards = (),
) -> Policy:
    """The policy of `documents` (file name → bytes), of which `main` is `enforcer.yaml`.

    Windows come in order of file name and place. `read_calendar` as in `policy.load`. Windows are
    looked at over a horizon: from `now` on when it is given, else from the first time that any
    window names on, so that the answer is the same on every day. `past` as in `check_schedule`.
    Raises PolicyError.
    """
    draft = read_documents(documents, main, zones, read_calendar)
    problems = [*draft.problems, *check_schedule(draft.placed, draft.estates, now, orders, past)]
    if problems or draft.policy is None:
        raise PolicyError(sorted(set(problems)))
    return draft.policy
