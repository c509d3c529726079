"""One configuration, whole: policy and registrations, read once and parsed from the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from enforcer.errors import PolicyError, Problem
from enforcer.policy.model import Policy
from enforcer.policy.prefix import FAMILIES, Family
from enforcer.policy.registry import Registry, merge, read_again
from enforcer.policy.registry_pieces import FilePieces
from enforcer.schedule.horizon import NO_ORDERS
from enforcer.schedule.orders import Orders
from enforcer.schedule.past import PastGuards
from enforcer.sources.files import (
    Documents,
    Reader,
    RegistryError,
    policy_alone,
    read_texts,
)
from enforcer.sources.side_by_side import side_by_side


@dataclass(frozen=True, slots=True)
class Configuration:
    """`documents` are the bytes that `policy` was read from; None where it came from elsewhere.
    `pieces` are those of the registry files in `registry`, by the file's name.
    """

    policy: Policy
    registry: Registry
    documents: Documents | None = None
    pieces: Mapping[str, FilePieces] = field(default_factory=dict)


def load_configuration(
    config: Path,
    now: datetime | None = None,
    orders: Orders = NO_ORDERS,
    past: PastGuards = (),
    before: Configuration | None = None,
) -> Configuration:
    """`now`, `orders` and `past` as in `load_policy`. `before` is the configuration in force, if
    any: what its files have in common with today's is not parsed anew. Raises PolicyError with
    every problem of every file; then nothing of it is used. A file that somebody else could change
    is such a problem.
    """
    policy, texts = read_texts(config, now, orders, guarded=True, past=past)
    registry, pieces = parse_all(texts.registries, policy, before)
    return Configuration(policy, registry, texts.documents, pieces)


def with_registry(config: Path, before: Configuration) -> Configuration:
    """`before`, which was read from `config`, with its registry files as they are now. Raises
    RegistryError.
    """
    policy = before.policy
    files = Reader(config.parent, guarded=True).registries(policy.registry)
    registry, pieces = parse_all(files, policy, before)
    return replace(before, registry=registry, pieces=pieces)


def with_policy(
    config: Path, before: Configuration, now: datetime, orders: Orders, past: PastGuards
) -> Configuration:
    """`before`, which was read from `config`, with its policy as it is now and the registrations
    that it has. Raises PolicyError, also where these would be others by the policy of now.
    """
    policy, documents = policy_alone(config, now, orders, guarded=True, past=past)
    was = before.policy
    if (policy.registry.files, policy.categories) != (was.registry.files, was.categories):
        fact = "names other registry files or categories than those in force"
        raise PolicyError([Problem(documents.main, 0, 0, "registry", fact)])
    return replace(before, policy=policy, documents=documents)


def parse_all(
    files: Mapping[str, bytes], policy: Policy, before: Configuration | None = None
) -> tuple[Registry, dict[str, FilePieces]]:
    """The registry files of a policy as one registry, and the pieces of each. Raises RegistryError
    with every problem.
    """
    registries: list[Registry] = []
    pieces: dict[str, FilePieces] = {}
    taken: dict[Family, int] = {4: 0, 6: 0}
    problems: list[Problem] = []
    count, more = 0, False
    for name, data in files.items():
        kept = None
        if before is not None and name in before.pieces:
            kept = before.registry, before.pieces[name]
        try:
            registry, cut = read_again(name, data, policy.categories, kept, side_by_side)
        except PolicyError as error:
            problems += error.problems
            count, more = count + error.count, more or error.more
            continue
        registries.append(registry)
        pieces[name] = cut.moved(taken)
        taken = {family: taken[family] + len(registry.of_family(family)) for family in FAMILIES}
    if problems:
        raise RegistryError(problems, count, more=more)
    return merge(registries), pieces
