"""What the sections of the page are made of: cards, notices, lists of terms, tables."""

from __future__ import annotations

from collections.abc import Iterable

from enforcer.observe.page.markup import Html, el, join


def card(title: str, *inside: str, id_: str) -> Html:
    heading = el("h2", title, id=id_)
    return el("section", heading, *inside, class_="card", aria_labelledby=id_)


def tell(kind: str, title: str, *texts: str) -> Html:
    return el("div", title, *(_paragraph(text) for text in texts if text), class_=f"tell {kind}")


def _paragraph(text: str) -> Html:
    return text if isinstance(text, Html) and text.startswith("<ul") else el("p", text)


def definitions(rows: Iterable[tuple[str, str]]) -> Html:
    return el("dl", *(join(el("dt", name), el("dd", _lines(value))) for name, value in rows))


def _lines(text: str) -> Html:
    if isinstance(text, Html):
        return text
    first, *rest = text.split("\n")
    return join(first, *(join(el("br"), line) for line in rest))


def table(
    names: Iterable[str], numbers: Iterable[str], rows: Iterable[str], foot: str = ""
) -> Html:
    head = [el("th", name, scope="col") for name in names]
    head += [el("th", name, scope="col", class_="n") for name in numbers]
    return el("table", el("thead", el("tr", *head)), el("tbody", *rows),
              el("tfoot", foot) if foot else "")  # fmt: skip
