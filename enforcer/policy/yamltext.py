"""YAML text → plain values with the place of each. Bytes come in; a `Document` or problems go out.

It works on the parser's events, in a loop: composing recurses in C as deep as the text nests, and
plain loading keeps the last of duplicate keys, loses places and reads `12:30` as 750. Strict on
purpose: whatever two readers could understand differently is refused with its place. It never
raises for anything the bytes may hold, and never opens a file.
"""

from __future__ import annotations

import re

import yaml

from enforcer.errors import Problem
from enforcer.policy.disguise import CONFLICT, MARKUP, disguised, is_conflict, is_markup
from enforcer.policy.places import Document, Place
from enforcer.policy.yamlevents import MOST_PROBLEMS, Builder


def read_yaml(file: str, data: bytes, root: str = "") -> tuple[Document | None, list[Problem]]:
    """The document in `data`, or None and everything that is wrong with its text.

    `file` is the name for messages, `root` the name that paths begin with.
    """
    text, problems = _decode(file, data)
    if text is None:
        return None, problems
    builder = Builder(file, root)
    loader = yaml.CSafeLoader(text)
    try:
        while loader.check_event() and not builder.done:
            event = loader.get_event()
            assert event is not None
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        builder.problems.append(_syntax(file, error))
    except yaml.YAMLError as error:
        fact = " ".join(str(error).split())
        builder.problems.append(Problem(file, 0, 0, "", f"is not YAML: {fact}; correct it"))
    finally:
        loader.dispose()
    if builder.problems:
        return None, builder.problems
    return Document(file, builder.value, builder.positions, builder.keys, root), []


_BOM = b"\xef\xbb\xbf"
# Tabs, control characters, and characters that break or reorder a line without showing it.
_UNSEEN = re.compile(
    "[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
    "|\r(?!\n)"
)
_UNSEEN_NAMES = {"\t": "a tab", "\x00": "a NUL character", "\r": "a carriage return alone"}
_COMMENT_LINE = re.compile(r" *#")


def _decode(file: str, data: bytes) -> tuple[str | None, list[Problem]]:
    if data.startswith(_BOM):
        fact = "begins with a UTF-8 byte order mark"
        return None, [Problem(file, 1, 1, "", f"{fact}; save it as UTF-8 without one")]
    other = disguised(data)
    if other is not None:
        return None, [Problem(file, 0, 0, "", other)]
    if is_markup(data[:200]):
        return None, [Problem(file, 1, 1, "", MARKUP)]
    if b"<<<<<<< " in data:
        marked = next((n for n, at in enumerate(data.splitlines(), 1) if is_conflict(at)), None)
        if marked is not None:
            return None, [Problem(file, marked, 1, "", CONFLICT)]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line, column = _line_column(before)
        fact = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        return None, [Problem(file, line, column, "", f"{fact}; save the file as UTF-8")]
    problems: list[Problem] = []
    for line, row in enumerate(text.split("\n"), 1):
        unseen = _UNSEEN.search(row.removesuffix("\r"))
        # A tab in a line that is all comment does no harm.
        if unseen is None or (unseen[0] == "\t" and _COMMENT_LINE.match(row)):
            continue
        name = _UNSEEN_NAMES.get(unseen[0], f"the unseen character U+{ord(unseen[0]):04X}")
        remedy = "use spaces" if unseen[0] == "\t" else "remove it"
        problems.append(Problem(file, line, unseen.start() + 1, "", f"has {name}; {remedy}"))
        if len(problems) == MOST_PROBLEMS:
            break
    return (None, problems) if problems else (text, [])


def _line_column(before: str) -> Place:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


_SYNTAX_REMEDIES = {
    "mapping values are not allowed in this context": (
        "a colon stands where no key can be",
        "quote the value that holds it, or check the indentation of this line",
    ),
    "could not find expected ':'": ("a key has no colon", "write a colon and a space after it"),
    "did not find expected key": (
        "this line fits neither the lines above nor a new key",
        "check its indentation, and the quotes of the lines above",
    ),
    "did not find expected '-' indicator": (
        "this line is no entry of the list above it",
        "begin it with '- ', or check its indentation",
    ),
    "did not find expected node content": (
        "a value is missing here",
        "close the bracket or brace, or write the value",
    ),
    "did not find expected ',' or ']'": ("a list has no end", "write the comma or the ] missing"),
    "did not find expected ',' or '}'": (
        "a mapping in braces has no end",
        "write the comma or the } missing",
    ),
    "found unexpected end of stream": ("a quoted text has no end", "write the closing quote"),
    "found character that cannot start any token": (
        "this character cannot begin a value",
        "put the value in quotes",
    ),
}


def _syntax(file: str, error: yaml.MarkedYAMLError) -> Problem:
    problem = error.problem or "cannot be read"
    fact, remedy = _SYNTAX_REMEDIES.get(
        problem, (problem, "check the indentation, quotes and brackets around this place")
    )
    # An unclosed quote is found at the end of the file; where it opens is what the person needs.
    mark = error.problem_mark
    if problem == "found unexpected end of stream":
        mark = error.context_mark or mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return Problem(file, line, column, "", f"is not YAML: {fact}; {remedy}")
