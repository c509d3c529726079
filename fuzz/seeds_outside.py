"""What a fuzzer begins with where strangers write: requests, captures, tables, signatures; and the
files that an earlier run left.
"""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from enforcer.feeds.state import Accepted, State, written
from enforcer.observe.audit import FILE, AuditLog, Event, record
from enforcer.observe.audit_files import HEAD, files
from enforcer.sources import lastgood
from enforcer.sources.load import load_configuration
from fuzz.targets import CUT, MAIN, ROWS, WINDOWS
from tests.sources import captures as c
from tests.sources.test_minisign import DATA, EXAMPLE

ROOT = Path(__file__).parent.parent
_AT = datetime(2026, 12, 1, 8, tzinfo=UTC)

_TARGETS = (
    "/",
    "/metrics",
    "/healthz",
    "/api/v1/status",
    "/api/v1/windows",
    "/api/v1/windows?from=2026-12-01T08:00:00%2B05:00&days=400",
    "/api/v1/windows?from=0001-01-01T00:00:00Z&days=1",
    "/explain?address=198.51.100.5&to=203.0.113.1&service=udp/51820&at=2026-12-01T08:00:00Z",
    "/api/v1/explain?address=2001:db8::1",
    "/explain?address=%3Cscript%3Ealert(1)%3C/script%3E",
    "/%00?%ff",
)


def http() -> Iterator[bytes]:
    for target in _TARGETS:
        for who in b"01":
            yield bytes([who]) + f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    yield b"1HEAD / HTTP/1.0\r\n\r\n"
    yield b"1\r\nGET /metrics HTTP/1.1\nHost: [::1]:9435\nAccept: application/openmetrics-text\n\n"
    yield b"0POST / HTTP/1.1\r\nHost: gw.isp.example\r\nContent-Length: 3\r\n\r\nabc"
    yield b"0GET / HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n"


def _frames() -> list[bytes]:
    inside = [
        c.ipv4("192.0.2.99", "203.0.113.5", 17, c.ports(4000, 51820)),
        c.ipv4("198.51.100.9", "203.0.113.5", 6, c.tcp(1, 443, c.SYN), options=b"\1" * 4),
        c.ipv4("192.0.2.99", "203.0.113.5", 17, b"", fragment=0x2005),
        c.ipv6("2001:db8::1", "2001:db8::2", 44, c.fragment_header(17, 0) + c.ports(1, 2)),
        c.ipv6("2001:db8::1", "2001:db8::2", 0, b"\x3c\0" + bytes(6) + b"\x3b\0" + bytes(6)),
    ]
    return [c.ethernet(packet, tags=[0x8100] * (n % 2)) for n, packet in enumerate(inside)]


def capture() -> Iterator[bytes]:
    frames = _frames()
    for order in "<>":
        yield c.pcap(frames, order=order, nanoseconds=order == ">")
    for link, wrapped in ((113, c.cooked), (276, c.cooked_2)):
        yield c.pcap([wrapped(frame[14:]) for frame in frames[::2]], link=link)
    for link, head in ((0, b"\2\0\0\0"), (108, b"\0\0\0\2"), (101, b"")):
        yield c.pcap([head + frame[14:] for frame in frames[::2]], link=link)
    for order in "<>":
        blocks = [c.enhanced(frame, order, flags=n % 3) for n, frame in enumerate(frames)]
        yield c.section(order) + c.interface(order, name="wan0", resolution=9) + b"".join(blocks)
        yield (
            c.section(order)
            + c.interface(order, snap=60, resolution=0x9E, offset_s=-7)
            + c.simple(frames[0], order)
            + c.obsolete(frames[1], order)
            + c.section("<")
            + c.interface("<")
            + c.enhanced(frames[2])
        )
    yield gzip.compress(c.pcap(frames), mtime=0)


def forms() -> Iterator[bytes]:
    for folder in ("tests/bad_registry", "tests/bad_import"):
        for file in sorted((ROOT / folder).glob("*")):
            if file.suffix != ".expected" and file.stat().st_size < 8192:
                yield file.read_bytes()
    row = {"id": "a", "prefix": ["198.51.100.0/24", "2001:db8::-2001:db8::ff"], "services": "esp"}
    yield json.dumps(
        [row, {"prefix": "192.0.2.0 255.255.255.0", "valid_from": "2026-01-01"}]
    ).encode()
    yield (
        b"2|ripencc|20261201|3|19830101|20261130|+0000\nripencc|*|ipv4|*|2|summary\n"
        b"ripencc|PK|ipv4|198.51.100.0|768|20200101|allocated|x\n"
        b"ripencc|PK|ipv6|2001:db8::|32|20200101|assigned|y\nripencc|PK|asn|65000|1||reserved\n"
    )
    yield _workbook("")
    yield _workbook(_row("id", "prefix", "category") + _row("a", "198.51.100.0/24", "call-centre"))


