"""The lines of docs/operator-guide.md, "Try it without a gateway", pasted into a shell as they are;
only the names are of this run, so that nothing of anybody else's is met.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "operator-guide.md"

pytestmark = pytest.mark.kernel


def lines(name: str) -> list[str]:
    section = GUIDE.read_text().partition("## Try it without a gateway\n")[2]
    block = section.split("```")[1].strip()
    return [re.sub(r"\btry\b", name, line.removeprefix("# ")) for line in block.splitlines()]


def test_the_try_of_the_guide_runs_as_it_is_written() -> None:
    name = f"try{os.getpid()}"
    # What an interactive shell has on, and a script has not.
    pasted = ["set -m; shopt -s expand_aliases", *lines(name)]
    try:
        shell = subprocess.run(
            ["bash"],
            input="\n".join(pasted) + "\n",
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if not k.startswith("ENFORCER_")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True)
    finally:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    said = f"{shell.stdout}\n{shell.stderr}"
    assert re.search(r"^declared declared-\S+: armed, ", shell.stdout, re.MULTILINE), said
    assert "armed now: declared-" in shell.stdout, said
    assert "no daemon" not in said
    assert "table inet enforcer" in shell.stdout, said
    assert name not in listed.stdout
    assert not Path("/run", name).exists()
