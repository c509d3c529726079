"""One authority for all tests of this folder: making keys takes a while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.feeds.feed_world import Authority, Registrar, Signer, registrar


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def server_files(authority: Authority) -> tuple[Path, Path]:
    return authority.make("server")


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()


@pytest.fixture
def server(server_files: tuple[Path, Path]) -> Iterator[Registrar]:
    with registrar(*server_files) as made:
        yield made
