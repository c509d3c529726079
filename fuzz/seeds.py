"""What a fuzzer begins with: the files and messages of the tests, and what once broke something."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from enforcer.kernel import numbers as n
from enforcer.kernel.encode import encode, encode_bulk
from enforcer.kernel.numbers import Msg
from enforcer.kernel.series import one_by_one
from enforcer.kernel.wire import SUBSYSTEM_NFTABLES, be32, be64, nested, nftables, text
from enforcer.ruleset import transaction as t
from fuzz import seeds_fleet, seeds_outside
from fuzz.netlink import packed
from fuzz.targets import CUT, MAIN
from tests.kernel.every_word import COUNTER, NOW_NS, every_word

ROOT = Path(__file__).parent.parent
CRASHES = Path(__file__).parent / "crashes"


def _policy() -> Iterator[bytes]:
    for folder in sorted((ROOT / "tests/bad_config").iterdir()):
        main = (folder / "enforcer.yaml").read_bytes()
        for windows in sorted(folder.glob("windows.d/*.yaml")):
            # Some are folders, or links to nowhere.
            if windows.is_file():
                yield main + CUT + windows.read_bytes()
    contract = ROOT / "tests/policy/contract"
    for windows in sorted(contract.glob("windows.d/*.yaml")):
        yield (contract / "enforcer.yaml").read_bytes() + CUT + windows.read_bytes()
    yield (
        MAIN
        + CUT
        + (
            b"- {id: a, reason: r, declared_by: d, reference: NOC-1, duration: 12h,\n"
            b'   start: "2026-12-01T08:00:00Z",\n'
            b"   measures: {guard: {estate: concentrators}, mark: {dscp: 40},\n"
            b"   reserve: {link: wan, share: 40%}}}\n"
        )
    )


def _registry() -> Iterator[bytes]:
    for file in sorted((ROOT / "tests/bad_registry").glob("*.csv")):
        yield file.read_bytes()
    yield (ROOT / "tests/policy/contract/registry.csv").read_bytes()
    yield b"198.51.100.0/24\n2001:db8::/48\n# a comment\n203.0.113.7\n"


# With a day on which each happens.
_RULES = {
    "FREQ=DAILY": "2026-12-06",
    "FREQ=WEEKLY;BYDAY=MO,WE;INTERVAL=2;WKST=SU": "2026-12-07",
    "FREQ=MONTHLY;BYDAY=1SU,-1FR;COUNT=12": "2026-12-06",
    "FREQ=MONTHLY;BYMONTHDAY=31,-1;BYSETPOS=-1": "2026-12-31",
    "FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=MO": "2026-12-28",
    "FREQ=YEARLY;BYYEARDAY=-1,366;UNTIL=20301231T000000Z": "2026-12-31",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;INTERVAL=4": "2028-02-29",
}


def _rrule() -> Iterator[bytes]:
    for rule in _RULES:
        for zone in ("Asia/Karachi", "Europe/Berlin", ""):
            yield f"{rule}\n2026-03-29T02:30:00\n{zone}".encode()


def _schedule() -> Iterator[bytes]:
    yield b'start: "2026-12-01T08:00:00Z"\nduration: 12h'
    yield b'start: "2026-12-01T08:00:00"\nend: "2026-12-02T08:00"\ntimezone: Asia/Karachi'
    for rule, day in _RULES.items():
        yield (
            f'rrule: {rule}\nstart: "{day}T04:30:00"\nduration: 4h\ntimezone: Europe/Berlin'
        ).encode()
    yield (
        b'hijri: {month: Muharram, day: 9, days: 2}\nfrom: "06:00"\nto: "22:00"\n'
        b"timezone: Asia/Karachi\nsighting: {1448: +1}"
    )
    yield b'hijri: {month: 9, day: 30, days: 1}\nfrom: "22:00"\nto: "04:00"\ntimezone: UTC'


_ICS = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VTIMEZONE
TZID:Here
BEGIN:STANDARD
DTSTART:19701025T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT
UID:1@x
SUMMARY:outage\\, long
DTSTART;TZID=Here:20261206T080000
DURATION:PT4H
RRULE:FREQ=WEEKLY;COUNT=9
EXDATE;TZID=Here:20261213T080000
RDATE;VALUE=DATE:20270101
END:VEVENT
BEGIN:VEVENT
UID:1@x
RECURRENCE-ID;TZID=Here:20261220T080000
SUMMARY:moved
DTSTART:20261221T080000Z
DTEND:20261221T090000Z
END:VEVENT
BEGIN:VEVENT
UID:2@x
SUMMARY:days
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261226
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
"""


