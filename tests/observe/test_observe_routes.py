"""What each path answers, from a snapshot; the same JSON as the commands give."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest

from enforcer.errors import KernelError
from enforcer.observe.http import routes as routes_module
from enforcer.observe.http.message import RefusedError, Request
from enforcer.observe.http.routes import MOST_DAYS, SILENCE_S, Sight, answer, routes
from enforcer.observe.metrics import Metrics
from enforcer.observe.snapshot import Snapshot
from enforcer.observe.views import status_view
from enforcer.ruleset.question import Explained, Question
from enforcer.schedule.orders import Order, Orders
from tests.observe.test_metrics import CLOSES, LOADED, OPENS, SNAPSHOT, TOTALS, samples

NO_ORDERS = Orders()
ANSWER: dict[str, Any] = {
    "address": "192.0.2.1",
    "to": None,
    "service": None,
    "at": "2026-12-01T08:01:00Z",
    "registrations": [
        {
            "id": "R-<1>",
            "prefix": "192.0.2.0/24",
            "category": "freelancer",
            "valid_from": "2026-01-01",
            "valid_until": None,
            "services": ["udp/51820"],
        }
    ],
    "to_registrations": [],
    "windows": ["ddos"],
    "due": ["exams"],
    "verdict": "let_in",
    "partly": False,
    "notes": [],
    "steps": ["guard of window ddos: let in"],
    "kernel": {
        "member": False, "class": None, "means": None, "to": None, "armed": [], "reason": None,
    },
    "agrees": False,
    "differences": ["192.0.2.1: it is registered as freelancer, but the kernel does not hold it"],
}  # fmt: skip
NOW = OPENS + timedelta(minutes=1)


def sight(
    snapshot: Snapshot | None = SNAPSHOT, silent_s: float = 0.0, orders: Orders = NO_ORDERS
) -> Sight:
    metrics = Metrics(lambda: snapshot, lambda: TOTALS)
    return Sight(
        lambda: snapshot,
        lambda: orders,
        metrics.registry,
        lambda: NOW,
        lambda: silent_s,
        "1.2",
        totals=lambda: TOTALS,
        explain=explain,
    )


def explain(question: Question) -> Explained | None:
    """What is found is `test_explaining`'s business."""
    if question.at is not None and question.at.year == 9999:
        raise OverflowError
    return Explained(ANSWER, (), question.at or NOW)


def get(path: str, seen: Sight | None = None, **query: str) -> Any:
    return answer(routes(seen or sight()), Request("GET", path, query, trusted=True))


def refused(path: str, seen: Sight | None = None, **query: str) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        get(path, seen, **query)
    return caught.value


def test_metrics_are_what_the_registry_says_in_the_form_that_is_asked() -> None:
    plain = get("/metrics")
    assert plain.kind.startswith("text/plain; version=")
    assert "enforcer_packets_total" in samples(plain.body.decode())
    asked = Request("GET", "/metrics", {}, {"accept": "application/openmetrics-text"})
    open_form = answer(routes(sight()), asked)
    assert open_form.kind.startswith("application/openmetrics-text")
    assert open_form.body.endswith(b"# EOF\n")


def test_status_is_what_the_command_says() -> None:
    told = get("/api/v1/status")
    assert told.kind.startswith("application/json")
    assert json.loads(told.body) == status_view(SNAPSHOT, "1.2")


def test_windows_are_what_the_command_says() -> None:
    told = json.loads(get("/api/v1/windows").body)
    assert [(w["id"], w["state"], w["starts_at"], w["ends_at"]) for w in told] == [
        ("ddos", "armed", "2026-12-01T08:00:00Z", "2026-12-01T10:00:00Z"),
        ("exam", "due", "2026-12-01T08:00:00Z", "2026-12-01T10:00:00Z"),
    ]


def test_windows_stand_under_the_orders() -> None:
    orders = Orders().given([Order("exam", OPENS, CLOSES, "closed", "root", NOW)])
    told = json.loads(get("/api/v1/windows", sight(orders=orders)).body)
    assert {w["id"]: w["state"] for w in told} == {"ddos": "armed", "exam": "closed"}
    idle = sight(replace(SNAPSHOT, armed=()), orders=orders)
    told = json.loads(get("/api/v1/windows", idle).body)
    assert {w["id"]: w["state"] for w in told} == {"ddos": "due", "exam": "closed"}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"from": "2026-12-01T10:00:00Z"}, 0),
        ({"from": "2026-12-01T09:59:59"}, 2),
        ({"from": "2026-12-01T14:59:59 05:00"}, 2),
        ({"from": "2026-11-24T00:00:00Z", "days": "7"}, 0),
        ({"from": "2026-11-24T00:00:00Z", "days": "8"}, 2),
    ],
)
def test_windows_are_asked_for_a_span(query: dict[str, str], count: int) -> None:
    assert len(json.loads(get("/api/v1/windows", **query).body)) == count


@pytest.mark.parametrize(
    "query",
    [
        {"from": "tomorrow"},
        {"from": "0001-01-01T00:00:00+14:00"},
        {"from": "9999-12-31T00:00:00Z", "days": "2"},
        {"days": "0"},
        {"days": "-1"},
        {"days": str(MOST_DAYS + 1)},
        {"days": "٣"},
        {"days": "9" * 5000},
        {"dyas": "3"},
    ],
)
def test_a_span_that_is_none_is_refused(query: dict[str, str]) -> None:
    assert refused("/api/v1/windows", **query).status is HTTPStatus.BAD_REQUEST


