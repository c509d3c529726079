"""What is served: paths → answers, out of the daemon's last snapshot. Read-only.

Each route is a function of a request. It runs in the port's own thread, never in the daemon's loop,
and takes nothing but values that no one changes (a snapshot, orders), so that it needs no lock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from enforcer.errors import KernelError
from enforcer.observe.http.message import HTML, JSON, RefusedError, Request, Response
from enforcer.observe.page import asking
from enforcer.observe.page.document import document, page
from enforcer.observe.page.look import Look, Totals, rows
from enforcer.observe.page.sections import SILENCE_S
from enforcer.observe.page.style import CONTENT_POLICY
from enforcer.observe.snapshot import Occurrence, RecordState, Snapshot
from enforcer.observe.views import status_view, window_views
from enforcer.ruleset.question import Explained, Question, QuestionError, instant
from enforcer.schedule.agenda import MOST_SHOWN, TooManyError, entries
from enforcer.schedule.orders import Orders

# What one question may ask for: a browser is not to make the gateway count for minutes.
MOST_DAYS = 400
USUAL_DAYS = 30

_ASKED = {"address", "to", "service", "at"}
_T = TypeVar("_T")

Route = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class Sight:
    """What the port may look at. `silent_s`: for how long the daemon's loop has not turned.
    `totals` raises KernelError when the kernel does; `explain` gives None while the daemon starts.
    """

    snapshot: Callable[[], Snapshot | None]
    orders: Callable[[], Orders]
    metrics: CollectorRegistry
    now: Callable[[], datetime]
    silent_s: Callable[[], float]
    version: str
    totals: Callable[[], Totals] = dict
    explain: Callable[[Question], Explained | None] = lambda _: None
    record: Callable[[], RecordState | None] = lambda: None
    samples: Callable[[], dict[str, Any] | None] = lambda: None


def routes(sight: Sight) -> dict[str, Route]:
    """All of them, by path."""
    return {
        "/": lambda request: _page(sight, request),
        "/explain": lambda request: _explain_page(sight, request),
        "/metrics": lambda request: _metrics(sight, request),
        "/healthz": lambda _: _health(sight),
        "/api/v1/status": lambda _: _status(sight),
        "/api/v1/explain": lambda request: _explain(sight, request),
        "/api/v1/windows": lambda request: _windows(sight, request),
    }


def answer(table: Mapping[str, Route], request: Request) -> Response:
    """The answer of the route, or a 404. Raises RefusedError."""
    route = table.get(request.path)
    if route is None:
        there = ", ".join(sorted(table))
        raise RefusedError(HTTPStatus.NOT_FOUND, f"nothing is served here; there is {there}")
    return route(request)


def _page(sight: Sight, request: Request) -> Response:
    form = asking.form({}) if request.trusted else asking.no_form()
    return _html(page(_look(sight), form))


def _look(sight: Sight) -> Look:
    snapshot, now = _require(sight.snapshot()), sight.now()
    totals: Totals | None
    try:
        totals = sight.totals()
    except KernelError:
        totals = None
    laid, more = rows(snapshot, sight.orders(), now)
    return Look(
        snapshot,
        totals,
        now,
        sight.silent_s(),
        sight.version,
        laid,
        more,
        sight.record(),
        sight.samples(),
    )


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
    snapshot = _require(sight.snapshot())
    return _json(status_view(snapshot, sight.version, sight.record(), sight.samples()))


def _windows(sight: Sight, request: Request) -> Response:
    """As `enforcer windows --format json`: `from` (an instant) and `days` are its parameters."""
    seen = _require(sight.snapshot())
    unknown = sorted(request.query.keys() - {"from", "days"})
    if unknown:
        raise _bad("a parameter is not known; there is from and days")
    now = sight.now()
    after = _instant(request.query["from"]) if "from" in request.query else now
    try:
        before = after + timedelta(days=_days(request.query.get("days")))
    except OverflowError:
        raise _bad("the days run past the end of the calendar; ask for fewer") from None
    try:
        found = entries(seen.policy, sight.orders(), after, before, MOST_SHOWN)
    except TooManyError as error:
        raise _bad(str(error)) from None
    return _json(window_views(Occurrence.of(e, now, seen.armed) for e in found))


def _explain(sight: Sight, request: Request) -> Response:
    """As `enforcer explain --format json`. Neither question nor answer is kept or logged."""
    try:
        return _json(_explained(sight, request).answer)
    except QuestionError as error:
        raise _bad(f"{error.field}: {error}") from None


def _explain_page(sight: Sight, request: Request) -> Response:
    status = HTTPStatus.OK
    try:
        inside = asking.answered(request.query, _explained(sight, request))
    except QuestionError as error:
        inside, status = asking.refusal(request.query, error), HTTPStatus.BAD_REQUEST
    name = _require(sight.snapshot()).policy.gateway.name
    return _html(document(name, sight.version, inside), status)


def _explained(sight: Sight, request: Request) -> Explained:
    """Raises RefusedError or QuestionError."""
    if not request.trusted:
        raise RefusedError(
            HTTPStatus.FORBIDDEN,
            "explain tells what is registered and answers only on the gateway itself; ask there, "
            "or with a client certificate (metrics.tls.client_ca in enforcer.yaml)",
        )
    if request.query.keys() - _ASKED:
        raise _bad("a parameter is not known; there is address, to, service and at")
    asked = {name: text.strip() for name, text in {"address": "", **request.query}.items()}
    if "at" in asked:
        asked["at"] = _with_plus(asked["at"])
    question = Question.read(**asked)
    try:
        found = sight.explain(question)
    except OverflowError:
        text = "this is the end of the calendar; ask for an earlier instant"
        raise QuestionError("at", text) from None
    return _require(found)


def _require(found: _T | None) -> _T:
    if found is None:
        raise RefusedError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the daemon is starting; ask again in a second",
            (("Retry-After", "1"),),
        )
    return found


def _instant(text: str) -> datetime:
    try:
        return instant(_with_plus(text))
    except ValueError:
        raise _bad("from is no instant; write it like 2026-12-01T08:00:00Z") from None


def _with_plus(text: str) -> str:
    """A plus sign that was not escaped arrives as a space."""
    return re.sub(r"(:\d\d(?:\.\d+)?) (?=\d\d:?\d\d$)", r"\1+", text)


def _days(text: str | None) -> int:
    if text is None:
        return USUAL_DAYS
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_DAYS:
        return int(text)
    raise _bad(f"days is no number of days; write one from 1 to {MOST_DAYS}")


def _bad(text: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, text)


def _html(text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(text.encode(), HTML, status, content_policy=CONTENT_POLICY)


def _json(value: Any) -> Response:
    return Response(json.dumps(value).encode() + b"\n", JSON)
