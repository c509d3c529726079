"""The command line as values: what completion scripts, man pages and tests are made from.

In: the argparse parsers of `main` and of each verb. Out: a `Grammar`. Nothing is said twice: who
adds an option to a verb has it in the completion and on the man page.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from enforcer.cli import main

# What a value is, as far as completion goes; `window` is the id of a declared window.
Kind = Literal["none", "word", "choice", "file", "directory", "window"]


@dataclass(frozen=True, slots=True)
class Option:
    """`kind` none: a switch. `metavar` stands for its value in a synopsis."""

    flags: tuple[str, ...]
    kind: Kind
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    metavar: str
    kind: Kind
    help: str
    choices: tuple[str, ...] = ()
    optional: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """`path`: the verb, or the verb and what stands behind it (`registry lint`). `within`: the
    words that may follow it so.
    """

    path: tuple[str, ...]
    help: str
    description: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    within: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join(self.path)


@dataclass(frozen=True, slots=True)
class Grammar:
    """`options` are the global ones, which stand before or after the verb."""

    options: tuple[Option, ...]
    commands: tuple[Command, ...]

    @property
    def verbs(self) -> tuple[Command, ...]:
        return tuple(command for command in self.commands if len(command.path) == 1)


def read_grammar() -> Grammar:
    """Asks every verb for its arguments, which imports all of them."""
    whole = main.build_parser()
    shared = tuple(
        replace(o, choices=main.FORMATS[:2]) if "--format" in o.flags else o
        for o in _options(whole)
    )
    common = {flag for option in shared for flag in option.flags}
    commands: list[Command] = []
    for verb, parser in _within(whole).items():
        main.verb_module(verb).add_arguments(parser)
        commands += _commands((verb,), main.VERBS[verb], parser, common)
    return Grammar(shared, tuple(commands))


def _commands(
    path: tuple[str, ...], text: str, parser: argparse.ArgumentParser, common: set[str]
) -> Iterator[Command]:
    within = _within(parser)
    options = tuple(o for o in _options(parser) if not common & {*o.flags})
    formats = main.formats_of(path[0])
    if formats != main.FORMATS[:2]:
        options += (Option(("--format",), "choice", "the form of what it prints", "", formats),)
    arguments = tuple(_arguments(parser))
    description = parser.description or text
    yield Command(path, text, description, options, arguments, tuple(within))
    for name, inner in within.items():
        yield from _commands((*path, name), _help_within(parser, name), inner, common)


def _within(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _help_within(parser: argparse.ArgumentParser, name: str) -> str:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                if choice.dest == name and choice.help:
                    return str(choice.help)
    return name


def _options(parser: argparse.ArgumentParser) -> Iterator[Option]:
    for action in parser._actions:
        if not action.option_strings or action.help == argparse.SUPPRESS:
            continue
        choices = tuple(map(str, action.choices or ()))
        yield Option(
            tuple(action.option_strings),
            "none" if action.nargs == 0 else _kind(action, choices),
            _help(action),
            "" if choices or action.nargs == 0 else _metavar(action),
            choices,
            action.required,
            isinstance(action, argparse._AppendAction),
        )


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Argument]:
    for action in parser._actions:
        if action.option_strings or isinstance(action, argparse._SubParsersAction):
            continue
        choices = tuple(map(str, action.choices or ()))
        kind = "window" if action.metavar == "ID" else _kind(action, choices)
        optional, many = action.nargs in ("?", "*"), action.nargs in ("*", "+")
        yield Argument(_metavar(action), kind, _help(action), choices, optional, many)


def _kind(action: argparse.Action, choices: tuple[str, ...]) -> Kind:
    if choices:
        return "choice"
    if action.metavar == "DIR":
        return "directory"
    return "file" if action.type is Path or action.metavar == "FILE" else "word"


def _metavar(action: argparse.Action) -> str:
    return str(action.metavar or action.dest.upper())


def _help(action: argparse.Action) -> str:
    return (action.help or "") % vars(action)
