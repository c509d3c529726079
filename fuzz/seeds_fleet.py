"""What a fuzzer begins with where a fleet and registrars write."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from enforcer.fleet.chunks import Root
from enforcer.fleet.reports import Report
from enforcer.fleet.revision import Revision
from enforcer.fleet.store import Signed
from fuzz.registries import MEMBERS
from fuzz.targets import CUT, MAIN

_AT = datetime(2026, 12, 1, 8, tzinfo=UTC)
REVISION = Revision(
    "national",
    7,
    _AT,
    "noc@isp.example",
    "for the elections",
    "enforcer.yaml",
    {"enforcer.yaml": Root(12, 0, "a" * 64), "windows.d/w.yaml": Root(0, 2, "b" * 64)},
    5,
    "0123456789abcdef",
)
REPORT = Report(
    "edge-1", "stable", 6, 7, "w.yaml:1:1: is wrong\nmend it", ("ddos",), "1", {"site": "n"}, "x"
)
FLEET = b"""fleet:
  name: national
  track: canary
  labels: {site: north}
  etcd: {endpoints: ["https://etcd.isp.example:2379"], tls: {ca: /etc/ca.pem},
         user: edge-7, password_file: /etc/password}
  public_keys: [RWTzul0W4tgRVsofiV9nyRZqFJaJw/kCRNL7HrCwTZddh7R7hgI775PL]
