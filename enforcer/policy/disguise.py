"""Bytes that are no text of ours at all: what they are, and what to do.

In: the first bytes of a file. Out: `fact; remedy`, or None when it may be text. A feed that fails
delivers a login page, an archive, or the work of another editor; a person told of the 31st
character of line 1 would look in the wrong place.
"""

from __future__ import annotations

# First bytes, and what has them: PKZIP also begins every spreadsheet of today.
_MAGIC = (
    (b"\x1f\x8b", "is compressed by gzip", "unpack it"),
    (b"BZh", "is compressed by bzip2", "unpack it"),
    (b"\xfd7zXZ\x00", "is compressed by xz", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd", "unpack it"),
    (b"PK\x03\x04", "is a zip archive or a spreadsheet", "unpack it, or export it as text"),
    (b"\xd0\xcf\x11\xe0", "is an old spreadsheet or document", "export it as text"),
    (b"%PDF-", "is a PDF", "export it as text"),
    (b"\x7fELF", "is a program", "name the right file"),
    (b"\xff\xfe\x00\x00", "is UTF-32 text", "save it as UTF-8"),
    (b"\x00\x00\xfe\xff", "is UTF-32 text", "save it as UTF-8"),
    (b"\xff\xfe", "is UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16 text", "save it as UTF-8"),
)
_LOOKED_AT = 4096


def disguised(data: bytes) -> str | None:
    """What `data` is when it is not text in UTF-8, as `fact; remedy`."""
    for magic, fact, remedy in _MAGIC:
        if data.startswith(magic):
            return f"{fact}; {remedy}"
    head = data[:_LOOKED_AT]
    if head and not head.strip(b"\x00"):
        # What a file system leaves of a file that was being written when the power went.
        return "begins with NUL bytes only; write it anew from its source"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    # Text of Latin letters in UTF-16 has a NUL in every other place, and none in between.
    if len(head) >= 8 and max(even, odd) > len(head) // 4 and not min(even, odd):
        return "is UTF-16 text; save it as UTF-8"
    return None


def is_markup(line: bytes) -> bool:
    """True for a line that begins HTML or XML: no file of ours begins so."""
    return line.lstrip()[:1] == b"<" and not is_conflict(line)


def is_conflict(line: bytes) -> bool:
    """True for a line that git leaves where two versions of a file did not merge."""
    return line[:7] in (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")


def foreign_row(line: bytes) -> str | None:
    """What a line is that other programs leave in the midst of a file, as `fact; remedy`."""
    if is_conflict(line):
        return CONFLICT
    if is_markup(line):
        return "HTML or XML in place of a row; check where the file comes from"
    return None


CONFLICT = "the mark of a merge conflict in the file; resolve it"
MARKUP = "is HTML or XML, perhaps a login page; check where the file comes from"
