"""The single values of the files: text → names, rates, shares, marks, addresses.

Each parser takes what YAML gave and returns the value, or raises ValueError with `fact; remedy`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from enforcer.policy.prefix import parse_address
from enforcer.policy.words import shown


def text_of(value: Any, like: str) -> str:
    """`value` when it is text; `like` is an example for the remedy."""
    if isinstance(value, str):
        return value
    raise ValueError(f"{kind_of(value)} where text belongs; write {like}")


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return f"{str(value).lower()} (true or false)"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else shown(value)


def sentence(value: Any) -> str:
    """One line of text for people: 1 to 500 printable characters."""
    text = text_of(value, "it in quotes").strip()
    if not text:
        raise ValueError("is empty; write at least a word")
    if len(text) > 500:
        raise ValueError(f"has {len(text):,} characters; write at most 500")
    if not text.isprintable():
        raise ValueError("has a line break or an unseen character; write one line of plain text")
    return text


_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def name(value: Any) -> str:
    """A name of an estate, link or category."""
    text = text_of(value, "a name like core-1, in quotes")
    if not _NAME.fullmatch(text):
        rule = "a small letter, then up to 31 small letters, digits and -"
        raise ValueError(f"{shown(text)} is not a name; write {rule}")
    return text


# What the counters call those that are in no category of the operator's.
_RESERVED = frozenset({"lifeline", "unregistered"})


def category(value: Any) -> str:
    """A name of a category."""
    text = name(value)
    if text in _RESERVED:
        raise ValueError(f"{shown(text)} is what the counters call other traffic; choose another")
    return text


def identifier(value: Any) -> str:
    """The name of a gateway."""
    text = text_of(value, "it in quotes")
    if not _ID.fullmatch(text):
        rule = "a letter or digit, then up to 63 letters, digits and . _ -"
        raise ValueError(f"{shown(text)} is not an id; write {rule}")
    return text


def window_id(value: Any) -> str:
    """The id of a window. No dot: names in the kernel are `measure.ID.part`."""
    text = text_of(value, "it in quotes")
    if not _ID.fullmatch(text) or "." in text:
        rule = "a letter or digit, then up to 63 letters, digits and _ -"
        raise ValueError(f"{shown(text)} is not an id; write {rule}")
    return text


def interface(value: Any) -> str:
    """The name of a network interface (`dev_valid_name` in net/core/dev.c; IFNAMSIZ is 16)."""
    text = text_of(value, "the name of an interface, in quotes")
    length = len(text.encode("utf-8", "surrogatepass"))
    if not 1 <= length <= 15:
        raise ValueError(f"{shown(text)} has {length} bytes; an interface name has 1 to 15")
    if text in {".", ".."} or not text.isprintable() or re.search(r'[\s/:"*]', text):
        raise ValueError(f'{shown(text)} is no interface name; write one without / : * " or spaces')
    return text


_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]+)", re.ASCII)
_RATES = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9, "tbit": 10**12}
_RATE_FORMS = "write it in bits per second, like 10kbit, 500mbit or 1gbit"
# HTB counts bytes a second in whole numbers; below this its rounding is coarse.
_LEAST_RATE_BPS, _MOST_RATE_BPS = 8_000, 10 * 10**12


def rate_bps(value: Any) -> int:
    """`1gbit` in bits per second."""
    text = text_of(value, "a rate with its unit, like 500mbit or 1gbit")
    match = _AMOUNT.fullmatch(text)
    if match is None or match[2].lower() not in _RATES:
        raise ValueError(f"{shown(text)} is not a rate; {_RATE_FORMS}")
    rate = int(_scaled(match[1], _RATES[match[2].lower()]))
    if not _LEAST_RATE_BPS <= rate <= _MOST_RATE_BPS:
        raise ValueError(f"{text} is not a rate of a link; write one from 8kbit to 10tbit")
    return rate


_SIZES = {unit + tail: 1024**n for n, unit in enumerate("KMG", 1) for tail in ("B", "iB")}


def size_bytes(value: Any) -> int:
    """`256MB` in bytes; the units are powers of 1,024. From 1 MB to 64 GB."""
    text = text_of(value, "a size with its unit, like 256MB")
    match = _AMOUNT.fullmatch(text)
    if match is None or match[2] not in _SIZES:
        raise ValueError(f"{shown(text)} is not a size; write it like 256MB or 1GB")
    size = int(_scaled(match[1], _SIZES[match[2]]))
    if not 1024**2 <= size <= 64 * 1024**3:
        raise ValueError(f"{text} is out of bounds; write a size from 1MB to 64GB")
    return size


def _scaled(number: str, unit: int) -> int:
    """`number` times `unit` in whole numbers: 0.1 is not a float anyone can trust."""
    whole, _, part = number.partition(".")
    return int(whole) * unit + int(part or 0) * unit // int(10 ** len(part))


_PERCENT = re.compile(r"(\d{1,3})(?:\.(\d{1,6}))? ?%", re.ASCII)


def percent(value: Any) -> float:
    """`40%` as 0.4; from 0% to 100%."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"{kind_of(value)} has no percent sign; write it like 40%")
    text = text_of(value, "a percentage like 40%")
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(f"{shown(text)} is not a percentage; write it like 40%")
    part = float(f"{match[1]}.{match[2] or 0}") / 100
    if part > 1:
        raise ValueError(f"{text} is over 100%; write a percentage from 0% to 100%")
    return part


