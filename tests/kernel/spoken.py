"""What is sent over netlink, as bytes and as shapes: kept from real sockets, read from goldens, and
answered by a socket that is no kernel.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from enforcer.kernel import wire
from enforcer.kernel.wire import ACK, DUMP, NESTED, NLMSG_DONE, NLMSG_ERROR, Message
from tests.conftest import GOLDEN

_HEADER = struct.Struct("=IHHII")
_BATCH = {16, 17}
_HEAD_BYTES = {"nft": 4, "link": 16, "address": 8, "tc": 20}


def messages(data: bytes) -> Iterator[bytes]:
    """The messages of what was sent at once, their sequence numbers 1."""
    at = 0
    while at < len(data):
        size, kind, flags, _, port = _HEADER.unpack_from(data, at)
        yield _HEADER.pack(size, kind, flags, 1, port) + data[at + 16 : at + (size + 3 & ~3)]
        at += size + 3 & ~3


def golden_messages(*names: str) -> Iterator[bytes]:
    for name in names:
        text = (GOLDEN / name).read_text(encoding="utf-8")
        for block in re.split(r"^\S.*\n", text, flags=re.M)[1:]:
            yield bytes.fromhex("".join(block.split()))


def shapes(message: bytes) -> set[str]:
    """What the message is made of, without values: its type and flags, and each attribute's path;
    of an expression with its name. ACK says nothing of the shape.
    """
    _, kind, flags, _, _ = _HEADER.unpack_from(message)
    about = f"type {kind >> 8}/{kind & 0xFF} flags {flags & ~ACK:#x}"
    # NEW_LINK and DEL_LINK of rtnetlink have the numbers of a batch's edges, which are shorter.
    if kind >> 8 or (kind in _BATCH and len(message) < 16 + _HEAD_BYTES["link"]):
        head = _HEAD_BYTES["nft"]
    else:
        head = _HEAD_BYTES["link" if kind < 20 else "address" if kind < 24 else "tc"]
    return {about} | {f"{about} {path}" for path in _paths(message[16 + head :])}


def _paths(data: bytes) -> Iterator[str]:
    for number, value, nested in _attributes(data):
        if not nested:
            yield str(number)
            continue
        inner = _attributes(value)
        name = ""
        if [(n, more) for n, _, more in inner[:2]] in ([(1, False)], [(1, False), (2, True)]):
            word = inner[0][1]
            name = f"({wire.string(word)})" if re.fullmatch(rb"[a-z_]+\0", word) else ""
        yield from (f"{number}{name}/{path}" for path in _paths(value))


def _attributes(data: bytes) -> list[tuple[int, bytes, bool]]:
    found, at = [], 0
    while at + 4 <= len(data):
        size, number = struct.unpack_from("=HH", data, at)
        assert size >= 4, "no attribute"
        found.append((number & ~NESTED, data[at + 4 : at + size], bool(number & NESTED)))
        at += size + 3 & ~3
    return found


class Overheard:
    """A netlink socket, what is sent through it kept."""

    def __init__(self, real: socket.socket, sent: list[bytes]) -> None:
        self._real, self._sent = real, sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def send(self, data: bytes) -> int:
        self._sent.extend(messages(data))
        return self._real.send(data)

    def sendmsg(self, parts: list[bytes]) -> int:
        self._sent.extend(messages(b"".join(parts)))
        return self._real.sendmsg(parts)


Answers = Mapping[int, Callable[[Message], list[Message]]]


class Answering:
    """A socket like netlink's that answers with what it is given, and keeps what it is asked."""

    def __init__(self, answers: Answers, sent: list[bytes]) -> None:
        self._answers, self._sent = answers, sent
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._ours, self._theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()

    def fileno(self) -> int:
        return self._ours.fileno()

    def setsockopt(self, *_: object) -> None:
        pass

    def getsockname(self) -> tuple[int, int]:
        """The port id and the groups, as of a netlink socket."""
        return 1, 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        return self._ours.recv(size, flags)

    def sendmsg(self, parts: list[bytes]) -> int:
        return self.send(b"".join(parts))

    def send(self, data: bytes) -> int:
        self._sent.extend(messages(data))
        for asked in wire.replies(data):
            if asked.kind in _BATCH:
                continue
            about = self._answers.get(asked.kind, lambda _: [])
            found = about(Message(asked.kind, asked.flags, bytes(asked.body)))
            if asked.flags & DUMP == DUMP:
                self._say(found, asked.sequence)
                self._say([Message(NLMSG_DONE, 0, bytes(4))], asked.sequence)
            elif asked.flags & ACK:
                self._say([Message(NLMSG_ERROR, 0, bytes(4))], asked.sequence)
            else:
                self._say(found[:1], asked.sequence)
        return len(data)

    def _say(self, said: list[Message], sequence: int) -> None:
        for each in said:
            self._theirs.send(each.packed(sequence))


def makers() -> set[str]:
    """The modules of `enforcer` that make messages for netlink."""
    root = Path(wire.__file__).parents[1]
    return {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in root.rglob("*.py")
        if re.search(r"\b(Message|nftables)\(", path.read_text(encoding="utf-8"))
    }
