"""What an address is registered for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from enforcer.errors import PolicyError
from enforcer.lookup.classes import class_of, classify_nodes, order_by_id, registered
from enforcer.lookup.tables import LookupClass, Term
from enforcer.lookup.tree import RadixTree
from enforcer.policy.prefix import BITS, parse_service
from tests.lookup.drawn_registries import DAY, Drawn, registries

VPN = Term("freelancer", (parse_service("udp/51820"), parse_service("esp")))
RANGE = Term("mission", (parse_service("udp/5000-5100"),))
ANY = Term("call-centre")


@pytest.mark.parametrize(
    ("terms", "packet", "category"),
    [
        ((VPN,), (17, 4000, 51820), "freelancer"),
        ((VPN,), (17, 51820, 4000), "freelancer"),
        ((VPN,), (6, 4000, 51820), None),
        ((VPN,), (17, 4000, 51821), None),
        ((VPN,), (50, None, None), "freelancer"),
        ((VPN,), (17, None, None), None),
        ((RANGE,), (17, 1, 5000), "mission"),
        ((RANGE,), (17, 1, 5100), "mission"),
        ((RANGE,), (17, 1, 5101), None),
        ((RANGE,), (17, 1, 4999), None),
        ((VPN, ANY), (17, 4000, 51820), "freelancer"),
        ((VPN, ANY), (6, 4000, 443), "call-centre"),
        ((ANY,), (1, None, None), "call-centre"),
        ((RANGE, VPN), (17, 5001, 51820), "mission"),
    ],
)
def test_the_first_term_that_serves_the_packet_gives_its_category(
    terms: tuple[Term, ...], packet: tuple[int, int | None, int | None], category: str | None
) -> None:
    assert registered(class_of(terms), *packet) == category


@settings(deadline=None)
@given(registries())
def test_a_node_has_the_terms_that_a_scan_of_its_covering_prefixes_gives(drawn: Drawn) -> None:
    tree = RadixTree.build(drawn.registry, DAY)
    classes = classify_nodes(tree)
    for family, address in drawn.edges():
        if 0 <= address < 1 << BITS[family]:
            node = tree.of_family(family).node_of(address)
            number = classes.of_family(family)[node] if node >= 0 else None
            terms = () if number is None else classes.classes[number].terms
            assert terms == drawn.terms(family, address)


def test_two_classes_of_one_id_are_an_error_and_not_a_mix_up() -> None:
    """Four thousand million ids: not seen yet, but what it would do is known."""
    twins = [LookupClass(7, (ANY,)), LookupClass(5, (RANGE,)), LookupClass(7, (VPN, ANY))]
    assert order_by_id(twins[:2]) == [1, 0]
    with pytest.raises(PolicyError) as refused:
        order_by_id(twins)
    assert str(refused.value) == (
        "registry: two lists of services get the same number 7 (call-centre; "
        "freelancer udp/51820 esp then call-centre); change one of them a little"
    )


def test_a_class_keeps_its_id_for_good() -> None:
    """The ids stand in the kernel's maps across restarts and updates: they may not move."""
    assert class_of((ANY,)) == LookupClass(CALL_CENTRE_ID, (ANY,))
    assert class_of((VPN, ANY)) == LookupClass(VPN_THEN_ANY_ID, (VPN, ANY))
    assert class_of((ANY, VPN)).id != class_of((VPN, ANY)).id


CALL_CENTRE_ID = 4285914149
VPN_THEN_ANY_ID = 3671478136