# RFC 2474 (cs), RFC 2597 (af), RFC 3246 (ef), RFC 5865 (va), RFC 8622 (le).
DSCP = {
    **{f"cs{n}": n * 8 for n in range(8)},
    **{f"af{c}{d}": c * 8 + d * 2 for c in range(1, 5) for d in range(1, 4)},
    "ef": 46,
    "va": 44,
    "le": 1,
}


def dscp(value: Any) -> int:
    """A name of RFC 2474 and its successors, or 0..63."""
    forms = "write a name like cs5, af41 or ef, or a number from 0 to 63"
    if isinstance(value, str) and value.lower() in DSCP:
        return DSCP[value.lower()]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 63:
        return value
    raise ValueError(f"{kind_of(value)} is not a DSCP; {forms}")


def fwmark(value: Any) -> int:
    """1..0xffffffff."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 0xFFFFFFFF:
        return value
    fact = f"{kind_of(value)} is not a fwmark"
    raise ValueError(f"{fact}; write a number from 1 to 0xffffffff, like 0x51")


@dataclass(frozen=True, slots=True)
class Listen:
    host: str
    port: int


_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_LISTEN_FORMS = "write 127.0.0.1:9435 or [::1]:9435"


def listen(value: Any) -> Listen:
    """`host:port`: an address, IPv6 in brackets, or localhost. No other name: it may move."""
    text = text_of(value, "an address and a port, like 127.0.0.1:9435")
    host, _, port = text.rpartition(":")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (
        not host
        or not _PORT.fullmatch(port)
        or int(port) > 65535
        or (inner == host and ":" in host)
    ):
        raise ValueError(f"{shown(text)} is not an address and a port; {_LISTEN_FORMS}")
    if host != "localhost":
        family, _ = parse_address(inner)
        if (family == 6) != (inner != host):
            raise ValueError(f"{shown(text)} has brackets around IPv4; {_LISTEN_FORMS}")
    return Listen(inner, int(port))


_HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.ASCII)


def host_name(value: Any) -> str:
    """A host name in lower case, without the last dot (RFC 1123, 2.1)."""
    text = text_of(value, "a host name like gw1.isp.example").lower().removesuffix(".")
    if len(text) > 253 or not _HOST_NAME.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a host name; write it like gw1.isp.example")
    return text