"""
GATEWAY = b"version: 1\ngateway: {name: edge-7, uplinks: [wan0]}\nlinks:\n  # ours\n  wan: {}\n"


def manifest() -> Iterator[bytes]:
    yield REVISION.text().encode()
    yield Signed(REVISION.text(), "untrusted comment: x\nx\ntrusted comment: x\nx\n").stored()
    yield b'{"manifest": "\\ud800", "signature": "x"}'
    yield b"42"
    yield b"0" * 19 + b"1" + b"9" * 5000


def chunks() -> Iterator[bytes]:
    yield b"10 0\n10.0.0.1/8"
    listed = CUT.join([b"first\n", b"second\n", b"@0\n@1\n"])
    yield b"13 1\n" + listed
    yield b"13 2\n" + listed + CUT + b"@2\n"
    yield b"\n".join(b"R-%d,10.0.0.%d/32,mission,,," % (n, n) for n in range(200))


def etcd() -> Iterator[bytes]:
    entry = {"key": base64.b64encode(b"/enforcer/x").decode(), "value": "eA==", "mod_revision": "7"}
    header = {"header": {"revision": "9", "member_id": "1"}}
    for answer in (
        {**header, "kvs": [entry, {"key": "/2I=", "mod_revision": "8"}], "count": "2"},
        {**header, "kvs": [entry], "more": True},
        {**header, "succeeded": True, "responses": [{"response_range": {"kvs": [entry]}}]},
        {"result": {**header, "ID": "1", "TTL": "30"}},
        {**header, "ID": "7587", "TTL": "30"},
        {"result": {**header, "created": True}},
        {"result": {**header, "events": [{"kv": entry}]}},
        {"result": {**header, "canceled": True, "compact_revision": "5"}},
        {"error": "etcdserver: permission denied", "message": "x", "code": 7},
        {"message": "etcdserver: invalid auth token", "code": 16},
        {**header, "token": "simple.42"},
        {**header, "token": "a\nb"},
    ):
        yield json.dumps(answer).encode()


def report() -> Iterator[bytes]:
    yield REPORT.stored()
    yield REPORT.stored().replace(b"is wrong", b"\\u001b[2J")
    yield b'{"gateway": "x", "revision": 1e400}'


def composed() -> Iterator[bytes]:
    yield MAIN + CUT + GATEWAY + FLEET
    yield b"# a\n---\nversion: 1\nmetrics: {}\n...\n" + CUT + b"links: {}\nmetrics: |\n  x\n\n  y\n"


def gateway_file() -> Iterator[bytes]:
    yield GATEWAY.replace(b"{}", b"{device: wan0, rate: 1gbit}") + FLEET
    yield b"version: 1\n" + FLEET


def delegated() -> Iterator[bytes]:
    rows = (
        b"2|ripencc|20261201|3|19830101|20261130|+0000\nripencc|*|ipv4|*|2|summary\n"
        b"ripencc|PK|ipv4|198.51.100.0|768|20200101|allocated|x\n"
        b"ripencc|PK|ipv4|203.0.113.0|96||assigned|x|e-stats\n"
        b"ripencc|PK|ipv6|2001:db8::|32|20200101|assigned|y\nripencc|PK|asn|65000|1||reserved\n"
    )
    yield b"0" + rows
    yield b"1" + rows
    yield b"0# c\napnic|IN|ipv4|203.0.113.0|1|00000000|available|\n"


def plain() -> Iterator[bytes]:
    yield b"198.51.100.0/24\n2001:db8::/48\n# a comment\n203.0.113.7\n\n"
    yield b"\xef\xbb\xbf203.0.113.0/25 # x\r\n203.0.113.128/25\r\n"


def json_rows() -> Iterator[bytes]:
    row = {
        "id": "a",
        "prefix": ["198.51.100.0/24", "2001:db8::-2001:db8::ff"],
        "category": "call-centre",
        "services": ["esp", "udp/500"],
    }
    other = {"prefix": "192.0.2.0 255.255.255.0", "valid_from": "2026-01-01", "valid_until": None}
    yield json.dumps([row, other]).encode()
    yield json.dumps({"registrations": [other], "made": 1.5}).encode()
    yield b'[{"id": "\\u002c\\"", "prefix": "203.0.113.1", "services": "tcp/443"}]'


def archive() -> Iterator[bytes]:
    from fuzz.seeds_outside import _row, _workbook

    yield _workbook(_row("id", "prefix", "category") + _row("a", "198.51.100.0/24", "call-centre"))


_SHEET = """<worksheet><sheetData>
<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c>
<c r="C1" t="inlineStr"><is><t>valid_from</t></is></c><c r="D1" t="str"><v>category</v></c></row>
<row r="2"><c r="A2"><v>7</v></c><c r="B2" t="s"><v>2</v></c><c r="C2" s="1"><v>46000</v></c>
<c r="D2" t="str"><f>A1</f><v>call-centre</v></c></row>
<row r="3" hidden="1"><c r="B3" t="e"><v>#REF!</v></c><c t="b"><v>1</v></c></row>
</sheetData><mergeCells><mergeCell ref="A2:A3"/></mergeCells></worksheet>"""
_STRINGS = """<sst><si><t>id</t></si><si><r><t>pre</t></r><r><t>fix</t></r></si>
<si><t>198.51.100.0/24</t></si></sst>"""
_STYLES = """<styleSheet><numFmts><numFmt numFmtId="164" formatCode="yyyy-mm-dd"/></numFmts>
<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/></cellXfs></styleSheet>"""


def sheet() -> Iterator[bytes]:
    good = _SHEET.partition('<row r="3"')[0] + "</sheetData></worksheet>"
    for text in (good, _SHEET):
        yield CUT.join(part.encode() for part in (text, _STRINGS, _STYLES))
    usual = list(MEMBERS.values())[3].replace("<workbookPr/>", '<workbookPr date1904="1"/>')
    yield CUT.join(part.encode() for part in (good, _STRINGS, _STYLES, usual))


def payloads() -> Iterator[bytes]:
    roas = [
        {"asn": "AS64500", "prefix": "198.51.100.0/24", "maxLength": 24, "ta": "x"},
        {"asn": 0, "prefix": "2001:db8::/32", "maxLength": 48},
    ]
    yield json.dumps({"metadata": {"x": [1]}, "roas": roas}).encode() + CUT + b"id,asn\na,64500\n"
    yield json.dumps({"roas": roas}).encode() + CUT + b"# c\n*,AS64501\n*,0\n"


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "manifest": manifest,
    "chunks": chunks,
    "etcd": etcd,
    "report": report,
    "composed": composed,
    "gateway": gateway_file,
    "delegated": delegated,
    "plain": plain,
    "json": json_rows,
    "xlsx": archive,
    "sheet": sheet,
    "vrp": payloads,
}
