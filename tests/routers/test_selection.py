"""Routers are told just the addresses that are registered, and until when."""

from __future__ import annotations

from datetime import date

from drawn_registries import DAY, Drawn, registries
from hypothesis import given, settings

from enforcer.policy.prefix import parse_prefix, parse_service
from enforcer.routers.selection import Group, Selection, select
from tests.routers import router_worlds as worlds


@settings(deadline=None)
@given(registries())
def test_an_address_is_in_a_group_just_when_it_is_registered_so(drawn: Drawn) -> None:
    selection = select(drawn.registry, DAY)
    groups = [
        (group.services, [parse_prefix(text) for text in (*group.v4, *group.v6)])
        for group in selection.groups
    ]
    first, *others = [" ".join(map(str, services)) for services, _ in groups]
    assert (first, others) == ("", sorted(set(others)))
    for family, address in drawn.edges():
        found = {
            services
            for services, prefixes in groups
            if any(p.family == family and address in p for p in prefixes)
        }
        wanted = {row.services for row in drawn.covering(family, address)}
        if () in wanted:
            # Any service says it all; a narrower prefix around it may say more.
            assert () in found
        else:
            assert found == wanted


@settings(deadline=None)
@given(registries())
def test_it_holds_until_something_begins_or_ends(drawn: Drawn) -> None:
    selection = select(drawn.registry, DAY)
    ends = [row.valid_until for row in drawn.rows if row.valid_until and row.valid_until >= DAY]
    begins = [row.valid_from for row in drawn.rows if row.valid_from and row.valid_from > DAY]
    changes = [*(day.toordinal() + 1 for day in ends), *(day.toordinal() for day in begins)]
    expected = date.fromordinal(min(changes) - 1) if changes else None
    assert selection.last_day == expected


def test_a_selection_whole() -> None:
    made = worlds.registry()
    assert select(made, worlds.DAY) == Selection(
        made.digest,
        worlds.DAY,
        date(2026, 8, 31),
        (
            Group((), ("198.51.100.0/24", "203.0.113.7/32"), ("2001:db8:1::/48",)),
            Group(
                (parse_service("tcp/5000-5100"), parse_service("sctp/36412")),
                ("192.0.2.64/28",),
                (),
            ),
            Group(
                (parse_service("udp/500"), parse_service("udp/4500"), parse_service("esp")),
                ("192.0.2.0/28",),
                ("2001:db8:2::7/128",),
            ),
        ),
    )
    rows = worlds.ROWS.splitlines(keepends=True)
    again = select(worlds.registry("".join(reversed(rows))), worlds.DAY)
    assert again.groups == select(made, worlds.DAY).groups
