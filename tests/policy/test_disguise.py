"""What is no text of ours is told by its first bytes; what is, is let pass."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pytest

from enforcer.policy.disguise import disguised, foreign_row, is_markup

TEXT = "id,prefix,category,valid_from,valid_until,services\n"


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        (gzip.compress(TEXT.encode(), mtime=0), "is compressed by gzip"),
        (bz2.compress(TEXT.encode()), "is compressed by bzip2"),
        (lzma.compress(TEXT.encode()), "is compressed by xz"),
        (TEXT.encode("utf-16"), "is UTF-16 text"),
        (TEXT.encode("utf-16-le"), "is UTF-16 text"),
        (TEXT.encode("utf-16-be"), "is UTF-16 text"),
        (TEXT.encode("utf-32"), "is UTF-32 text"),
        (bytes(10), "begins with NUL bytes only"),
    ],
)
def test_another_form_is_named_with_its_remedy(data: bytes, fact: str) -> None:
    said = disguised(data)
    assert said is not None
    assert said.startswith(f"{fact}; ")


@pytest.mark.parametrize(
    "data",
    [b"", b"a", TEXT.encode(), "شرکت\n".encode(), b"\xff\n", b"a\0b\n", b"a,\0\0\0\0,b\n" * 99],
)
def test_what_may_be_text_is_left_to_its_parser(data: bytes) -> None:
    assert disguised(data) is None


def test_rows_of_other_programs_are_known() -> None:
    assert is_markup(b"  <html>")
    assert not is_markup(b"a<b")
    assert foreign_row(b"<<<<<<< HEAD") == "the mark of a merge conflict in the file; resolve it"
    assert foreign_row(b"192.0.2.0/24") is None
