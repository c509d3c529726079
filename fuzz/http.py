"""What visitors send to the status port: read, answered and encoded as the port does, without the
network between.
"""

from __future__ import annotations

import asyncio
import html
import json
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

from enforcer.observe.http.message import (
    LIMIT_LINE_BYTES,
    Names,
    RefusedError,
    Request,
    Response,
    encode,
)
from enforcer.observe.http.routes import Sight, answer, routes
from enforcer.observe.http.server import _read_request
from enforcer.observe.metrics import Metrics
from enforcer.policy.model import Activation
from enforcer.ruleset.question import Explained, Question
from enforcer.schedule.agenda import armed_at
from enforcer.schedule.load import load
from enforcer.schedule.orders import Orders
from enforcer.sources.files import ZONES
from fuzz.targets import MAIN, WINDOWS
from tests.observe.page_worlds import NOW, TOTALS, snapshot

NAMES = Names(frozenset({"localhost", "gw.isp.example"}))


@cache
def _sight() -> Sight:
    policy = load({"enforcer.yaml": MAIN, "windows.d/w.yaml": WINDOWS}, "enforcer.yaml", ZONES)
    seen = snapshot(policy.windows)
    metrics = Metrics(lambda: seen, lambda: dict(TOTALS))

    def explain(question: Question) -> Explained:
        at = question.at or NOW
        windows = armed_at(policy, Orders(), at)
        return Explained(_explained(question, windows), windows, at)

    return Sight(
        lambda: seen,
        Orders,
        metrics.registry,
        lambda: NOW,
        lambda: 0.0,
        "1.2",
        totals=lambda: TOTALS,
        explain=explain,
    )


def _explained(question: Question, windows: tuple[Activation, ...]) -> dict[str, Any]:
    """Shaped as `enforcer.explaining` has it, without the kernel that it asks."""
    row = {"id": "R-<1>", "prefix": "192.0.2.0/24", "category": "freelancer", "valid_from": None}
    end = {"member": False, "class": None, "means": None}
    return {
        "address": str(question.address),
        "to": str(question.to) if question.to else None,
        "service": str(question.service) if question.service else None,
        "at": "2026-12-01T08:00:00Z",
        "registrations": [{**row, "valid_until": None, "services": []}],
        "to_registrations": [],
        "windows": [a.id for a in windows],
        "due": [],
        "verdict": "let_in" if windows else "untouched",
        "partly": False,
        "steps": [f"window {a.id}" for a in windows],
        "notes": ["no uplink is there"],
        "kernel": {**end, "to": end if question.to else None, "armed": [], "reason": None},
        "agrees": True,
        "differences": [],
    }


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def http(data: bytes) -> None:
    """The first byte says from where: odd ones from this machine, which may ask more."""
    if not data:
        return
    trusted = bool(data[0] & 1)
    request, response = None, None
    try:
        request = _loop().run_until_complete(_request(data[1:], trusted))
        response = answer(routes(_sight()), request)
    except EOFError:
        return
    except RefusedError as error:
        refused = error
    if response is None:
        response = refused.response()
        assert 400 <= refused.status < 600
        assert "; " in refused.text, refused.text
    _check(response)
    if request is not None:
        _echoes_nothing(request, response)


async def _request(data: bytes, trusted: bool) -> Request:
    reader = asyncio.StreamReader(limit=LIMIT_LINE_BYTES)
    reader.feed_data(data)
    reader.feed_eof()
    return await _read_request(reader, NAMES, trusted)


def _check(response: Response) -> None:
    """The answer is one answer, whatever was asked."""
    head, _, body = encode(response, with_body=True).partition(b"\r\n\r\n")
    assert body == response.body
    status, *fields = head.decode("latin-1").split("\r\n")
    assert status.startswith("HTTP/1.1 ")
    told = dict(field.split(": ", 1) for field in fields)
    assert int(told["Content-Length"]) == len(body)
    assert "\n" not in "".join(told.values()) + status
    if response.kind.startswith("application/json"):
        json.loads(body)
    assert encode(response, with_body=False) == head + b"\r\n\r\n"


def _echoes_nothing(request: Request, response: Response) -> None:
    """No markup of the visitor's comes back as markup."""
    if response.kind.startswith("text/html"):
        text = response.body.decode()
        for sent in (*request.query.values(), *request.query, unquote_plus(request.path)):
            if "<" in sent and html.escape(sent) != sent and len(sent) > 4:
                assert sent not in text or sent in _plain(request), sent


def _plain(request: Request) -> str:
    """The same page when nothing is asked."""
    plain = replace(request, query={}, path="/")
    return answer(routes(_sight()), plain).body.decode()
