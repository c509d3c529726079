"""The man pages enforcer(8) and enforcer.yaml(5), from the command line's grammar and the schemas.

In: values. Out: man(7) text. `python -m enforcer.cli.manual DIR` writes them, for packages; the day
in their footers is that of SOURCE_DATE_EPOCH, so that the same source gives the same pages.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from enforcer import __version__
from enforcer.cli.grammar import Argument, Command, Grammar, Option, read_grammar
from enforcer.clock import SystemClock

_DESCRIPTION = """\
A daemon for Linux gateways at Internet service providers. It keeps registered VPN traffic flowing
while the network is disrupted. The operator declares windows; inside them, and nowhere else,
registered traffic is marked, given a share of a link, or let in alone to the operator's own VPN
servers. Outside windows nothing of it is hooked into the packet path.

Every command reads the configuration that --config names, and prints text for people, or JSON with
stable keys for programs (--format json). Times on the command line are ISO 8601, in UTC unless they
have an offset.\
"""

_CONFIGURATION = """\
/etc/enforcer/enforcer.yaml says what a gateway is and what windows may do on it; the files
windows.d/*.yaml beside it are lists of windows. Both are YAML, read strictly: unknown and repeated
keys are errors, as are words and numbers that YAML 1.1 reads as something else. Put times in
quotes.

enforcer check names every mistake with its place and remedy; enforcer init writes commented
examples. Files that somebody else than root could change are refused.\
"""

_EXIT = (
    ("0", "done"),
    ("1", "failed; for doctor: something would not work"),
    ("2", "plan or registry diff found something that changes"),
    ("3", "explain says held back"),
    ("64", "wrong usage"),
    ("78", "bad configuration"),
)
_FILES = (
    ("/etc/enforcer/enforcer.yaml", "the configuration, see enforcer.yaml(5)"),
    ("/etc/enforcer/windows.d/*.yaml", "windows, each file a list of them"),
    ("/var/lib/enforcer/fleet/windows.d/*.yaml", "windows that a fleet's gateway has of its own"),
    ("/var/lib/enforcer", "standing orders, last-good copies, and the record, audit.jsonl"),
    ("/run/enforcer/control.sock", "where the daemon is asked"),
    ("/run/enforcer-clock.sock", "where the daemon asks whether the clock is synchronised"),
)
_ENVIRONMENT = (
    ("ENFORCER_STATE_DIR", "another directory than /var/lib/enforcer"),
    ("ENFORCER_RUN_DIR", "another directory than /run/enforcer"),
    ("ENFORCER_CLOCK_SOCKET", "another socket than /run/enforcer-clock.sock"),
    ("NO_COLOR", "no colours, whatever the terminal"),
)
_SIGNALS = (
    ("SIGHUP", "reads the configuration anew; what is refused changes nothing"),
    ("SIGTERM", "stops; armed windows stay to their end or lease, unless on_stop says release"),
)
_EXAMPLES = (
    ("everything that is wrong with the configuration", "enforcer check"),
    ("what would change in the kernel at an instant", "enforcer plan --at 2026-12-01T12:00:00Z"),
    (
        "whether a customer's tunnel gets through",
        "enforcer explain 198.51.100.5 --to 203.0.113.1 --service udp/51820",
    ),
    (
        "a window for an attack that is on, on trial for five minutes",
        "enforcer declare --for 2h --measure guard=vpn --reason flood --confirm-within 5m …",
    ),
    ("end everything now, with or without the daemon", "enforcer disarm"),
)


def pages(day: date) -> dict[str, str]:
    """File name → page."""
    from enforcer.policy.documents import json_schema

    schemas = {"enforcer.yaml": json_schema("enforcer"), "windows.d": json_schema("windows")}
    return {
        "enforcer.8": commands_page(read_grammar(), day),
        "enforcer.yaml.5": configuration_page(schemas, day),
    }


# --- enforcer(8) --------------------------------------------------------------------------------


def commands_page(grammar: Grammar, day: date) -> str:
    lines = _head("enforcer", 8, "keeps registered VPN traffic flowing", day)
    lines += [".SH SYNOPSIS", ".B enforcer", ".RI [ OPTION .\\|.\\|.]", ".I VERB"]
    lines += [".RI [ ARGUMENT .\\|.\\|.]", ".SH DESCRIPTION", *_prose(_DESCRIPTION)]
    lines += [".SH OPTIONS", "They may stand before or after the verb."]
    for option in grammar.options:
        lines += _option(option)
    lines.append(".SH COMMANDS")
    for command in grammar.commands:
        lines += _command(command)
    for title, rows in (
        ("EXIT STATUS", _EXIT),
        ("FILES", _FILES),
        ("ENVIRONMENT", _ENVIRONMENT),
        ("SIGNALS", _SIGNALS),
    ):
        lines.append(f".SH {title}")
        for name, text in rows:
            lines += [".TP", f".B {_quoted(name)}", _text(_sentence(text))]
    lines.append(".SH EXAMPLES")
    for text, example in _EXAMPLES:
        lines += [".TP", _text(_sentence(text)), f".B {_quoted(example)}"]
    also = ".BR enforcer.yaml (5),\n.BR nft (8),\n.BR tc (8),\n.BR systemctl (1)"
    return "\n".join([*lines, ".SH SEE ALSO", also, ""])


def _command(command: Command) -> Iterator[str]:
    yield f".SS {_quoted(command.name)}"
    yield _synopsis(command)
    yield ".PP"
    yield from _prose(_sentence(command.description))
    for argument in command.arguments:
        if argument.help:
            yield from (".TP", f".I {_quoted(argument.metavar)}")
            yield from _prose(_sentence(argument.help))
    for option in command.options:
        yield from _option(option)


def _synopsis(command: Command) -> str:
    words = [f"\\fBenforcer {_text(command.name)}\\fR"]
    if command.within:
        words.append(f"\\fI{_text('|'.join(command.within))}\\fR")
    words += [_argument(argument) for argument in command.arguments]
    for option in command.options:
        flag = _flag(option, option.flags[-1])
        again = " .\\|.\\|." if option.repeatable else ""
        words.append(f"{flag}{again}" if option.required else f"[{flag}{again}]")
    return " ".join(words)


def _argument(argument: Argument) -> str:
    said = f"\\fI{_text('|'.join(argument.choices) or argument.metavar)}\\fR"
    said += ".\\|.\\|." if argument.many else ""
    return f"[{said}]" if argument.optional else said


def _option(option: Option) -> Iterator[str]:
    flags = ", ".join(_flag(option, flag) for flag in option.flags)
    yield from (".TP", flags)
    if option.help:
        yield from _prose(_sentence(option.help))


def _flag(option: Option, flag: str) -> str:
    value = "|".join(option.choices) or option.metavar
    return f"\\fB{_text(flag)}\\fR" + (f" \\fI{_text(value)}\\fR" if value else "")


# --- enforcer.yaml(5) ---------------------------------------------------------------------------


def configuration_page(schemas: Mapping[str, Mapping[str, Any]], day: date) -> str:
    lines = _head("enforcer.yaml", 5, "configuration of enforcer", day)
    lines += [".SH DESCRIPTION", *_prose(_CONFIGURATION)]
    for name, schema in schemas.items():
        title = "WINDOWS" if name == "windows.d" else "KEYS"
        lines += [f".SH {title}", *_keys(schema, schema, "")]
    lines += [".SH SEE ALSO", ".BR enforcer (8)", ""]
    return "\n".join(lines)


def _keys(schema: Mapping[str, Any], node: Mapping[str, Any], path: str) -> Iterator[str]:
    """Every key below `node`: its path, what it is, its default, whether it must be there."""
    node = _resolved(schema, node)
    if (items := node.get("items")) is not None:
        yield from _keys(schema, items, f"{path}[]" if path else "")
    for form in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _keys(schema, form, path)
    for named in (node.get("additionalProperties"), *node.get("patternProperties", {}).values()):
        if isinstance(named, Mapping):
            yield from _keys(schema, named, f"{path}.NAME" if path else "NAME")
    for key, value in node.get("properties", {}).items():
        here = f"{path}.{key}" if path else key
        said = str(value.get("description") or _resolved(schema, value).get("description") or "")
        if said:
            needed = key in node.get("required", ())
            yield from (".TP", f".B {_quoted(here)}")
            yield from _prose(_sentence(said + _rest(value, needed)))
        yield from _keys(schema, value, here)


def _resolved(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while (reference := node.get("$ref")) is not None:
        node = schema["$defs"][reference.rpartition("/")[2]]
    return node


def _rest(value: Mapping[str, Any], needed: bool) -> str:
    notes = ["required"] if needed else []
    if "enum" in value and len(value["enum"]) < 8:
        notes.append("one of " + ", ".join(map(str, value["enum"])))
    if value.get("default") not in (None, [], {}) and not isinstance(value["default"], dict):
        notes.append(f"default {str(value['default']).lower()}")
    examples = value.get("examples")
    if examples and "enum" not in value:
        notes.append("like " + str(examples[0]))
    return f" ({', '.join(notes)})" if notes else ""


# --- man(7) -------------------------------------------------------------------------------------


def _head(name: str, section: int, what: str, day: date) -> list[str]:
    title = f'.TH {name.upper()} {section} {day.isoformat()} "enforcer {__version__}"'
    return [title, ".SH NAME", f"{_text(name)} \\- {_text(what)}"]


def _prose(text: str) -> Iterator[str]:
    """Paragraphs; each sentence begins a line, and none is longer than mandoc likes."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        for sentence in re.split(r"(?<=[.!?])\s+", paragraph):
            lines = textwrap.wrap(sentence, 72, break_on_hyphens=False, break_long_words=False)
            yield from map(_text, lines)


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _text(text: str) -> str:
    """As it stands: no request of man(7) is read out of it."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _quoted(text: str) -> str:
    """One argument of a request."""
    return '"' + _text(text).replace('"', "\\(dq") + '"'


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print("usage: python -m enforcer.cli.manual DIR", file=sys.stderr)
        return 64
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else SystemClock().now()
    folder = Path(argv[0])
    for name, text in pages(now.date()).items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
