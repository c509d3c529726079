"""A file and its chunks are one and the same, and a small change is a few chunks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.fleet.chunks import MOST_CHUNK_BYTES, MOST_DEPTH, ChunkError, Root, cut, join


def rows(count: int) -> bytes:
    return b"".join(b"R-%d,10.%d.%d.0/24,mission,,,\n" % (i, i >> 8, i & 255) for i in range(count))


@given(st.binary(max_size=2000) | st.integers(0, 5000).map(rows))
def test_what_is_cut_is_joined_again(data: bytes) -> None:
    root, chunks = cut(data)
    assert join(root, lambda names: chunks) == data
    assert root.size == len(data)
    assert cut(data) == (root, chunks)


def test_a_file_without_line_ends_is_cut_all_the_same() -> None:
    data = bytes(3 * MOST_CHUNK_BYTES + 7)
    root, chunks = cut(data)
    assert max(map(len, chunks.values())) <= MOST_CHUNK_BYTES
    assert join(root, lambda names: chunks) == data


@pytest.mark.parametrize("count", [2_000, 20_000, 200_000])
def test_one_row_more_is_a_few_chunks_whatever_the_size(count: int) -> None:
    data = rows(count)
    middle = data.index(b"\n", len(data) // 2) + 1
    old = cut(data)[1]
    root, new = cut(data[:middle] + b"R-new,192.0.2.7/32,mission,,,\n" + data[middle:])
    added = new.keys() - old.keys()
    assert len(added) <= 2 * (root.depth + 1)
    assert sum(len(new[name]) for name in added) < 200_000


def test_a_gateway_fetches_what_it_lacks_and_no_more() -> None:
    data = rows(20_000)
    known = cut(data)[1]
    root, chunks = cut(data.replace(b"R-77,", b"R-78,"))
    asked: list[str] = []

    def fetch(names: list[str]) -> dict[str, bytes]:
        asked.extend(name for name in names if name not in known)
        return chunks | known

    join(root, fetch)
    assert 1 <= len(asked) <= root.depth + 1


def test_what_does_not_fit_is_said() -> None:
    root, chunks = cut(rows(5000))
    leaf = next(name for name in sorted(chunks) if name != root.name and chunks[name][:2] == b"R-")
    for wrong, text in (
        ({k: v for k, v in chunks.items() if k != leaf}, f"lacks the chunk {leaf[:16]}"),
        (chunks | {leaf: b"R-1,0.0.0.0/0,mission,,,\n"}, f"other bytes than the chunk {leaf[:16]}"),
        ({}, f"lacks the chunk {root.name[:16]}"),
    ):
        with pytest.raises(ChunkError, match=text):
            join(root, lambda names, wrong=wrong: wrong)  # type: ignore[misc]
    with pytest.raises(ChunkError, match=r"where 1 are promised|list of chunks that is none"):
        join(replace(root, size=1), lambda names: chunks)
    with pytest.raises(ChunkError, match=f"{MOST_DEPTH} is the most"):
        join(Root(1, MOST_DEPTH + 1, root.name), lambda names: chunks)
    # A row is no list of hashes.
    flat, parts = cut(b"R-1,192.0.2.0/24,mission,,,\n")
    with pytest.raises(ChunkError, match="list of chunks that is none"):
        join(replace(flat, depth=1), lambda names: parts)
