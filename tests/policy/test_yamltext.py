"""YAML text: plain values with places; whatever two readers could understand differently, no."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.policy.yamlevents import DEEPEST
from enforcer.policy.yamltext import read_yaml

TRAPS = """
    yes Yes NO on Off y N 12:30 08:30 22:30:00 1:30.5 2026-01-01 2026-1-1 2026-01-01T08:00:00
    0777 010 -07 0o17 0b101 1_000 0x_ff 0x1_0 .inf -.INF .NaN ~ null NULL 999999999999999999999
"""
ORDINARY = "1.2.3 2001:db8::/32 10m 40% 1gbit a-b =x nope tcp/443 2026 cs5 1:70 1.2.3.4/32"


def refusals(text: str) -> list[str]:
    document, problems = read_yaml("f.yaml", text.encode())
    assert document is None
    return [str(problem) for problem in problems]


def test_values_are_plain_and_each_has_its_place() -> None:
    document, problems = read_yaml(
        "f.yaml", b'a: 0x51\nb: [+1, "yes",\n    2.5]\n1449: true\n', "w"
    )
    assert problems == []
    assert document is not None
    assert document.value == {"a": 81, "b": [1, "yes", 2.5], 1449: True}
    assert document.positions == {
        (): (1, 1),
        ("a",): (1, 4),
        ("b",): (2, 4),
        ("b", 0): (2, 5),
        ("b", 1): (2, 9),
        ("b", 2): (3, 5),
        (1449,): (4, 7),
    }
    assert document.keys == {("a",): (1, 1), ("b",): (2, 1), (1449,): (4, 1)}


def test_columns_count_characters_and_not_bytes() -> None:
    document, _ = read_yaml("f.yaml", "{é😀: x, b: z}".encode())
    assert document is not None
    assert document.positions[("b",)] == (1, 12)


@pytest.mark.parametrize("word", TRAPS.split())
def test_an_unquoted_word_that_readers_disagree_on_is_refused_and_fine_in_quotes(word: str) -> None:
    (message,) = refusals(f"key: {word}")
    assert message.startswith("f.yaml:1:6: key: ")
    assert "; " in message
    document, _ = read_yaml("f.yaml", f'key: "{word}"'.encode())
    assert document is not None
    assert document.value == {"key": word}


@pytest.mark.parametrize("word", ORDINARY.split())
def test_an_ordinary_word_needs_no_quotes(word: str) -> None:
    document, problems = read_yaml("f.yaml", f"key: {word}".encode())
    assert problems == []
    assert document is not None
    assert str(document.value["key"]) == word


def test_all_of_a_files_traps_are_reported_at_once() -> None:
    assert refusals("a: yes\nb: 12:30\nc: {x: 1, x: 2}\n") == [
        'f.yaml:1:4: a: yes is read by YAML as true; write true, or "yes" in quotes if it is text',
        'f.yaml:2:4: b: 12:30 is read by YAML as the number 750; quote it: "12:30"',
        'f.yaml:3:11: c: the key "x" is given twice, first on line 3; remove one',
    ]


def test_a_syntax_error_does_not_hide_the_traps_before_it() -> None:
    assert [line.split(": ")[0] for line in refusals("a: yes\nb: [1\n")] == [
        "f.yaml:1:4",
        "f.yaml:3:1",
    ]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_is_refused_before_it_can_exhaust_anything(opening: str) -> None:
    (message,) = refusals(opening * 100_000)
    assert f"nests deeper than {DEEPEST} levels" in message


def test_nesting_up_to_the_limit_is_read() -> None:
    document, problems = read_yaml("f.yaml", b"[" * DEEPEST + b"]" * DEEPEST)
    assert problems == []
    assert document is not None


def test_a_billion_laughs_are_refused_at_the_first() -> None:
    text = "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(50))
    assert "is an anchor or an alias" in refusals(text)[0]


def test_a_file_without_content_is_a_document_without_value() -> None:
    document, problems = read_yaml("f.yaml", b"# nothing\n")
    assert problems == []
    assert document is not None
    assert document.value is None


def test_a_tab_in_a_line_of_comment_does_no_harm() -> None:
    assert read_yaml("f.yaml", b"#\tcomment\n  #\tanother\na: 1\n")[1] == []


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{}#&*!|>'\"%@`,? \n01~<.\t", max_size=60))
def test_text_of_yaml_signs_gives_a_document_or_problems(text: str) -> None:
    document, problems = read_yaml("f.yaml", text.encode())
    assert (document is None) == bool(problems)
