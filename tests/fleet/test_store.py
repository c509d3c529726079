"""What stands in etcd is a number or a revision, or is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.fleet.revision import MOST_NUMBER
from enforcer.fleet.store import RefusedError, Signed, number_of


@given(st.binary(max_size=30) | st.from_regex(rb"[0-9]{1,14}", fullmatch=True))
def test_a_head_is_a_number_or_refused(text: bytes) -> None:
    digits = text.isdigit() and len(text) <= 12 and text.strip(b"0") != b""
    if digits:
        assert 0 < number_of(text) <= MOST_NUMBER
    else:
        with pytest.raises(RefusedError) as caught:
            number_of(text)
        assert str(caught.value).isprintable()


def test_the_highest_number_is_one_and_the_next_is_none() -> None:
    assert number_of(str(MOST_NUMBER).encode()) == MOST_NUMBER
    for text in (str(MOST_NUMBER + 1).encode(), b"0" * 19 + b"1" + b"9" * 5000, b"0", "²".encode()):
        with pytest.raises(RefusedError, match="where a revision's number belongs"):
            number_of(text)


@pytest.mark.parametrize(
    "value",
    [
        {"manifest": "\ud800", "signature": "x"},
        {"manifest": "{}", "signature": "\udfff"},
        {"manifest": 7, "signature": "x"},
        {"manifest": "{}", "signature": None},
        {"manifest": "{}"},
        ["manifest", "signature"],
    ],
)
def test_what_is_no_revision_is_refused(value: object) -> None:
    with pytest.raises(RefusedError, match="is no revision; publish it again"):
        Signed.of(json.dumps(value).encode())
