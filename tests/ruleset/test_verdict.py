"""What `explain` says of a flow, told from policy and registrations, never from the rules."""

from __future__ import annotations

import pytest
from builders import POLICY, active, services_of, window

from enforcer.lookup.tables import Term
from enforcer.policy.model import Guard, Mark
from enforcer.policy.prefix import parse_address
from enforcer.ruleset.verdict import Flow, verdict

ESTATE = POLICY.estates[0]
TO = next((p.family, p.network) for p in ESTATE.prefixes if p.family == 4)
LIFELINE = next((p.family, p.network) for p in POLICY.lifelines if p.family == 4)
SERVICE = ESTATE.services[0]
FROM = parse_address("198.18.0.1")
GUARD = active(window("ddos", guard=Guard(ESTATE.name)))
STAGED = active(window("trial", guard=Guard(ESTATE.name), stage=True))
MARK = active(window("tag", mark=Mark(0x51)))
ANY = (Term("freelancer"),)


def said(*windows: object, terms: tuple[Term, ...] = (), **flow: object) -> tuple[str, object]:
    found = verdict(POLICY, windows, Flow(FROM, **flow), terms)  # type: ignore[arg-type]
    return found.name, found.windows


def test_without_a_window_nothing_is_touched() -> None:
    assert said() == ("untouched", ())
    assert said(terms=ANY) == ("untouched", ())


def test_guard_holds_back_the_unregistered_and_lets_in_the_registered() -> None:
    assert said(GUARD, to=TO, service=SERVICE) == ("held_back", ("ddos",))
    assert said(GUARD, to=TO, service=SERVICE, terms=ANY) == ("let_in", ("ddos",))


def test_guard_lets_a_lifeline_in() -> None:
    found = verdict(POLICY, [GUARD], Flow(LIFELINE, TO, SERVICE), ())
    assert found.name == "let_in"


def test_guard_does_not_touch_transit_or_other_services() -> None:
    elsewhere = parse_address("198.18.0.2")
    assert said(GUARD, to=elsewhere, service=SERVICE) == ("untouched", ())
    (other,) = services_of("tcp/9")
    assert said(GUARD, to=TO, service=other) == ("untouched", ())


def test_a_staged_window_holds_nothing_back() -> None:
    assert said(STAGED, to=TO, service=SERVICE) == ("untouched", ("trial",))


def test_registered_for_another_service_is_held_back() -> None:
    other = (Term("freelancer", services_of("tcp/9")),)
    assert said(GUARD, to=TO, service=SERVICE, terms=other) == ("held_back", ("ddos",))


@pytest.mark.parametrize("terms", [ANY, (Term("freelancer", (SERVICE,)),)])
def test_mark_marks_the_registered_alone(terms: tuple[Term, ...]) -> None:
    assert said(MARK, service=SERVICE, terms=terms) == ("marked", ("tag",))
    assert said(MARK, service=SERVICE) == ("untouched", ())


def test_what_is_let_in_and_marked_is_told_as_let_in() -> None:
    assert said(GUARD, MARK, to=TO, service=SERVICE, terms=ANY) == ("let_in", ("ddos", "tag"))