def _ics() -> Iterator[bytes]:
    for file in sorted((ROOT / "tests/bad_config").glob("*/windows.d/*.ics")):
        yield file.read_bytes()
    yield _ICS.replace("\n", "\r\n").encode()
    yield _ICS.encode()


def _kernel() -> Iterator[bytes]:
    """Each operation as the message in which the kernel would tell of it, alone and all together.
    `RTM_NEW…` messages are those of a device, of our HTB and of a class, cut to what is read.
    """
    generation = nftables(Msg.NEW_GENERATION, 0, be32(n.Generation.ID, 7), text(3, "nft"))
    messages = [generation]
    for operation in every_word(NOW_NS):
        if isinstance(operation, t.Load | t.Change):
            messages += one_by_one(encode_bulk(operation))
        else:
            messages += encode(operation, NOW_NS)
    every = [packed(message.kind, message.body) for message in messages]
    every.append(packed(SUBSYSTEM_NFTABLES << 8 | Msg.NEW_OBJECT, _counter()))
    every.append(packed(16, b"\0\0\1\0\2\0\0\0\1\0\0\0\0\0\0\0\x09\0\3\0wan0\0\0\0\0"))
    htb = (
        b"\x08\0\1\0htb\0" + b"\x1c\0\2\0\x18\0\2\0" + bytes(4) + b"\x0a\0\0\0\x20\0\0\0" + bytes(8)
    )
    every.append(packed(36, b"\0\0\0\0\2\0\0\0\0\0\xf0\xe4\xff\xff\xff\xff\0\0\0\0" + htb))
    params = b"\x30\0\1\0" + bytes(44)
    klass = b"\x08\0\1\0htb\0" + (len(params) + 4).to_bytes(2, "little") + b"\2\0" + params
    every.append(packed(40, b"\0\0\0\0\2\0\0\0\x10\0\xf0\xe4\0\0\xf0\xe4\0\0\0\0" + klass))
    every[1] = packed(messages[1].kind, messages[1].body + be32(n.Table.FLAGS, 0))
    table = every[1]
    yield b"".join(every)
    for message in every:
        yield table + message


def _counter() -> bytes:
    data = nested(4, be64(1, 64), be64(2, 1))
    return nftables(Msg.NEW_OBJECT, 0, text(1, "enforcer"), text(2, COUNTER), be32(3, 1), data).body


def _control() -> Iterator[bytes]:
    requests: list[dict[str, object]] = [
        {"verb": "status"},
        {"verb": "reload"},
        {"verb": "compare", "config": "/etc/enforcer/enforcer.yaml", "day": "2026-12-01"},
        {"verb": "declared", "id": "ddos", "within_s": 600},
        {"verb": "confirm", "id": "trial", "shift_s": 60, "at": "2026-12-01T08:00:00Z"},
        {"verb": "close", "id": "ddos", "at": None},
        {"verb": "close", "id": "ddos", "at": "2026-12-01T08:00:00+00:00"},
        {"verb": "disarm"},
        {"verb": 7},
    ]
    for request in requests:
        yield json.dumps(request).encode() + b"\n"
    yield b"[" * 2000


def _orders() -> Iterator[bytes]:
    order = {
        "window": "ddos",
        "starts_at": "2026-12-01T08:00:00+00:00",
        "ends_at": "2026-12-01T20:00:00+00:00",
        "word": "confirmed",
        "by": "noc (pid 7)",
        "given_at": "2026-12-01T07:00:00+00:00",
        "until": "2026-12-01T09:00:00+00:00",
        "shift_s": 0,
    }
    yield json.dumps([order]).encode()
    yield b"[]\n"


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "policy": _policy,
    "registry": _registry,
    "rrule": _rrule,
    "schedule": _schedule,
    "ics": _ics,
    "kernel": _kernel,
    "events": _kernel,
    "control": _control,
    "orders": _orders,
    **seeds_outside.SEEDS,
    **seeds_fleet.SEEDS,
}


def seeds(target: str) -> list[bytes]:
    """The seeds of the target and its regressions, each once."""
    found = [*SEEDS[target](), *regressions(target)]
    return list(dict.fromkeys(found))


def regressions(target: str) -> list[bytes]:
    """What once broke the target."""
    return [file.read_bytes() for file in sorted((CRASHES / target).glob("*"))]
