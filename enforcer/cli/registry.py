"""`enforcer registry import|diff|lint|export`: registry files of other forms, checked and compared.

It needs no daemon. With a configuration its categories are the ones that rows may have.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from enforcer.cli.main import subverbs

ACTS = {
    "import": "read a registry file of any form and write the CSV that the daemon reads",
    "diff": "show what changed from one registry file to another",
    "lint": "find what can hardly be meant",
    "export": "write registrations in another form",
}
_FORMS = ("csv", "plain", "json", "xlsx", "delegated")
_WRITTEN = ("csv", "json", "plain", "xlsx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    acts = subverbs(parser, ACTS)
    act = acts["import"]
    act.add_argument("file", type=Path, metavar="FILE", help="what the registrar sent")
    _reading(act)
    act.add_argument("--sheet", metavar="NAME", help="the sheet of a spreadsheet that is meant")
    act.add_argument(
        "--country", action="append", metavar="CC", help="delegated: take this country's records"
    )
    act.add_argument(
        "--opaque-id", action="append", metavar="ID", help="delegated: take this holder's records"
    )
    act.add_argument(
        "--status",
        action="append",
        choices=("allocated", "assigned", "available", "reserved"),
        help="delegated: take records of this status (default: allocated and assigned)",
    )
    _writing(act)
    act = acts["diff"]
    act.add_argument("old", type=Path, metavar="OLD")
    act.add_argument("new", type=Path, metavar="NEW")
    _reading(act)
    _most(act)
    act = acts["lint"]
    _files(act)
    _reading(act)
    _most(act)
    act.add_argument(
        "--lab", action="store_true", help="private and documentation addresses are meant"
    )
    act.add_argument(
        "--vrp",
        type=Path,
        metavar="FILE",
        help="RPKI payloads, JSON of routinator or rpki-client",
    )
    act.add_argument(
        "--origins", type=Path, metavar="FILE", help="id,asn lines: who may announce whose prefixes"
    )
    act = acts["export"]
    _files(act)
    act.add_argument("--to", choices=_WRITTEN, required=True, help="the form to write")
    _reading(act)
    _writing(act)


def _files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="registry files (default: those of the configuration)",
    )


def _reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from-format", choices=_FORMS, help="the form of the files (default: guessed, and said)"
    )
    parser.add_argument("--category", metavar="NAME", help="the category of rows that name none")
    parser.add_argument(
        "--id-prefix",
        default="",
        metavar="TEXT",
        help="begins the ids of rows without one; their prefix follows",
    )


def _writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="where to write, - for standard out",
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def _most(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--most", type=_count, default=10, metavar="N", help="lines told of each kind (default 10)"
    )


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1_000_000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1,000,000")


def run(args: argparse.Namespace) -> int:
    return int(importlib.import_module(f"enforcer.cli.registry_{args.act}").run(args))
