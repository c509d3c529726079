"""Files as trees of content-defined chunks: one changed row changes a few chunks, wherever it is.

In: the bytes of a file. Out: a `Root`, and chunks by the hash that names them. Bytes are cut behind
lines whose checksum ends in zeros, so that a cut depends on the line alone and a row that arrives
moves no other cut. The list of the chunks' hashes is cut in the same way, again and again, until
one chunk is left: a gateway that holds the last revision fetches one chunk of each level.

Idea of the cuts: A. Muthitacharoen, B. Chen, D. Mazieres, "A low-bandwidth network file system",
SOSP 2001; of the tree: R. Merkle, 1979.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

# One line in so many ends a chunk: 256 rows are some 12 kB, 64 hashes some 4 kB.
_ROWS, _HASHES = 256, 64
# etcd refuses requests above 1.5 MB, and a file without line ends has no cut of its own.
MOST_CHUNK_BYTES = 128 * 1024
# 64 to the sixth chunks: more than any file that is read.
MOST_DEPTH = 8
_NAME_CHARACTERS = 64


class ChunkError(ValueError):
    """Chunks that do not make the file that their root promises."""


@dataclass(frozen=True, slots=True)
class Root:
    """A file by its content: `size` in bytes, `depth` levels of lists above its chunks, and `name`,
    the hash of the topmost chunk (SHA-256, 64 hexadecimal digits).
    """

    size: int
    depth: int
    name: str


def name_of(chunk: bytes) -> str:
    return hashlib.sha256(chunk).hexdigest()


def cut(data: bytes) -> tuple[Root, dict[str, bytes]]:
    """The root of `data`, and its chunks with those of the lists above them, by name."""
    chunks: dict[str, bytes] = {}
    names = [_put(chunks, part) for part in _parts(data, _ROWS)] or [_put(chunks, b"")]
    depth = 0
    while len(names) > 1:
        listed = "".join(f"{name}\n" for name in names).encode()
        names = [_put(chunks, part) for part in _parts(listed, _HASHES)]
        depth += 1
    return Root(len(data), depth, names[0]), chunks


def _put(chunks: dict[str, bytes], chunk: bytes) -> str:
    name = name_of(chunk)
    chunks[name] = chunk
    return name


def _parts(data: bytes, one_in: int) -> Iterator[bytes]:
    """The data in order, cut behind one line in `one_in`, and where a part would grow too large."""
    start = end = 0
    for line in data.splitlines(keepends=True):
        if end + len(line) - start > MOST_CHUNK_BYTES and end > start:
            yield data[start:end]
            start = end
        end += len(line)
        while end - start > MOST_CHUNK_BYTES:
            yield data[start : start + MOST_CHUNK_BYTES]
            start += MOST_CHUNK_BYTES
        if zlib.crc32(line) % one_in == 0:
            yield data[start:end]
            start = end
    if end > start:
        yield data[start:end]


Fetch = Callable[[list[str]], Mapping[str, bytes]]


def join(root: Root, fetch: Fetch) -> bytes:
    """The file of `root`. `fetch` gives chunks by name; each is checked against its name, so it may
    come from anywhere. Raises ChunkError when one is missing, is not what it is called, or does
    not fit.
    """
    if not 0 <= root.depth <= MOST_DEPTH:
        raise ChunkError(f"is {root.depth} levels deep; {MOST_DEPTH} is the most there can be")
    names = [root.name]
    for level in range(root.depth, -1, -1):
        chunks = _fetched(names, fetch)
        data = b"".join(chunks[name] for name in names)
        if level == 0:
            break
        names = _names(data, root.size)
    if len(data) != root.size:
        raise ChunkError(f"has {len(data):,} bytes where {root.size:,} are promised")
    return data


def _fetched(names: list[str], fetch: Fetch) -> Mapping[str, bytes]:
    wanted = list(dict.fromkeys(names))
    chunks = fetch(wanted)
    for name in wanted:
        if name not in chunks:
            raise ChunkError(f"lacks the chunk {name[:16]}")
        if name_of(chunks[name]) != name:
            raise ChunkError(f"has other bytes than the chunk {name[:16]}")
    return chunks


def _names(listed: bytes, size: int) -> list[str]:
    """A list of hashes, one a line. A chunk holds a byte at least: `size` bounds their number."""
    text = listed.decode("ascii", "replace")
    names = text.splitlines()
    if len(names) > max(size, 1) or any(len(name) != _NAME_CHARACTERS for name in names):
        raise ChunkError("has a list of chunks that is none")
    return names
