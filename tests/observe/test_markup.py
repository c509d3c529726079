"""Whatever is put into the page is text, unless this code made it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from enforcer.observe.page.markup import Html, el, html, join, printable
from tests.observe.page_worlds import read

_EVIL = '<script>alert("1")</script>&amp;\'"'


def test_text_is_escaped_and_markup_is_not() -> None:
    assert el("p", "<b>", el("i", "a & b")) == "<p>&lt;b&gt;<i>a &amp; b</i></p>"
    assert join("<", Html("<br>")) == "&lt;<br>"
    assert html(el("p")) == "<p></p>"


def test_attributes_are_escaped_left_out_or_bare() -> None:
    made = el("input", class_="a b", value='" onclick="x', hidden=True, required=False, id=None)
    assert made == '<input class="a b" value="&quot; onclick=&quot;x" hidden>'
    assert el("label", for_="x", aria_label="y") == '<label for="x" aria-label="y"></label>'


def test_what_would_hide_or_turn_text_is_replaced() -> None:
    assert printable("a\u202eb\x00c\x1b[31m\nd\u200b") == "a\ufffdb\ufffdc\ufffd[31m\nd\ufffd"


@given(st.text(), st.text())
def test_no_text_breaks_out(inside: str, attribute: str) -> None:
    found = read(el("p", inside, title=attribute)).children
    (paragraph,) = found
    assert not isinstance(paragraph, str)
    assert set(paragraph.attributes) == {"title"}
    assert paragraph.attributes["title"] == printable(attribute)
    assert all(isinstance(child, str) for child in paragraph.children)
    assert "".join(map(str, paragraph.children)) == printable(inside)


def test_a_script_is_read_as_text() -> None:
    document = read(el("p", _EVIL))
    assert document.every("script") == []
    assert document.one("p").text == _EVIL
