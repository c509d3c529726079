"""Namespaces for the kernel's tests: made for one test, deleted whatever happens in it."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.daemon_process import Gateway
from tests.kernel.slowness import SLOWNESS, patient
from tests.kernel.worlds import FakeWorld, RealWorld, World

_numbers = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On an emulated processor what makes no sense there is skipped, with the reason given."""
    for item in items:
        marker = item.get_closest_marker("not_emulated")
        if marker and SLOWNESS > 1:
            item.add_marker(pytest.mark.skip(reason=f"emulated: {marker.args[0]}"))


@contextmanager
def made_namespace() -> Iterator[str]:
    """The name of a fresh network namespace with the links `wan0` and `lan0` in it."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    name = f"enforcer-test-{os.getpid()}-{next(_numbers)}"
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        for device in ("wan0", "lan0"):
            peer = f"{device}-peer"
            _ip("-n", name, "link", "add", device, "type", "veth", "peer", "name", peer)
            for end in (device, peer):
                _ip("-n", name, "link", "set", end, "up")
        yield name
    finally:
        _ip("netns", "delete", name)


@pytest.fixture
def namespace() -> Iterator[str]:
    with made_namespace() as name:
        yield name


@pytest.fixture
def real_world(namespace: str) -> Iterator[RealWorld]:
    world = RealWorld(namespace)
    try:
        yield world
    finally:
        world.kernel.close()


@pytest.fixture
def gateway(namespace: str, tmp_path: Path) -> Iterator[Gateway]:
    """Files and a namespace for a daemon; whatever was started is ended."""
    made = Gateway(namespace, tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kernel)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        return FakeWorld()
    made: RealWorld = request.getfixturevalue("real_world")
    return made


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=patient(20))
