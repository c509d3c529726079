"""`enforcer schema`: the JSON schema of enforcer.yaml, or of a file of windows, for editors."""

from __future__ import annotations

import argparse

from enforcer.cli.terminal import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "document",
        nargs="?",
        choices=("enforcer", "windows"),
        default="enforcer",
        help="which document (default enforcer)",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.policy.documents import json_schema

    print_json(json_schema(args.document))
    return 0
