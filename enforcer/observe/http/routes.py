"""What is served: paths → answers, out of the daemon's last snapshot. Read-only.

Each route is a function of a request. It runs in the port's own thread, never in the daemon's loop,
and takes nothing but values that no one changes (a snapshot, orders), so that it needs no lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from enforcer.observe.http.message import JSON, RefusedError, Request, Response
from enforcer.observe.snapshot import Occurrence, Snapshot
from enforcer.observe.views import status_view, window_views
from enforcer.schedule.agenda import entries
from enforcer.schedule.orders import Orders

# What one question may ask for: a browser is not to make the gateway count for minutes.
MOST_DAYS = 400
USUAL_DAYS = 30
# The loop turns at least every ten seconds; a step at a million prefixes takes a few.
SILENCE_S = 30.0

Route = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class Sight:
    """What the port may look at. `silent_s`: for how long the daemon's loop has not turned."""

    snapshot: Callable[[], Snapshot | None]
    orders: Callable[[], Orders]
    metrics: CollectorRegistry
    now: Callable[[], datetime]
    silent_s: Callable[[], float]
    version: str


def routes(sight: Sight) -> dict[str, Route]:
    """All of them, by path."""
    return {
        "/": lambda _: _index(),
        "/metrics": lambda request: _metrics(sight, request),
        "/healthz": lambda _: _health(sight),
        "/api/v1/status": lambda _: _status(sight),
        "/api/v1/windows": lambda request: _windows(sight, request),
    }


def answer(table: Mapping[str, Route], request: Request) -> Response:
    """The answer of the route, or a 404. Raises RefusedError."""
    route = table.get(request.path)
    if route is None:
        there = ", ".join(sorted(table))
        raise RefusedError(HTTPStatus.NOT_FOUND, f"nothing is served here; there is {there}")
    return route(request)


def _index() -> Response:
    return Response(b"enforcer: /metrics, /healthz, /api/v1/status, /api/v1/windows\n")


def _metrics(sight: Sight, request: Request) -> Response:
    render, kind = choose_encoder(request.fields.get("accept", ""))
    return Response(render(sight.metrics), kind)


def _health(sight: Sight) -> Response:
    """200 while the daemon lives and what is wanted is in force; 503 with the reason otherwise."""
    snapshot, silent = sight.snapshot(), sight.silent_s()
    if silent > SILENCE_S:
        problem = f"the daemon's loop has not turned for {silent:.0f} s"
    elif snapshot is None:
        problem = "the daemon is starting"
    elif snapshot.problem is not None:
        problem = snapshot.problem
    else:
        return Response(b"ok\n")
    return Response(f"{problem}\n".encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)


def _status(sight: Sight) -> Response:
    return _json(status_view(_require(sight.snapshot()), sight.version))


def _windows(sight: Sight, request: Request) -> Response:
    """As `enforcer windows --format json`: `from` (an instant) and `days` are its parameters."""
    policy = _require(sight.snapshot()).policy
    unknown = sorted(request.query.keys() - {"from", "days"})
    if unknown:
        raise _bad("a parameter is not known; there is from and days")
    now = sight.now()
    after = _instant(request.query["from"]) if "from" in request.query else now
    try:
        before = after + timedelta(days=_days(request.query.get("days")))
    except OverflowError:
        raise _bad("the days run past the end of the calendar; ask for fewer") from None
    found = entries(policy, sight.orders(), after, before)
    return _json(window_views(Occurrence.of(e, now) for e in found))


def _require(snapshot: Snapshot | None) -> Snapshot:
    if snapshot is None:
        raise RefusedError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the daemon is starting; ask again in a second",
            (("Retry-After", "1"),),
        )
    return snapshot


def _instant(text: str) -> datetime:
    # A plus sign that was not escaped arrives as a space.
    try:
        parsed = datetime.fromisoformat(text.replace(" ", "+"))
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _bad("from is no instant; write it like 2026-12-01T08:00:00Z") from None


def _days(text: str | None) -> int:
    if text is None:
        return USUAL_DAYS
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_DAYS:
        return int(text)
    raise _bad(f"days is no number of days; write one from 1 to {MOST_DAYS}")


def _bad(text: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, text)


def _json(value: Any) -> Response:
    return Response(json.dumps(value).encode() + b"\n", JSON)
