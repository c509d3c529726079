"""Which devices face the Internet, as the routes tell: those of the default routes; and which there
are at all. Anybody may ask.

In: the routes as /proc tells them. Out: device names, the ones of the lowest metric first.
Source: fib_route_seq_show() in net/ipv4/fib_trie.c, rt6_info_route() in net/ipv6/route.c.
"""

from __future__ import annotations

import socket
from pathlib import Path

_UP, _REJECT = 0x1, 0x200


def default_devices(proc: Path = Path("/proc")) -> tuple[str, ...]:
    """The devices of the default routes of both families; empty when there is none."""
    found = sorted(
        _ipv4(_lines(proc / "net" / "route")) + _ipv6(_lines(proc / "net" / "ipv6_route"))
    )
    return tuple(dict.fromkeys(device for _, device in found if device != "lo"))


def devices_here() -> tuple[str, ...]:
    """Every device of this network namespace, those of the default routes first; empty where the
    kernel does not tell.
    """
    try:
        there = {name for _, name in socket.if_nameindex()}
    except OSError:
        return ()
    outward = [name for name in default_devices() if name in there]
    return tuple(dict.fromkeys([*outward, *sorted(there)]))


def _lines(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.split() for line in text.splitlines()]


def _ipv4(lines: list[list[str]]) -> list[tuple[int, str]]:
    # Iface Destination Gateway Flags RefCnt Use Metric Mask …
    return [
        (int(words[6]), words[0])
        for words in lines[1:]
        if len(words) > 7 and words[1] == words[7] == "00000000" and int(words[3], 16) & _UP
    ]


def _ipv6(lines: list[list[str]]) -> list[tuple[int, str]]:
    # destination length source length gateway metric references use flags device
    return [
        (int(words[5], 16), words[9])
        for words in lines
        if len(words) > 9
        and (words[0], words[1]) == ("0" * 32, "00")
        and int(words[8], 16) & (_UP | _REJECT) == _UP
    ]
