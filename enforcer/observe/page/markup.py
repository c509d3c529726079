"""HTML that cannot be broken out of: text is escaped wherever it is put in, here and only here."""

from __future__ import annotations

from html import escape

_EMPTY = frozenset({"br", "input", "link", "meta"})

Attribute = str | int | float | bool | None


class Html(str):
    """Markup already. Any other text that is put into an element is escaped."""

    __slots__ = ()


def printable(text: str) -> str:
    """Without control characters and the marks that turn the direction of text around: what an
    operator wrote is to be read as it stands. Lines stay lines.
    """
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def html(text: str) -> Html:
    return text if isinstance(text, Html) else Html(escape(printable(text)))


def join(*parts: str) -> Html:
    return Html("".join(html(part) for part in parts))


def el(name: str, /, *children: str, **attributes: Attribute) -> Html:
    """An element. `class_` and `for_` lose their underscore, others become dashes; an attribute is
    left out when it is None or False, and has no value when it is True.
    """
    opening = f"<{name}{''.join(_attribute(k, v) for k, v in attributes.items())}>"
    return Html(opening if name in _EMPTY else f"{opening}{join(*children)}</{name}>")


def _attribute(name: str, value: Attribute) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(printable(str(value)))}"'
