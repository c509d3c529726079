"""Archives that lie about themselves are found out before they cost anything."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib

import pytest

from enforcer.registries.zipped import Archive, SheetError
from tests.registries.sheets import archive

TEXT = b"all work and no play " * 20_000


def zipped(*, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr("a", TEXT)
        made.writestr("b", b"")
        made.comment = comment
    return file.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_members_come_out_in_pieces(method: int) -> None:
    made = Archive(zipped(method=method, comment=b"by PK\x05\x06 mail"), 1 << 20)
    pieces = list(made.pieces("a"))
    assert b"".join(pieces) == TEXT
    assert max(map(len, pieces)) <= 1 << 16
    assert list(made.pieces("b")) in ([], [b""])
    assert ("a" in made, "c" in made) == (True, False)


def test_what_comes_out_in_all_is_bounded() -> None:
    made = Archive(zipped(), len(TEXT) + 10)
    list(made.pieces("a"))
    with pytest.raises(SheetError, match="unpacks to more than 0 MB, the most that is read"):
        list(made.pieces("a"))


def test_a_bomb_is_given_up_without_being_unpacked() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(300)) + packer.flush()
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(packed), 100, 1, 0) + b"a"
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(packed), 100, 1, 0, 0, 0, 0, 0, 0
    )
    entry += b"a"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local) + len(packed), 0)
    bomb = local + packed + entry + end
    tracemalloc.start()
    with pytest.raises(SheetError, match="unpacks to more than 16 MB"):
        list(Archive(bomb, 16 << 20).pieces("a"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The pieces gathered by list() above, and little else: nothing near the 300 MB.
    assert most < 24 << 20


def changed(offset: int, form: str, value: int, *, at: bytes) -> bytes:
    """The archive with one number in the record that begins with `at` written over."""
    data = bytearray(zipped())
    struct.pack_into(form, data, data.find(at) + offset, value)
    return bytes(data)


ENTRY, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped()[:-30], "is cut short: its end is missing; fetch it anew"),
        (b"PK\x03\x04", "is cut short: its end is missing; fetch it anew"),
        (zipped()[40:], "its table of contents is broken; fetch or save it anew"),
        (changed(8, "<H", 1, at=ENTRY), "is protected by a password; save it without one"),
        (changed(10, "<H", 12, at=ENTRY), "is packed in a way that is not read; save it anew"),
        (changed(16, "<L", 1, at=ENTRY), "is damaged: a checksum in it is wrong"),
        (changed(24, "<L", 1, at=ENTRY), "is damaged: a checksum in it is wrong"),
        (changed(24, "<L", 0xFFFFFFFF, at=ENTRY), "is a zip64 archive"),
        (changed(20, "<L", 1 << 30, at=ENTRY), "is damaged or cut short"),
        (changed(20, "<L", 10, at=ENTRY), "is damaged: a checksum in it is wrong"),
        (changed(42, "<L", 1 << 30, at=ENTRY), "is damaged; fetch or save it anew"),
        (changed(42, "<L", 1, at=ENTRY), "is damaged or cut short"),
        (changed(28, "<H", 60_000, at=ENTRY), "its table of contents is broken"),
        (changed(10, "<H", 3, at=END), "its table of contents is broken"),
        (changed(12, "<L", 1 << 20, at=END), "its table of contents is broken"),
        (changed(12, "<L", 50, at=END), "its table of contents is cut short"),
        (changed(16, "<L", 0xFFFFFFFF, at=END), "is a zip64 archive"),
        (changed(40, "<L", 0xFFFFFFFF, at=LOCAL), "is damaged: it does not unpack"),
    ],
)
def test_a_broken_archive_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(SheetError) as refused:
        list(Archive(data, 1 << 20).pieces("a"))
    assert str(refused.value).startswith(message)


def test_so_many_members_are_not_looked_at() -> None:
    with pytest.raises(SheetError, match="has 10,005 members"):
        Archive(archive({f"m{n}": "" for n in range(10_000)}), 1 << 20)


def test_two_members_of_one_name_are_refused() -> None:
    data = zipped().replace(b"\x01\x00\x00\x00b", b"\x01\x00\x00\x00a")
    position = data.rfind(ENTRY)
    data = data[: position + 46] + b"a" + data[position + 47 :]
    with pytest.raises(SheetError, match="two members of one name"):
        Archive(data, 1 << 20)


def test_a_member_that_is_not_there() -> None:
    with pytest.raises(SheetError, match="has no 'x' in it"):
        list(Archive(zipped(), 1 << 20).pieces("x"))
