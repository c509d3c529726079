"""One configuration, whole: policy and registrations, read once and parsed from the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from enforcer.errors import PolicyError, Problem
from enforcer.policy.model import Policy
from enforcer.policy.registry import Registry, merge, parse_registry
from enforcer.schedule.horizon import NO_ORDERS
from enforcer.schedule.orders import Orders
from enforcer.sources.files import load_policy


@dataclass(frozen=True, slots=True)
class Configuration:
    policy: Policy
    registry: Registry


def load_configuration(
    config: Path, now: datetime | None = None, orders: Orders = NO_ORDERS
) -> Configuration:
    """`now` and `orders` as in `load_policy`. Raises PolicyError with every problem of every file;
    then nothing of it is used.
    """
    policy, files = load_policy(config, now=now, orders=orders)
    registries: list[Registry] = []
    problems: list[Problem] = []
    count = 0
    for name, data in files.items():
        try:
            registries.append(parse_registry(name, data, policy.categories))
        except PolicyError as error:
            problems += error.problems
            count += error.count
    if problems:
        raise PolicyError(problems, count)
    return Configuration(policy, merge(registries))
