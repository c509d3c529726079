"""The command line as values: all of it, and nothing that a person cannot read."""

from __future__ import annotations

import argparse

import pytest

from enforcer.cli import main
from enforcer.cli.grammar import Argument, Command, Grammar, Option, _commands, read_grammar


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return read_grammar()


def test_every_verb_is_there_and_says_what_each_option_means(grammar: Grammar) -> None:
    assert [command.name for command in grammar.verbs] == list(main.VERBS)
    silent = [
        f"{command.name} {option.flags[-1]}"
        for command in grammar.commands
        for option in command.options
        if not option.help
    ]
    assert silent == []
    assert [o.flags for o in grammar.options] == [
        ("-h", "--help"),
        ("--version",),
        ("--config",),
        ("--format",),
        ("--color",),
    ]


def test_a_verb_whole(grammar: Grammar) -> None:
    close = next(command for command in grammar.commands if command.name == "close")
    assert close == Command(
        ("close",),
        "end an armed window early, or cancel its next occurrence",
        "End an armed window early, or cancel its next occurrence.",
        (
            Option(
                ("--at",),
                "word",
                "the first occurrence from then on (default: the one that is on, also if it is "
                "closed already, else the next)",
                "T",
            ),
        ),
        (Argument("ID", "window", "the window"),),
    )


def test_kinds_of_values(grammar: Grammar) -> None:
    found = {
        f"{command.name} {option.flags[-1]}": option
        for command in grammar.commands
        for option in command.options
    }
    assert found["declare --measure"].repeatable
    assert found["declare --measure"].required
    assert found["declare --measure"].help.endswith("reserve=LINK:40%; may be repeated")
    assert found["declare --stage"].kind == "none"
    assert found["declare --lease"].choices == ("gateway", "until-end")
    assert found["declare --id"].kind == "word", "a new id, not one that there is"
    assert found["replay --write"].kind == "file"
    assert found["windows --format"].choices == ("text", "json", "ics")
    (directory,) = next(c for c in grammar.commands if c.name == "init").arguments
    assert (directory.kind, directory.optional) == ("directory", True)
    verify, files = next(c for c in grammar.commands if c.name == "audit").arguments[:2]
    assert ("verify" in verify.choices, files.kind, files.many) == (True, "file", True)


def test_words_behind_a_verb_are_commands_of_their_own() -> None:
    parser = argparse.ArgumentParser(description="Keeps registries.")
    parser.add_argument("--format")
    within = parser.add_subparsers()
    inner = within.add_parser("lint", help="find mistakes", description="Finds mistakes.")
    inner.add_argument("--strict", action="store_true", help="all of them")
    inner.add_argument("--secret", help=argparse.SUPPRESS)
    found = list(_commands(("plan",), "registries", parser, {"--format", "-h", "--help"}))
    assert found == [
        Command(("plan",), "registries", "Keeps registries.", (), (), ("lint",)),
        Command(
            ("plan", "lint"),
            "find mistakes",
            "Finds mistakes.",
            (Option(("--strict",), "none", "all of them"),),
            (),
        ),
    ]
