"""etcd, version 3, through the JSON gateway that every member serves beside gRPC.

In: keys and values as bytes. Out: what etcd holds, or EtcdError with fact and remedy. Members are
tried in their order; every request has a time in which it must be whole, and a size. API:
https://etcd.io/docs/v3.4/dev-guide/api_reference_v3/ (`etcdserverpb`); its answers: `answers`.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from enforcer.fleet import answers
from enforcer.fleet.answers import Answer, Found, KeyValue
from enforcer.fleet.settings import Etcd
from enforcer.fleet.troubles import EtcdError, Refusal, TooLargeError, refusal, unreachable
from enforcer.sources.guarded import CredentialError, client_context, secret

CONNECT_S, ANSWER_S = 3.0, 10.0
# etcd itself refuses to take values above 1.5 MB; a transaction of reads may bring many.
MOST_ANSWER_BYTES = 64 * 1024**2
_READ_BYTES = 64 * 1024
# etcd's own limits, which are the same on every member unless somebody changed them.
MOST_OPERATIONS, MOST_REQUEST_BYTES = 128, 1024**2
# The gateway takes 4 MB from the member behind it: so many chunks, were all as large as can be.
_READS_AT_ONCE = 24
# Entries of a page, of some hundred bytes each; fewer are asked for where they turn out larger.
_PAGE, _PAGE_OF_KEYS = 1000, 10_000
MOST_ENTRIES = 1_000_000


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    lease: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A condition: the key was last changed at this revision (0: it is not there)."""

    key: str
    changed: int


def _b64(data: bytes | str) -> str:
    raw = data.encode(errors="surrogateescape") if isinstance(data, str) else data
    return base64.b64encode(raw).decode()


