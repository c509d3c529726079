"""reserve: registered packets that leave by a named link go to their class of its HTB.

The rest stays in the default class, which keeps a fifth of the link at least and borrows what is
idle. Nothing is dropped here: a class that is full queues, as the link itself would.
"""

from __future__ import annotations

from enforcer.lookup.tables import Tables
from enforcer.policy.model import Link, Reserve
from enforcer.policy.prefix import FAMILIES, Family
from enforcer.ruleset.measures import CounterName, Part
from enforcer.ruleset.registered import by_family, registered_lookup
from enforcer.ruleset.sampling import Sampling
from enforcer.ruleset.vocabulary import (
    REGISTERED_MINOR,
    SHAPER_MAJOR,
    Chain,
    Goto,
    Hook,
    OifName,
    Rule,
    SetPriority,
    Shaper,
    Statement,
)

HOOK = Hook("postrouting", -150)


def reserve_part(window: str, link: Link, tables: Tables, sampling: Sampling) -> Part:
    owner = f"reserve.{window}"
    to_class = SetPriority(SHAPER_MAJOR, REGISTERED_MINOR)

    def act(family: Family, category: str) -> tuple[Statement, ...]:
        return CounterName("reserve", window, "reserved", family, category).count, to_class

    lookups = {
        family: registered_lookup(owner, window, tables, family, ("saddr", "daddr"), act, sampling)
        for family in FAMILIES
    }
    rules, chains = by_family(owner, lookups, lambda f: sampling.missed("reserve", window, f))
    on_link = Chain(f"{owner}.link", rules)
    base = Chain(owner, (Rule((OifName(link.device), Goto(on_link.name))),), HOOK)
    return Part(
        containers=tuple(m for lookup in lookups.values() for m in lookup.maps),
        chains=(
            *(c for lookup in lookups.values() for c in lookup.chains),
            *chains,
            on_link,
            base,
        ),
    )


def shaper(link: Link, reserves: list[Reserve]) -> Shaper:
    """The shares of several windows on one link add up (policy keeps the sum within its limit)."""
    share = sum(reserve.share for reserve in reserves)
    return Shaper(link.device, link.rate_bps, round(link.rate_bps * share))
