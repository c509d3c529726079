"""What the promises are checked on: a finished ruleset beside what it was compiled from."""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.lookup.tables import Tables
from enforcer.policy.model import Activation, Policy
from enforcer.ruleset import vocabulary as v

Condition = frozenset[v.Statement]


@dataclass(frozen=True, slots=True)
class Case:
    """What is checked against what. `owners` says which window a base chain belongs to."""

    ruleset: v.Ruleset
    policy: Policy
    active: dict[str, Activation]
    tables: Tables
    small: dict[str, v.SmallSet]
    class_maps: dict[str, v.ClassMap]
    owners: dict[str, str]
