"""The form that asks `explain`, and the page that answers: what was asked and found → markup.

What was asked stands in the form again, for the next question. It is shown to whoever asked it and
kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from enforcer.observe.page.blocks import card, definitions, tell
from enforcer.observe.page.markup import Html, el, join
from enforcer.observe.page.words import both, utc
from enforcer.ruleset.question import Explained, QuestionError, verdict_words

# name, what it is, what is said of it, an example, the longest text of sense
_FIELDS = (
    ("address", "From", "an address", "198.51.100.7", 45),
    ("to", "To", "may be empty", "203.0.113.5", 45),
    ("service", "Service", "may be empty", "udp/51820", 24),
    ("at", "At", "UTC; empty: now", "2026-12-01T08:00Z", 40),
)
_KINDS = {"held_back": "bad", "let_in": "good", "marked": "good", "untouched": "next"}
_TITLE = "Would this flow get through?"


def form(asked: Mapping[str, str], error: QuestionError | None = None) -> Html:
    fields = [_field(*field, asked, error) for field in _FIELDS]
    return card(
        _TITLE,
        el(
            "form",
            *fields,
            el("div", el("button", "Explain", type="submit")),
            action="/explain",
            method="get",
        ),
        id_="explain",
    )


def _field(
    name: str,
    title: str,
    hint: str,
    example: str,
    longest: int,
    asked: Mapping[str, str],
    error: QuestionError | None,
) -> Html:
    wrong = error is not None and error.field == name
    return el(
        "div",
        el("label", title, " ", el("span", hint), for_=f"ask-{name}"),
        el(
            "input",
            id=f"ask-{name}",
            name=name,
            value=asked.get(name, ""),
            placeholder=example,
            maxlength=longest,
            required=name == "address",
            autocomplete="off",
            autocapitalize="off",
            spellcheck="false",
            aria_invalid="true" if wrong else None,
            aria_describedby="wrong" if wrong else None,
        ),
    )


def no_form() -> Html:
    """Why a stranger is not answered: what is registered is nobody's business."""
    text = (
        "explain tells what is registered, so it answers on the gateway itself, or to a client "
        "whose certificate is verified (metrics.tls.client_ca)."
    )
    return card(_TITLE, el("p", text, class_="soft"), id_="explain")


def refusal(asked: Mapping[str, str], error: QuestionError) -> Html:
    return join(el("div", tell("bad", str(error)), id="wrong", role="alert"), form(asked, error))


def answered(asked: Mapping[str, str], explained: Explained) -> Html:
    """The answer, in the order of the command's, and the form for the next question."""
    answer = explained.answer
    name = answer["verdict"]
    flow = f"From {answer['address']}" + (f" to {answer['to']}" if answer["to"] else "")
    flow += f", {answer['service']}" if answer["service"] else ""
    verdict = el("span", verdict_words(answer), class_=f"pill {_KINDS[name]}")
    rows: list[tuple[str, str]] = [("At", utc(explained.at))]
    rows.append(("Windows on", "\n".join(_windows(explained)) or "none"))
    if answer["due"]:
        rows.append(("Due", f"{', '.join(answer['due'])}: not in force, and not in this verdict"))
    rows += [("Note", note) for note in answer["notes"]]
    rows.append(("Registered", _registrations(answer["registrations"])))
    if answer["to"]:
        rows.append(("Its target", _registrations(answer["to_registrations"])))
    rows.append(("Path", el("ol", *(el("li", step) for step in answer["steps"]))))
    kernel = answer["kernel"]
    rows.append(("Kernel, now", _kernel(answer["address"], kernel, kernel["reason"])))
    if answer["to"]:
        rows.append(("", _kernel(answer["to"], kernel["to"], kernel["reason"])))
    supposed = (
        "Without a target guard is judged as if the flow went to the estate."
        if not answer["to"] and name in {"held_back", "let_in"}
        else ""
    )
    return join(
        "" if answer["agrees"] else _differs(answer["differences"]),
        card(
            flow,
            el("p", verdict, class_="until"),
            el("p", supposed, class_="soft") if supposed else "",
            definitions(rows),
            id_="answer",
        ),
        form(asked),
    )


def _differs(differences: Sequence[str]) -> Html:
    title = "The kernel differs from what it should hold now."
    items = el("ul", *(el("li", text) for text in differences))
    remedy = "What to change: enforcer plan, on the gateway."
    return el("div", tell("bad", title, items, remedy), role="alert")


def _windows(explained: Explained) -> list[str]:
    return [
        f"{a.id}: {', '.join(a.window.measure_names)}, until {both(a.ends_at, a.window.zone)}"
        + (", staged" if a.window.stage else "")
        for a in explained.windows
    ]


def _registrations(rows: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        f"{r['prefix']}: {r['id']}, {r['category']}, {' '.join(r['services']) or 'any service'}"
        + _dates(r["valid_from"], r["valid_until"])
        for r in rows
    ) or "no"  # fmt: skip


def _dates(since: str | None, until: str | None) -> str:
    return f", {since or '…'} to {until or '…'}" if since or until else ""


def _kernel(address: str, end: Mapping[str, Any], reason: str | None) -> str:
    match end["member"]:
        case None:
            return f"{address}: not asked" + (f" ({reason})" if reason else "")
        case True:
            return f"{address}: holds {end['means']} (class {end['class']})"
    return f"{address}: does not hold it"
