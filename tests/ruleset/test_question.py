"""Texts become a question, or it is told which of them is wrong."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.policy.prefix import Prefix, Service
from enforcer.ruleset.question import Question, QuestionError, verdict_words


def test_a_question_is_read() -> None:
    asked = Question.read("192.0.2.1", "203.0.113.5", "udp/51820", "2026-12-01T13:00:00+05:00")
    assert asked == Question(
        Prefix(4, 0xC0000201, 32),
        Prefix(4, 0xCB007105, 32),
        Service(17, 51820, 51820),
        datetime(2026, 12, 1, 8, tzinfo=UTC),
    )
    assert Question.read("2001:db8::1") == Question(Prefix(6, 0x20010DB8 << 96 | 1, 128))
    assert Question.read("192.0.2.1", at="2026-12-01 08:00").at == asked.at


@pytest.mark.parametrize(
    ("texts", "field", "text"),
    [
        (("",), "address", "an address is missing; write one like 192.0.2.1"),
        (("example.org",), "address", "'example.org' is not an IP address; write it like"),
        (("192.0.2.0/24",), "address", "'192.0.2.0/24' is not an IP address"),
        (("192.0.2.1", "::g"), "to", "'::g' is not an IPv6 address"),
        (("192.0.2.1", "::1"), "to", "192.0.2.1 and ::1 are of two families; give two of"),
        (("192.0.2.1", "", "udp"), "service", "'udp': udp needs a port; write tcp/443"),
        (("192.0.2.1", "", "", "tomorrow"), "at", "'tomorrow' is no instant; write it like"),
        (("192.0.2.1", "", "", "0001-01-01T00:00:00+14:00"), "at", "is no instant"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(
    texts: tuple[str, ...], field: str, text: str
) -> None:
    with pytest.raises(QuestionError) as caught:
        Question.read(*texts)
    assert caught.value.field == field
    assert text in str(caught.value)


@given(st.text(), st.text(), st.text(), st.text())
def test_no_text_does_anything_else(address: str, to: str, service: str, at: str) -> None:
    with contextlib.suppress(QuestionError):
        Question.read(address, to, service, at)


@pytest.mark.parametrize(
    ("verdict", "partly", "step", "words"),
    [
        ("marked", False, "mark of window w: registered as mission", "marked"),
        ("marked", False, "mark and reserve of window w: registered as mission", "marked"),
        ("marked", False, "reserve of window w: registered as mission", "reserved for"),
        ("held_back", True, "guard of window w: held back for the rest", "held back in part"),
        ("untouched", False, "no window is armed", "untouched"),
    ],
)
def test_a_verdict_in_words(verdict: str, partly: bool, step: str, words: str) -> None:
    answer = {"verdict": verdict, "partly": partly, "steps": [step]}
    assert verdict_words(answer) == words
