"""One list of services includes another when no packet of the other is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.policy.inclusion import includes, spans
from enforcer.policy.prefix import Service, parse_service

TCP, UDP, ESP = 6, 17, 50


def services(text: str) -> tuple[Service, ...]:
    return tuple(parse_service(token) for token in text.split())


@pytest.mark.parametrize(
    ("wider", "narrower", "expected"),
    [
        ("", "", True),
        ("", "tcp/1 esp", True),
        ("tcp/1", "", False),
        ("udp/500 udp/4500 esp", "esp", True),
        ("esp", "udp/500 udp/4500 esp", False),
        ("esp", "ah", False),
        ("udp/443", "tcp/443", False),
        ("udp/5000-5100", "udp/5000 udp/5050-5099 udp/5100", True),
        ("udp/5000-5100", "udp/5000-5101", False),
        ("udp/5000-5100", "udp/4999", False),
        ("udp/1-50 udp/51-100", "udp/10-90", True),
        ("udp/1-50 udp/52-100", "udp/10-90", False),
        ("udp/1-100 udp/20-30", "udp/31-90", True),
        ("tcp/1-65535", "tcp/65535", True),
    ],
)
def test_what_includes_what(wider: str, narrower: str, expected: bool) -> None:
    assert includes(services(wider), services(narrower)) is expected


def test_a_protocol_without_ports_includes_all_its_ports_and_is_in_no_list_of_them() -> None:
    assert includes([Service(TCP)], services("tcp/1 tcp/400-500"))
    assert includes([Service(TCP)], [Service(TCP)])
    assert not includes([Service(TCP)], services("udp/1"))
    assert not includes(services("tcp/1-65535"), [Service(TCP)])


def test_ranges_that_meet_become_one() -> None:
    assert spans(services("udp/7-9 esp udp/1-3 udp/4 udp/2")) == {
        UDP: [(1, 4), (7, 9)],
        ESP: [(0, 65535)],
    }


PORTS = st.tuples(st.integers(1, 12), st.integers(0, 4))
LISTS = st.lists(
    st.one_of(
        st.builds(lambda p, port: Service(p, port[0], sum(port)), st.sampled_from((6, 17)), PORTS),
        st.sampled_from((Service(50), Service(6))),
    ),
    max_size=4,
)


def reached(listed: list[Service]) -> set[tuple[int, int]]:
    """Every protocol and port of some, one by one; a port of a protocol that has none is 0."""
    return {
        (protocol, port)
        for protocol in (6, 17, 50, 99)
        for port in range(20)
        if not listed
        or any(s.protocol == protocol and (not s.has_ports or port in s.ports) for s in listed)
    }


@given(LISTS, LISTS)
def test_it_is_what_a_look_at_every_port_finds(
    wider: list[Service], narrower: list[Service]
) -> None:
    assert includes(wider, narrower) == (reached(wider) >= reached(narrower))
