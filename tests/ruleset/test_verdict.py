"""What `explain` says of a flow, told from policy and registrations, never from the rules."""

from __future__ import annotations

import pytest
from builders import POLICY, active, services_of, window

from enforcer.lookup.tables import Term
from enforcer.policy.model import Activation, Guard, Mark
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


def told(terms: tuple[Term, ...], asked: str, window: Activation = GUARD) -> tuple[str, str]:
    """Of an estate with udp/5000-5100."""
    (service,) = services_of(asked)
    found = verdict(POLICY, [window], Flow(FROM, TO, service), terms)
    return found.name, found.steps[0].partition("estate concentrators: ")[2] or found.steps[0]


def one_port(port: int) -> tuple[Term, ...]:
    return (Term("freelancer", services_of(f"udp/{port}")),)


@pytest.mark.parametrize("port", [5000, 5050, 5100])
def test_of_a_range_that_is_registered_in_part_the_part_is_told(port: int) -> None:
    part = f"registered for udp/{port} only, let in for these"
    rest = f"{part} and held back for the rest"
    assert told(one_port(port), "udp/5000-5100") == ("held_back", rest)
    whole = verdict(POLICY, [GUARD], Flow(FROM, TO), one_port(port))
    assert (whole.name, whole.steps[0].endswith(part)) == ("let_in", True)
    assert told(one_port(port), "udp/5001-5049")[0] == "held_back"
    assert told(one_port(port), f"udp/{port}") == ("let_in", "registered as freelancer, let in")


def test_a_range_is_not_let_in_where_a_part_is_held_back() -> None:
    (asked,) = services_of("udp/4000-6000")
    flow = Flow(FROM, TO, asked)
    found = verdict(POLICY, [GUARD, MARK], flow, one_port(5050))
    assert (found.name, found.partly, found.windows) == ("held_back", True, ("ddos", "tag"))
    assert found.steps[-1] == "mark of window tag: as category freelancer for udp/5050"
    assert not verdict(POLICY, [GUARD], flow, ()).partly
    staged = verdict(POLICY, [STAGED], flow, one_port(5050))
    assert (staged.name, staged.partly) == ("untouched", False)
    assert staged.steps[-1] == "window trial is staged: it counts and holds nothing back"
    assert verdict(POLICY, [GUARD], Flow(FROM, TO), one_port(5050)).name == "let_in"


def test_pieces_of_a_range_are_told_as_one_and_each_category_with_its_own() -> None:
    terms = (
        Term("freelancer", services_of("udp/5000-5049")),
        Term("mission", services_of("udp/5050-5100")),
    )
    assert told(terms, "udp/5000-5100") == (
        "let_in",
        "registered as freelancer and mission, let in",
    )
    assert told(terms[1:], "udp/5000-5100")[1].startswith("registered for udp/5050-5100 only")
    each = "as category freelancer for udp/5000-5049, as category mission for udp/5050-5100"
    assert told(terms, "udp/5000-5100", MARK) == ("marked", f"mark of window tag: {each}")
    assert told(one_port(5050), "udp/5000-5100", MARK)[1].endswith("freelancer for udp/5050")
    assert told(one_port(9), "udp/5000-5100", MARK)[0] == "untouched"


def test_a_range_that_an_estate_serves_in_part_is_judged_by_that_part() -> None:
    assert told((), "udp/4999-5000")[0] == "held_back"
    assert told(one_port(5000), "udp/4000-6000")[1].startswith("registered for udp/5000 only")
    assert told((), "udp/1-499")[0] == "untouched"
