"""Everything we print as nft syntax is nft syntax: Debian's nft loads each golden.

Needs root; makes one network namespace for each golden and deletes it again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import GOLDEN
from tests.kernel.slowness import patient

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("nft") is None, reason="needs Debian's nft"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]
DEVICES = ("wan0", "wan1", "lan0")
# What nft prints in other words than we do, and a bit that only the kernel knows.
TIMEOUT_S = patient(20)


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"enforcer-golden-{os.getpid()}"
    _run("ip", "netns", "add", name)
    try:
        for device in DEVICES:
            peer = f"{device}p"
            _run("ip", "-n", name, "link", "add", device, "type", "veth", "peer", "name", peer)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], timeout=TIMEOUT_S, check=False)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.nft")), ids=lambda path: path.stem)
def test_nft_loads_what_we_print_and_lists_it_again(path: object, namespace: str) -> None:
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    _run("ip", "netns", "exec", namespace, "nft", "-f", "-", text=text)
    listed = _run("ip", "netns", "exec", namespace, "nft", "list", "table", "inet", "enforcer")
    for keyword in ("chain", "set", "map", "counter"):
        assert _names(listed, keyword) == _names(text, keyword)


def _names(text: str, keyword: str) -> set[str]:
    lines = (line.split() for line in text.splitlines() if line.startswith(f"\t{keyword} "))
    return {words[1] for words in lines}
