"""What is exported for BIRD and FRR is read by Debian's bird2 and frr: their parsers, no service.

BIRD computes constants while it parses, so its own prefix sets answer here whether an address is in
them: a division by nothing is a syntax error.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from enforcer.lab.registry import CATEGORIES, generate
from enforcer.policy.registry import Registry, parse_registry
from enforcer.routers.selection import select
from tests.kernel.slowness import patient
from tests.routers.router_worlds import DAY, ORDER, RENDERS, registry

pytestmark = pytest.mark.kernel
# What BIRD asks of any configuration.
MAIN = 'router id 192.0.2.1;\nprotocol device {}\ninclude "export.conf";\n'
ASK = """\
function one(prefix p) { if p ~ SET then return 1; return 0; }
define ANSWER = 1 / one(PREFIX);
"""


def written(folder: Path, router: str, made: Registry) -> Path:
    path = folder / "export.conf"
    path.write_text("".join(f"{line}\n" for line in RENDERS[router](select(made, DAY), ORDER)))
    return path


def bird(folder: Path, more: str = "") -> subprocess.CompletedProcess[str]:
    main = folder / "bird.conf"
    main.write_text(MAIN + more)
    command = ["bird", "-p", "-c", str(main)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=patient(120)
    )


def vtysh(path: Path) -> subprocess.CompletedProcess[str]:
    command = ["vtysh", "-C", "-f", str(path)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=patient(120)
    )


REGISTRIES = {
    "every case": registry(),
    "nothing": registry("R-1,198.51.100.0/24,house,,2020-01-01,\n"),
    "only IPv6": registry("R-1,2001:db8::/48,house,,,\n"),
    "20,000": parse_registry("r", generate(20_000, 1), CATEGORIES),
}


@pytest.mark.parametrize("made", REGISTRIES.values(), ids=REGISTRIES)
def test_bird_reads_it(tmp_path: Path, made: Registry) -> None:
    written(tmp_path, "bird", made)
    use = "filter f { if ENFORCER_registered() then accept; reject; }\n"
    read = bird(tmp_path, use)
    assert (read.returncode, read.stdout, read.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("prefix", "inside"),
    [
        ("198.51.100.0/24", True),
        ("198.51.100.9/32", True),
        ("198.51.101.0/24", False),
        ("198.51.100.0/23", False),
        ("203.0.113.7/32", True),
        ("203.0.113.6/32", False),
        # Registered for some services only.
        ("192.0.2.1/32", False),
        ("2001:db8:1:2::/64", True),
        ("2001:db8:3::/64", False),
    ],
)
def test_birds_own_sets_hold_just_the_registered(tmp_path: Path, prefix: str, inside: bool) -> None:
    written(tmp_path, "bird", registry())
    family = 6 if ":" in prefix else 4
    read = bird(tmp_path, ASK.replace("SET", f"ENFORCER_V{family}").replace("PREFIX", prefix))
    assert (read.returncode == 0) == inside, read.stderr
    assert inside or "divide by 0" in read.stderr


@pytest.mark.parametrize("made", REGISTRIES.values(), ids=REGISTRIES)
def test_frr_reads_it(tmp_path: Path, made: Registry) -> None:
    read = vtysh(written(tmp_path, "frr", made))
    assert (read.returncode, read.stdout, read.stderr) == (0, "", "")


def test_the_parsers_say_so_when_something_is_wrong(tmp_path: Path) -> None:
    path = written(tmp_path, "frr", registry())
    path.write_text(path.read_text() + "ip prefix-list X seq 5 permit 198.51.100.0/33\n")
    assert vtysh(path).returncode != 0
    written(tmp_path, "bird", registry())
    assert bird(tmp_path, "define X = [ 198.51.100.0/33 ];\n").returncode != 0