_PIECES = {
    "[Content_Types].xml": "<Types/>",
    "_rels/.rels": '<Relationships><Relationship Id="a" Type="x/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns:r="r"><sheets><sheet name="S" sheetId="1" r:id="b"/>'
    "</sheets></workbook>",
    "xl/_rels/workbook.xml.rels": '<Relationships><Relationship Id="b" Type="x/worksheet" '
    'Target="worksheets/sheet1.xml"/></Relationships>',
}


def _workbook(rows: str) -> bytes:
    """A spreadsheet of one sheet, not compressed, so that the fuzzer sees its text."""
    file = io.BytesIO()
    sheet = f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made:
        for name, piece in {**_PIECES, "xl/worksheets/sheet1.xml": sheet}.items():
            made.writestr(zipfile.ZipInfo(name), piece)
    return file.getvalue()


def _row(*texts: str) -> str:
    cells = "".join(f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in texts)
    return f"<row>{cells}</row>"


def signature() -> Iterator[bytes]:
    yield EXAMPLE.signature.encode() + CUT + DATA
    yield f"untrusted comment: minisign public key\n{EXAMPLE.key}\n".encode()


def feed() -> Iterator[bytes]:
    """State files, headers and bodies of feeds."""
    rows = ROWS.format("call-centre").encode()
    accepted = Accepted("a" * 64, "b" * 64, "https://a.example/r", "c" * 64, 1, _AT, 42, '"v1"')
    state = written(State(accepted, _AT, _AT, "failed", "no", {"accepted": 1, "failed": 2}))
    head = b'ETag: "v2"\nLast-Modified: Tue, 01 Dec 2026 08:00:00 GMT\nRetry-After: 120'
    yield state + CUT + head + CUT + rows
    gzipped = gzip.compress(rows, mtime=0)
    yield written(State()) + CUT + b"Content-Encoding: gzip" + CUT + gzipped + gzipped
    yield CUT + b"Location: /new.csv?x=1" + CUT + gzipped
    yield CUT + b"Location: https://b.example:444/r" + CUT + b"198.51.100.0/24\n"
    yield CUT + b"x: feed:missions serial:7\ny: feed:" + CUT + rows
    far = b"Location: https://" + b"a" * 3000 + b"/"
    yield CUT + b"Content-Length: " + b"0" * 4999 + b"5\n" + far + CUT + b"\x1b[2J"


def last_good() -> Iterator[bytes]:
    """Files as the daemon writes them, without their first line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "windows.d").mkdir()
        (folder / "enforcer.yaml").write_bytes(MAIN)
        (folder / "windows.d/w.yaml").write_bytes(WINDOWS)
        for rows in (ROWS.format("call-centre"), "198.51.100.0/24\n2001:db8::/48\n"):
            (folder / "registry.csv").write_text(rows)
            if "\na," not in rows:
                one = MAIN.replace(b"software-house, call-centre", b"call-centre")
                (folder / "enforcer.yaml").write_bytes(one)
            read = load_configuration(folder / "enforcer.yaml")
            lastgood.write_last_good(folder, "/etc/enforcer/enforcer.yaml", _AT, read)
            yield (folder / lastgood.FILE).read_bytes()[lastgood._FIRST :]


def audit() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = AuditLog(folder, rotate_bytes=900)
        for number in range(6):
            at = _AT + timedelta(minutes=number)
            log.append(at, {"at": at.isoformat(), "what": "confirmed", "who": "noc", "n": number})
        older, newest = files(folder)[0].read_bytes(), (folder / FILE).read_bytes()
        yield newest + CUT + CUT + (folder / HEAD).read_bytes()
        yield newest + CUT + older
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record(folder, Event(_AT, "declared", "noc (pid 7)", "ddos", "NOC-1", {"reason": "flood"}))
        line = (folder / FILE).read_bytes()
        yield line
        yield line + b'{"at":"2026'
        # Their digests are for the target to give.
        before = line.partition(b',"digest"')[0]
        yield before + b"}\n" + before.replace(b'"seq":1', b'"seq":2') + b"}\n"
        yield before.replace(b"declared", b"pruned") + b"}"
        yield before.replace(b"declared", b"adopted").replace(b"ddos", b"x") + b"}"


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "forms": forms,
    "signature": signature,
    "http": http,
    "feed": feed,
    "last-good": last_good,
    "audit": audit,
    "capture": capture,
}
