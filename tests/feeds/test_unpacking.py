"""gzip undone in bounded memory."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.feeds.unpacking import Gunzip, UnpackError, opened, unpacking

MB = 1024**2


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.integers(1, 50))
def test_members_in_pieces_of_any_size_come_out_whole(parts: list[bytes], size: int) -> None:
    packed = b"".join(gzip.compress(part) for part in parts)
    out = Gunzip(MB)
    for at in range(0, len(packed), size):
        out.feed(packed[at : at + size])
    assert out.whole() == b"".join(parts)


def test_the_limit_is_one_of_packed_and_of_unpacked_bytes() -> None:
    exact = bytes(MB)
    assert opened(gzip.compress(exact), MB) == exact
    with pytest.raises(UnpackError, match="larger than max_size, 1 MB"):
        opened(gzip.compress(exact + b"x"), MB)
    out = unpacking("identity", 4)
    out.feed(b"1234")
    with pytest.raises(UnpackError):
        out.feed(b"5")


def test_a_bomb_is_never_held() -> None:
    bomb = gzip.compress(bytes(64 * MB))
    tracemalloc.start()
    try:
        with pytest.raises(UnpackError):
            opened(bomb, MB)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * MB


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (gzip.compress(b"body" * 99, mtime=0)[:-1], "cut short"),
        (gzip.compress(b"body" * 99, mtime=0)[:-8] + bytes(8), "broken gzip"),
        (gzip.compress(b"body", mtime=0) + b"no gzip", "broken gzip"),
        (gzip.compress(b"", mtime=0) * 20_000, "over 10,000 parts"),
    ],
)
def test_what_is_not_right_is_refused(packed: bytes, text: str) -> None:
    with pytest.raises(UnpackError, match=text):
        opened(packed, MB)


def test_other_encodings_and_plain_bodies() -> None:
    with pytest.raises(UnpackError, match="have the server send gzip"):
        unpacking("br", MB)
    assert opened(b"id,prefix", MB) == b"id,prefix"
    out = unpacking(" GZip ", MB)
    out.feed(gzip.compress(b"x"))
    assert out.whole() == b"x"