def prefix_end(prefix: str) -> str:
    """The first key behind all that begin with an ASCII prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


@dataclass(slots=True)
class Client:
    """One client; requests may be made from several threads."""

    settings: Etcd
    _pool: urllib3.PoolManager = field(init=False)
    _token: str | None = None
    _first: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        tls: dict[str, Any] = {}
        if self.settings.tls is not None:
            tls["ssl_context"] = _context(*self.settings.tls)
        timeout = urllib3.Timeout(connect=CONNECT_S, read=ANSWER_S)
        self._pool = urllib3.PoolManager(
            num_pools=32, maxsize=4, retries=False, timeout=timeout, **tls
        )

    def close(self) -> None:
        self._pool.clear()

    # --- what there is --------------------------------------------------------------------------

    def get(self, key: str) -> tuple[int, KeyValue | None]:
        """etcd's revision, and the entry."""
        found = answers.found(self._ask("kv/range", {"key": _b64(key)}))
        return found.revision, found.entries[0] if found.entries else None

    def under(self, prefix: str, *, newest: int = 0, keys_only: bool = False) -> Found:
        """All entries whose keys begin so, by key; with `newest` the last so many, last first."""
        request: dict[str, Any] = {"key": _b64(prefix), "range_end": _b64(prefix_end(prefix))}
        if keys_only:
            request["keys_only"] = True
        if newest:
            request |= {"limit": str(newest), "sort_order": "DESCEND", "sort_target": "KEY"}
            return answers.found(self._ask("kv/range", request))
        return self._paged(request, _PAGE_OF_KEYS if keys_only else _PAGE)

    def _paged(self, request: dict[str, Any], page: int) -> Found:
        """A range in parts that are not too large, whatever somebody has put there."""
        entries: list[KeyValue] = []
        while True:
            try:
                part = answers.found(self._ask("kv/range", request | {"limit": str(page)}))
            except TooLargeError:
                if page == 1:
                    raise
                page = max(1, page // 8)
                continue
            entries += part.entries
            if not part.more or not part.entries:
                return Found(part.revision, tuple(entries))
            if len(entries) > MOST_ENTRIES:
                raise EtcdError("etcd has more entries than a fleet can; look who writes there")
            request = request | {"key": _b64(part.entries[-1].key + "\0")}

    def many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of those keys that are there."""
        return {e.key: e.value for e in self._each(keys, _READS_AT_ONCE)}

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that are there."""
        return {e.key for e in self._each(keys, MOST_OPERATIONS, keys_only=True)}

    def _each(
        self, keys: Sequence[str], at_once: int, *, keys_only: bool = False
    ) -> Iterator[KeyValue]:
        for at in range(0, len(keys), at_once):
            gets = [
                {"request_range": {"key": _b64(key), "keys_only": keys_only}}
                for key in keys[at : at + at_once]
            ]
            yield from answers.found_by_each(self._ask("kv/txn", {"success": gets}))

    # --- changing -------------------------------------------------------------------------------

    def commit(
        self, operations: Sequence[Put | Delete], conditions: Sequence[Unchanged] = ()
    ) -> bool:
        """All of them, or none when a condition does not hold: then False."""
        compare = [
            {"key": _b64(c.key), "target": "MOD", "result": "EQUAL", "mod_revision": str(c.changed)}
            for c in conditions
        ]
        request = {"compare": compare, "success": [_operation(o) for o in operations]}
        return bool(self._ask("kv/txn", request).get("succeeded", False))

    def grant(self, seconds: int) -> int:
        """A new lease: what is put under it goes when nobody keeps it alive for so long."""
        return answers.number(self._ask("lease/grant", {"TTL": str(seconds)}), "ID")

    def keep_alive(self, lease: int) -> bool:
        """False when the lease has lapsed."""
        return answers.kept_alive_s(self._ask("lease/keepalive", {"ID": str(lease)})) > 0

    def revoke(self, lease: int) -> None:
        self._ask("lease/revoke", {"ID": str(lease)})

    # --- watching -------------------------------------------------------------------------------

    def watch(self, prefix: str, after: int, silence_s: float) -> Iterator[int]:
        """etcd's revision at each change below `prefix` behind revision `after`. It ends when
        nothing was heard for `silence_s`, or when etcd has forgotten so old a revision: then read
        again. A watch proves nothing by its silence. Raises EtcdError.
        """
        create = {
            "key": _b64(prefix),
            "range_end": _b64(prefix_end(prefix)),
            "start_revision": str(after + 1),
        }
        body = {"create_request": create}
        timeout = urllib3.Timeout(connect=CONNECT_S, read=silence_s)
        response = self._open("watch", body, timeout)
        waiting = b""
        try:
            while True:
                data = response.read1(_READ_BYTES)
                if not data:
                    return
                waiting += data
                if len(waiting) > MOST_ANSWER_BYTES:
                    raise EtcdError("a watch brought more than can be; look at what answers there")
                *lines, waiting = waiting.split(b"\n")
                for line in filter(None, lines):
                    change = answers.changed(line)
                    if change.over:
                        return
                    if change.revision is not None:
                        yield change.revision
        except (urllib3.exceptions.TimeoutError, TimeoutError):
            return
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise EtcdError(unreachable(self._endpoint(), error)) from error
        finally:
            response.close()

    # --- requests -------------------------------------------------------------------------------

    def _endpoint(self) -> str:
        endpoints = self.settings.endpoints
        return endpoints[self._first % len(endpoints)]

    def _ask(self, call: str, request: dict[str, Any]) -> Answer:
        response = self._open(call, request, None)
        try:
            return answers.parsed(_whole(response))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise EtcdError(unreachable(self._endpoint(), error)) from error
        finally:
            response.release_conn()

    def _open(
        self, call: str, request: dict[str, Any], timeout: urllib3.Timeout | None
    ) -> urllib3.BaseHTTPResponse:
        """The answer with its body unread, from the first member that gives one."""
        for again in (True, False):
            if (
                self.settings.user is not None
                and self._token is None
                and call != "auth/authenticate"
            ):
                self._log_in()
            response = self._reached(call, request, timeout)
            if response.status == 200:
                return response
            refused = _refused(response, self._endpoint())
            if refused.unauthenticated and again and self.settings.user is not None:
                # Tokens last some minutes: get another one.
                self._token = None
                continue
            raise EtcdError(refused.text)
        raise AssertionError("unreachable")

    def _reached(
        self, call: str, request: dict[str, Any], timeout: urllib3.Timeout | None
    ) -> urllib3.BaseHTTPResponse:
        failures = []
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = self._token
        options: dict[str, Any] = {"timeout": timeout} if timeout else {}
        for _ in self.settings.endpoints:
            endpoint = self._endpoint()
            try:
                response = self._pool.request(
                    "POST",
                    f"{endpoint}/v3/{call}",
                    body=json.dumps(request).encode(),
                    headers=headers,
                    preload_content=False,
                    redirect=False,
                    **options,
                )
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failures.append(unreachable(endpoint, error))
            else:
                # A member without a leader answers with 503: another may have one.
                if response.status < 500 or len(self.settings.endpoints) == 1:
                    return response
                failures.append(_refused(response, endpoint).text)
            self._first += 1
        raise EtcdError(" · ".join(failures))

    def _log_in(self) -> None:
        assert self.settings.password_file is not None
        try:
            password = secret(Path(self.settings.password_file))
        except CredentialError as error:
            raise EtcdError(str(error)) from error
        with self._lock:
            if self._token is None:
                request = {"name": self.settings.user, "password": password}
                self._token = answers.token(self._ask("auth/authenticate", request))


def _context(ca: str, certificate: str | None, key: str | None) -> ssl.SSLContext:
    paths = (None if name is None else Path(name) for name in (ca, certificate, key))
    try:
        return client_context(*paths)
    except CredentialError as error:
        raise EtcdError(str(error)) from error


def _refused(response: urllib3.BaseHTTPResponse, endpoint: str) -> Refusal:
    try:
        body = _whole(response)
    except (EtcdError, urllib3.exceptions.HTTPError, OSError):
        body = b""
    finally:
        response.release_conn()
    return refusal(endpoint, response.status, body)


def _whole(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body, in bounded time and size: a drip of bytes would keep every read alive."""
    until, data = time.monotonic() + ANSWER_S, bytearray()
    while part := response.read1(_READ_BYTES):
        data += part
        if len(data) > MOST_ANSWER_BYTES:
            raise TooLargeError("the answer is too large; look at what answers there")
        if time.monotonic() > until:
            raise TimeoutError("the answer is not whole in time")
    return bytes(data)


def _operation(operation: Put | Delete) -> dict[str, Any]:
    if isinstance(operation, Put):
        put: dict[str, Any] = {"key": _b64(operation.key), "value": _b64(operation.value)}
        if operation.lease is not None:
            put["lease"] = str(operation.lease)
        return {"request_put": put}
    return {"request_delete_range": {"key": _b64(operation.key)}}
