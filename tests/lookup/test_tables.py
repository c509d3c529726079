"""What is known of classes is shared by registries that have just these, and by no others."""

from __future__ import annotations

from dataclasses import replace

from enforcer.lookup.classes import class_of
from enforcer.lookup.tables import LookupClass, Tables, Term
from enforcer.policy.prefix import parse_service

ANY = class_of((Term("bank"),))
WEB = class_of((Term("bank", (parse_service("tcp/443"),)),))


def _asked(asked: list[int]) -> list[int]:
    """What the tables are asked; the list grows when the answer is really looked for."""

    def answer(classes: tuple[LookupClass, ...]) -> list[int]:
        asked.append(len(classes))
        return [c.id for c in classes]

    old = Tables(classes=(ANY,))
    assert old.of_classes("ids", answer) == [ANY.id]
    same = Tables(classes=(class_of((Term("bank"),)),)).like(old)
    assert same.of_classes("ids", answer) == [ANY.id]
    assert same.classes is old.classes
    other = Tables(classes=(ANY, WEB)).like(old)
    assert other.of_classes("ids", answer) == [ANY.id, WEB.id]
    assert old.of_classes("ids", answer) == [ANY.id]
    assert replace(old, classes=(WEB,)).of_classes("ids", answer) == [WEB.id]
    return asked


def test_an_answer_is_found_once_for_each_set_of_classes() -> None:
    assert _asked([]) == [1, 2, 1]


def test_what_is_known_is_no_part_of_the_value() -> None:
    one, other = Tables(classes=(ANY,)), Tables(classes=(ANY,))
    one.of_classes("ids", lambda classes: len(classes))
    assert one == other
    assert one.like(other) == other
