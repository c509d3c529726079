"""Samples: which packets are told to the daemon, so that it can judge them again by the radix tree.

In: the rate, and what the rules beside it do to a packet. Out: a rule that tells of one such packet
in `ONE_IN`, by chance, and of at most so many a second; and how such a rule is known. It changes no
packet, and whatever stands behind it decides as if it were not there. Of each kind (window,
measure, verdict, family, category) the same number is told: a flood of one never hides the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from enforcer.policy.prefix import Family
from enforcer.ruleset.case import Case
from enforcer.ruleset.measures import (
    LIFELINE,
    UNREGISTERED,
    MeasureName,
    SampleName,
    parse_counter,
    parse_sample,
)
from enforcer.ruleset.vocabulary import (
    AddressIn,
    Armed,
    Chain,
    Count,
    HasTransport,
    IsFamily,
    MaskedIn,
    OneIn,
    Rule,
    Sample,
    Statement,
)

# The limit takes a lock, and telling of a packet some microseconds: few packets come to either.
ONE_IN = 64
# Longer names are cut by the kernel (NF_LOG_PREFIXLEN); ids and categories are shorter (`values`).
LONGEST_LABEL = 127
_NARROWING = (AddressIn, MaskedIn, Armed)


@dataclass(frozen=True, slots=True)
class Sampling:
    """`rate`: packets a second of each kind; 0: no rule at all."""

    rate: int = 0
    one_in: int = ONE_IN

    def of(self, name: SampleName, *narrowing: Statement) -> tuple[Rule, ...]:
        """The rule that tells of packets of this kind, where `narrowing` fits as well."""
        if not self.rate:
            return ()
        family = name.family
        matches = OneIn(self.one_in), IsFamily(family), HasTransport(), *narrowing
        return (Rule((*matches, Sample(str(name), family, self.rate))),)

    def missed(self, measure: MeasureName, window: str, family: Family) -> tuple[Rule, ...]:
        """The rule behind a lookup, for what it has not found; it asks the arming set itself."""
        return self.of(SampleName.untouched(measure, window, family), Armed(window))

    def before(self, statements: Iterable[Statement], *narrowing: Statement) -> tuple[Rule, ...]:
        """The rule in front of one that counts: what it counts as, it is told as."""
        names = (parse_counter(s.counter) for s in statements if isinstance(s, Count))
        return next((self.of(SampleName.counted(n), *narrowing) for n in names if n), ())


NO_SAMPLES = Sampling()


def sampled_label(rule: Rule) -> str | None:
    """The label of a rule that only tells of packets; None for any other rule."""
    match rule.statements:
        case (OneIn(), IsFamily(family), HasTransport(), *narrowing, Sample() as sample):
            if sample.family == family and all(isinstance(s, _NARROWING) for s in narrowing):
                return sample.label
    return None


def deciding(chain: Chain) -> tuple[Rule, ...]:
    """The rules of a chain without those that only tell of packets."""
    if Sample not in chain.words:
        return chain.rules
    return tuple(rule for rule in chain.rules if sampled_label(rule) is None)


def sampling_violations(case: Case) -> list[str]:
    """5: whoever samples does nothing else. 6: and names what the operator named."""
    found: list[str] = []
    categories = {*case.policy.categories, LIFELINE, UNREGISTERED}
    for chain in case.ruleset.chains:
        if chain.words.isdisjoint((OneIn, Sample)):
            continue
        found += chain.once("sampling", _violations)
        for rule in chain.rules:
            name = parse_sample(sampled_label(rule) or "")
            if name is None:
                continue
            if name.category not in categories or name.window not in case.active:
                found.append(f"promise 6: chain {chain.name} samples {name}, no name of a window")
    return found


def _violations(chain: Chain) -> tuple[str, ...]:
    found = []
    for rule in chain.rules:
        if not any(isinstance(s, OneIn | Sample) for s in rule.statements):
            continue
        label = sampled_label(rule)
        if label is None:
            found.append(f"promise 5: chain {chain.name} samples, and does more than that")
        elif parse_sample(label) is None or len(label) > LONGEST_LABEL:
            found.append(f"promise 6: chain {chain.name} samples under a name that is none of ours")
    return tuple(found)
