"""mark: registered packets get a fwmark and a DSCP in prerouting, whichever end is registered.

It has no word for anything else: every rule begins with the registered lookup.
"""

from __future__ import annotations

from enforcer.lookup.tables import Tables
from enforcer.policy.model import Mark
from enforcer.policy.prefix import FAMILIES, Family
from enforcer.ruleset.measures import CounterName, Part
from enforcer.ruleset.registered import by_family, registered_lookup
from enforcer.ruleset.sampling import Sampling
from enforcer.ruleset.vocabulary import Chain, Hook, SetDscp, SetMark, Statement

# Where `nft` has "mangle": before routing decides, so that fwmark rules see it.
HOOK = Hook("prerouting", -150)


def mark_part(window: str, mark: Mark, tables: Tables, sampling: Sampling) -> Part:
    owner = f"mark.{window}"

    def act(family: Family, category: str) -> tuple[Statement, ...]:
        count = CounterName("mark", window, "marked", family, category).count
        fwmark = () if mark.fwmark is None else (SetMark(mark.fwmark),)
        dscp = () if mark.dscp is None else (SetDscp(family, mark.dscp),)
        return (count, *fwmark, *dscp)

    lookups = {
        family: registered_lookup(owner, window, tables, family, ("saddr", "daddr"), act, sampling)
        for family in FAMILIES
    }
    rules, chains = by_family(owner, lookups, lambda f: sampling.missed("mark", window, f))
    return Part(
        containers=tuple(m for lookup in lookups.values() for m in lookup.maps),
        chains=(
            *(c for lookup in lookups.values() for c in lookup.chains),
            *chains,
            Chain(owner, rules, HOOK),
        ),
    )
