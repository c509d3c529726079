"""The option that rewrites goldens, and the fixture that holds text against one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# On a machine that others keep busy an example may take any time: no test asserts a timing.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# pytest-xdist tells its workers a width, and commands that tests run would draw for it.
os.environ.pop("COLUMNS", None)

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-goldens",
        action="store_true",
        help="rewrite tests/golden/; a person reviews the difference before it is committed",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden("mark_only.nft", text)`: the text is that of the file, or becomes it on demand."""
    update = bool(request.config.getoption("--update-goldens"))

    def same(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path}: no such golden; write it with --update-goldens"
        assert text == path.read_text(encoding="utf-8")

    return same
