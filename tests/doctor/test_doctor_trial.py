"""What is tried on the kernel: everything that the configuration could ask, and what it refuses."""

from __future__ import annotations

import errno
from datetime import timedelta
from pathlib import Path

import pytest

from enforcer.doctor.trial import everything, judge_rules, refused
from enforcer.kernel.fake import FakeKernel
from enforcer.kernel.remedies import kernel_error
from enforcer.lookup.planner import plan
from enforcer.lookup.tables import Tables
from enforcer.lookup.tree import RadixTree
from enforcer.policy.model import Policy
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.compiler import compile_ruleset, epoch_ns
from enforcer.sources.load import load_configuration
from tests.ruleset.builders import STARTS_AT

CONFIG = Path(__file__).parents[2] / "config" / "enforcer.yaml"
NOW_NS = epoch_ns(STARTS_AT)


class Lacking(FakeKernel):
    """A kernel without one word."""

    def __init__(self, lacks: type) -> None:
        super().__init__(lambda: NOW_NS, ("lo",))
        self.lacks = lacks

    def commit(self, transaction: t.Transaction, now_ns: int) -> None:
        for op in transaction.operations:
            rules = op.chain.rules if isinstance(op, t.SetRules) else ()
            words = [s for rule in rules for s in rule.statements]
            words += [op.container] if isinstance(op, t.AddSet) else []
            if any(isinstance(word, self.lacks) for word in words):
                raise kernel_error("SetRules probe", errno.ENOENT)
        super().commit(transaction, now_ns)


@pytest.fixture(scope="module")
def policy_and_tables() -> tuple[Policy, Tables]:
    config = load_configuration(CONFIG)
    tree = RadixTree.build(config.registry, STARTS_AT.date())
    return config.policy, plan(tree, 1 << 28)


@pytest.fixture
def rules(policy_and_tables: tuple[Policy, Tables]) -> v.Ruleset:
    policy, tables = policy_and_tables
    devices = frozenset({"wan0"})
    return compile_ruleset(policy, everything(policy, STARTS_AT), tables, devices=devices)


def test_every_measure_is_tried_on_every_estate_and_link(
    policy_and_tables: tuple[Policy, Tables], rules: v.Ruleset
) -> None:
    policy, _ = policy_and_tables
    found = everything(policy, STARTS_AT)
    assert [a.window.measure_names for a in found] == [("guard",), ("mark",), ("reserve",)]
    assert {a.ends_at - a.starts_at for a in found} == {timedelta(hours=1)}
    assert {c.hook.name for c in rules.chains if c.hook} == {"prerouting", "postrouting"}
    assert [s.registered_bps for s in rules.shapers] == [800_000_000]


def test_a_kernel_that_takes_it_all(
    policy_and_tables: tuple[Policy, Tables], rules: v.Ruleset
) -> None:
    kernel = FakeKernel(lambda: NOW_NS, ("lo",))
    found = judge_rules(kernel, rules, policy_and_tables[1], NOW_NS)
    assert found.level == "ok"
    assert "takes the whole ruleset of all measures" in found.fact
    assert found.fact.endswith("5 prefixes")


@pytest.mark.parametrize(
    ("lacks", "named"),
    [
        (v.SetDscp, ["lacks: ip dscp set cs5; ip6 dscp set cs5"]),
        (v.SetPriority, ["meta priority set e4f0:10"]),
        (v.ArmingSet, ["sets with timeouts"]),
    ],
)
def test_a_kernel_that_lacks_something_has_it_named(
    policy_and_tables: tuple[Policy, Tables], rules: v.Ruleset, lacks: type, named: list[str]
) -> None:
    kernel = Lacking(lacks)
    found = judge_rules(kernel, rules, policy_and_tables[1], NOW_NS)
    assert found.level == "fail"
    for word in named:
        assert word in found.fact
    assert refused(FakeKernel(lambda: NOW_NS, ("lo",)), rules, NOW_NS) == []