def test_more_windows_than_one_answer_holds_are_asked_for_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes_module, "MOST_SHOWN", 0)
    error = refused("/api/v1/windows", **{"from": f"{OPENS:%Y-%m-%dT%H:%M:%SZ}", "days": "400"})
    assert error.status == HTTPStatus.BAD_REQUEST
    assert str(error) == "more than 0 occurrences; ask for fewer days"


def test_health_is_whether_it_lives_and_keeps_its_word() -> None:
    assert (get("/healthz").status, get("/healthz").body) == (HTTPStatus.OK, b"ok\n")
    hung = get("/healthz", sight(silent_s=SILENCE_S + 1))
    assert hung.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert hung.body == b"the daemon's loop has not turned for 31 s\n"
    failing = get("/healthz", sight(replace(SNAPSHOT, problem="commit: no room")))
    assert failing.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert failing.body == b"commit: no room\n"


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/windows"])
def test_a_daemon_that_starts_says_so(path: str) -> None:
    error = refused(path, sight(None))
    assert error.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert error.fields == (("Retry-After", "1"),)
    assert get("/healthz", sight(None)).status is HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "//metrics", "/../etc/passwd", "/%2e"])
def test_what_is_not_there_is_not_found(path: str) -> None:
    error = refused(path)
    assert error.status is HTTPStatus.NOT_FOUND
    assert "/metrics" in error.text


def test_every_path_answers_and_names_no_address() -> None:
    table: dict[str, Callable[[Request], Any]] = dict(routes(sight()))
    for path, route in table.items():
        asked = {"address": "192.0.2.1"} if path.endswith("/explain") else {}
        request = Request("GET", path, asked, trusted=True)
        assert route(request).status is HTTPStatus.OK, path
    assert LOADED.tzinfo is UTC
    assert datetime.fromisoformat(json.loads(get("/api/v1/status").body)["config"]["loaded_at"])


# --- the page and explain -------------------------------------------------------------------------


def test_the_page_is_under_a_policy_that_lets_it_do_next_to_nothing() -> None:
    page = get("/")
    assert page.kind.startswith("text/html")
    allowed = dict(part.split(" ", 1) for part in page.content_policy.split("; "))
    assert allowed.pop("style-src").startswith("'sha256-")
    assert allowed.pop("script-src").startswith("'sha256-")
    assert allowed == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


def test_counters_that_cannot_be_read_leave_the_rest_of_the_page() -> None:
    def unreadable() -> Any:
        raise KernelError("counters", 1, "not permitted")

    page = get("/", replace(sight(), totals=unreadable)).body.decode()
    assert "counters cannot be read now" in page
    assert "ddos" in page


def test_explain_answers_a_program_and_a_person_alike() -> None:
    asked = {"address": " 192.0.2.1 ", "to": "", "service": "", "at": ""}
    assert json.loads(get("/api/v1/explain", **asked).body) == ANSWER
    page = get("/explain", **asked).body.decode()
    for text in (
        "let in",
        "R-&lt;1&gt;, freelancer, udp/51820, 2026-01-01 to …",
        "guard of window ddos: let in",
        "192.0.2.1: does not hold it",
        "The kernel differs from what it should hold now.",
        "but the kernel does not hold it",
        "as if the flow went to the estate",
        'value=" 192.0.2.1 "',
    ):
        assert text in page, text


@pytest.mark.parametrize(
    ("at", "instant"),
    [
        ("2026-12-01T13:01:00 05:00", "2026-12-01 08:01Z"),
        ("2026-12-01T13:01+05:00", "2026-12-01 08:01Z"),
        ("2026-12-01 08:01", "2026-12-01 08:01Z"),
    ],
)
def test_an_instant_may_be_written_as_people_do(at: str, instant: str) -> None:
    assert f"<dd>{instant}</dd>" in get("/explain", address="192.0.2.1", at=at).body.decode()


@pytest.mark.parametrize(
    ("query", "field", "text"),
    [
        ({}, "address", "an address is missing"),
        ({"address": "<script>"}, "address", "is not an IP address; write it like"),
        ({"address": "192.0.2.1", "to": "::1"}, "to", "of two families"),
        ({"address": "192.0.2.1", "service": "http"}, "service", "is not a service; write"),
        ({"address": "192.0.2.1", "at": "soon"}, "at", "is no instant; write it like"),
        ({"address": "192.0.2.1", "at": "9999-12-31T23:59:59Z"}, "at", "end of the calendar"),
    ],
)
def test_nonsense_is_told_what_is_wrong_with_it(
    query: dict[str, str], field: str, text: str
) -> None:
    page = get("/explain", **query)
    assert page.status is HTTPStatus.BAD_REQUEST
    body = page.body.decode()
    assert text in body
    assert f'name="{field}"' in body.split('aria-invalid="true"')[0].rpartition("<input")[2]
    assert "<script>&" not in body
    error = refused("/api/v1/explain", **query)
    assert error.status is HTTPStatus.BAD_REQUEST
    assert error.text.startswith(f"{field}: ")


@pytest.mark.parametrize("path", ["/explain", "/api/v1/explain"])
def test_what_is_registered_is_told_to_nobody_who_is_not_trusted(path: str) -> None:
    stranger = Request("GET", path, {"address": "192.0.2.1"})
    with pytest.raises(RefusedError) as caught:
        answer(routes(sight()), stranger)
    assert caught.value.status is HTTPStatus.FORBIDDEN
    page = answer(routes(sight()), Request("GET", "/")).body.decode()
    assert "<form" not in page
    assert "metrics.tls.client_ca" in page
    assert refused(path, replace(sight(), explain=lambda _: None), address="::1").fields
    assert refused(path, address="::1", adress="::2").status is HTTPStatus.BAD_REQUEST
