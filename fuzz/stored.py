"""What lies on the disk from an earlier run, or from somebody else: the last good configuration
and the record.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from enforcer.observe.audit_chain import open_line
from enforcer.observe.audit_files import FILE as RECORD
from enforcer.observe.audit_files import HEAD, AuditLog, files, records
from enforcer.observe.audit_verify import verify_directory, verify_files
from enforcer.policy.prefix import FAMILIES
from enforcer.sources import lastgood
from fuzz.scratch import emptied
from fuzz.targets import CUT

_AT = datetime(2026, 12, 1, 8, tzinfo=UTC)
_EVENT = {"at": "2026-12-01T08:00:00Z", "what": "closed", "who": "noc", "window": "w"}


def last_good(data: bytes) -> None:
    """Everything behind the first line, which says truly what follows. Without that a fuzzer would
    see nothing but wrong digests.
    """
    folder = emptied("state")
    digest = hashlib.blake2b(data, digest_size=32).hexdigest().encode()
    for first in (lastgood._MAGIC + digest + b"\n", b""):
        (folder / lastgood.FILE).write_bytes(first + data)
        try:
            read = lastgood.read_last_good(folder)
        except lastgood.SpoiltError:
            continue
        assert read is not None
        for family in FAMILIES:
            columns = read.registry.of_family(family)
            assert all(len(word) == len(columns) for word in columns.words)
    lastgood.set_aside(folder)


def audit(data: bytes) -> None:
    """The newest file of the record, one before it, and `audit.head`. A line that lacks nothing but
    its digest is given it.
    """
    newest, _, rest = data.partition(CUT)
    older, _, head = rest.partition(CUT)
    folder = emptied("record")
    (folder / RECORD).write_bytes(_sealed(newest))
    if older:
        (folder / "audit-000000001.jsonl").write_bytes(_sealed(older))
    if head:
        (folder / HEAD).write_bytes(head)
    before = verify_directory(folder)
    if before.broken is not None:
        assert "\n" not in str(before.broken)
    verify_files(files(folder))
    assert all(record.seq > 0 for record in records(folder))
    log = AuditLog(folder)
    link = log.append(_AT, _EVENT)
    *_, last = (folder / RECORD).read_bytes().removesuffix(b"\n").split(b"\n")
    assert open_line(last).link == link, "what was acknowledged is on the record"
    after = verify_directory(folder)
    assert after.ok or not before.ok, f"whole before, and now: {after.broken}"


def _sealed(data: bytes) -> bytes:
    return b"\n".join(_seal(line) for line in data.split(b"\n"))


def _seal(line: bytes) -> bytes:
    if not line.endswith(b"}") or b'"digest":' in line:
        return line
    body = line[:-1]
    return body + b',"digest":"' + hashlib.sha256(body).hexdigest().encode() + b'"}'
