"""Policy, active windows and the compiled registry → the Ruleset of one instant.

In: values, among them which devices exist. Out: everything of ours that should be in the kernel.
Outside windows that is the registered maps (and chains for their services, which
nothing calls). Windows are compiled
one beside the other: opening or closing one never changes another's chains.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from enforcer.lookup.tables import Tables
from enforcer.policy.model import Activation, Policy, Reserve
from enforcer.ruleset.guard import guard_part
from enforcer.ruleset.mark import mark_part
from enforcer.ruleset.measures import Part
from enforcer.ruleset.registered import services_part
from enforcer.ruleset.reserve import reserve_part, shaper
from enforcer.ruleset.sampling import NO_SAMPLES, Sampling
from enforcer.ruleset.vocabulary import (
    ArmingSet,
    Container,
    FrontSet,
    RegisteredMap,
    Ruleset,
    Shaper,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_ns(instant: datetime) -> int:
    """Nanoseconds since the epoch, exactly (a float would lose the last digits)."""
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000


def arming_set(policy: Policy, activation: Activation) -> ArmingSet:
    until_end = activation.window.lease == "until-end"
    lease_ns = None if until_end else policy.gateway.lease_s * 10**9
    return ArmingSet(activation.id, epoch_ns(activation.ends_at), lease_ns)


def compile_ruleset(
    policy: Policy,
    activations: Iterable[Activation],
    tables: Tables,
    *,
    devices: frozenset[str],
    unshapeable: frozenset[str] = frozenset(),
    sampling: Sampling = NO_SAMPLES,
) -> Ruleset:
    """What should be in the kernel while just these windows are active.

    `devices` are the interfaces that exist; a reserve on one that does not is left out until it is
    back. `unshapeable` are devices whose root qdisc is somebody else's. `sampling`: how many
    packets of each kind are told of; none, unless somebody listens.
    """
    containers: list[Container] = [RegisteredMap(stage) for stage in tables.stages]
    if tables.front is not None:
        containers.append(FrontSet(tables.front))
    parts: list[Part] = []
    reserves: dict[str, list[Reserve]] = defaultdict(list)
    for activation in sorted(activations, key=lambda a: a.id):
        window = activation.window
        window_parts: list[Part] = []
        if window.guard:
            estate, uplinks = policy.estate(window.guard.estate), policy.gateway.uplinks
            window_parts.append(
                guard_part(
                    window.id,
                    estate,
                    uplinks,
                    policy.lifelines,
                    tables,
                    sampling,
                    stage=window.stage,
                )
            )
        if window.mark:
            window_parts.append(mark_part(window.id, window.mark, tables, sampling))
        if window.reserve:
            link = policy.link(window.reserve.link)
            if link.device in devices - unshapeable:
                reserves[link.name].append(window.reserve)
                window_parts.append(reserve_part(window.id, link, tables, sampling))
        if window_parts:
            containers.append(arming_set(policy, activation))
            parts += window_parts
    service_chains, service_map = services_part(tables)
    containers += service_map
    chains = (*service_chains, *(chain for part in parts for chain in part.chains))
    containers += [container for part in parts for container in part.containers]
    counters = {name for chain in chains for name in chain.counters}
    shapers: list[Shaper] = [shaper(policy.link(name), r) for name, r in sorted(reserves.items())]
    return Ruleset(tuple(containers), chains, tuple(sorted(counters)), tuple(shapers))
