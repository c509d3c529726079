"""One configuration, whole: policy and registrations, read once and parsed from the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from enforcer.errors import PolicyError, Problem
from enforcer.policy.model import Policy
from enforcer.policy.registry import Registry, merge, parse_registry
from enforcer.schedule.horizon import NO_ORDERS
from enforcer.schedule.orders import Orders
from enforcer.schedule.past import PastGuards
from enforcer.sources.files import Documents, RegistryError, read_texts


@dataclass(frozen=True, slots=True)
class Configuration:
    """`documents` are the bytes that `policy` was read from; None where it came from elsewhere."""

    policy: Policy
    registry: Registry
    documents: Documents | None = None


def load_configuration(
    config: Path,
    now: datetime | None = None,
    orders: Orders = NO_ORDERS,
    past: PastGuards = (),
) -> Configuration:
    """`now`, `orders` and `past` as in `load_policy`. Raises PolicyError with every problem of
    every file; then nothing of it is used. A file that somebody else could change is such a
    problem.
    """
    policy, texts = read_texts(config, now, orders, guarded=True, past=past)
    return Configuration(policy, parse_all(texts.registries, policy), texts.documents)


def parse_all(files: Mapping[str, bytes], policy: Policy) -> Registry:
    """The registry files of a policy as one registry. Raises RegistryError with every problem."""
    registries: list[Registry] = []
    problems: list[Problem] = []
    count, more = 0, False
    for name, data in files.items():
        try:
            registries.append(parse_registry(name, data, policy.categories))
        except PolicyError as error:
            problems += error.problems
            count, more = count + error.count, more or error.more
    if problems:
        raise RegistryError(problems, count, more=more)
    return merge(registries)
