"""The whole documents: the page itself, and the one that answers `explain`."""

from __future__ import annotations

from enforcer.observe.page import sections
from enforcer.observe.page.look import Look
from enforcer.observe.page.markup import Html, el, join
from enforcer.observe.page.selfcheck import samples
from enforcer.observe.page.style import ICON, SCRIPT, STYLE
from enforcer.observe.page.timeline import timeline


def page(look: Look, form: Html) -> str:
    """`form` asks for `explain`, or says why it does not."""
    heading = el("h2", "Timeline: past 7 days, next 30", id="timeline")
    live = el(
        "div",
        sections.verdict(look),
        sections.tiles(look),
        sections.armed(look),
        el("section", heading, timeline(look), class_="card", aria_labelledby="timeline"),
        el("div", sections.traffic(look), sections.registry(look), class_="grid"),
        el("div", sections.health(look), samples(look), class_="grid"),
        el("div", sections.feeds(look), sections.reload(look), class_="grid"),
        id="live",
    )
    stale = el("div", "", id="stale", class_="tell bad", role="status", hidden=True)
    name = look.snapshot.policy.gateway.name
    return document(
        name,
        look.version,
        join(stale, live, form),
        moment=sections.moment(look),
        script=SCRIPT,
    )


def document(
    gateway: str, version: str, inside: Html, *, moment: str = "", script: str = ""
) -> str:
    """A document around `inside`, with the landmarks that every one of ours has."""
    title = f"enforcer on {gateway}"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("link", rel="icon", href=ICON),
        el("style", Html(STYLE)),
    )
    links = [
        el("a", path, href=path)
        for path in ("/metrics", "/healthz", "/api/v1/status", "/api/v1/windows")
    ]
    body = el(
        "body",
        el("a", "To the content", class_="skip", href="#main"),
        el("header", el("div", el("h1", el("a", title, href="/")), moment), class_="bar"),
        el("main", inside, id="main"),
        el("footer", el("p", f"enforcer {version}. This page only shows; what changes anything is "
                             "the enforcer command on the gateway."), el("nav", *links,
                                                                        aria_label="For programs")),
        el("script", Html(script)) if script else "",
    )  # fmt: skip
    return "<!DOCTYPE html>\n" + el("html", head, body, lang="en") + "\n"
