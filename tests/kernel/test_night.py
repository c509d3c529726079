"""A whole night at one gateway, as docs/operator-guide.md tells it: declare, watch, explain,
extend, close, report. The real daemon, real packets, the commands as they are typed.

With ENFORCER_PICTURES set to a folder, the terminal's picture is put there (`make pictures`); with
ENFORCER_TRANSCRIPT set to a file, what was typed and answered, as the guide has it.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from enforcer.clock import SystemClock
from tests.cli.cli_worlds import MAIN
from tests.cli.on_terminal import OnTerminal
from tests.kernel.browser import chromium
from tests.kernel.daemon_process import Gateway, eventually
from tests.kernel.test_lookup_packets import ESP, TCP, UDP, Packet, Wire
from tests.kernel.worlds import RealWorld

pytestmark = pytest.mark.kernel

REGISTRY = "id,prefix,category,valid_from,valid_until,services\n" + "".join(
    f"S-{n},100.64.{n}.0/24,software-house,,,\nF-{n},100.96.{n}.7/32,freelancer,,,udp/51820\n"
    for n in range(64)
)
SOFTWARE_HOUSE, FREELANCER, ATTACKER = 0x64400009, 0x64600007, 0xC0000200
ESTATE, CUSTOMER = 0xCB007105, 0x0A000005
COLUMNS, ROWS = 96, 26
_NUMBER = re.compile(r"of the last minute: ([\d,]+)")


def traffic(draw: random.Random) -> list[Packet]:
    """A moment of the attack: a flood on the concentrators, tunnels among it, some transit."""
    found = []
    for _ in range(120):
        found.append(Packet(4, ATTACKER + draw.randrange(256), ESTATE, UDP, 9, 51820))
    for n in range(40):
        home = SOFTWARE_HOUSE + (draw.randrange(64) << 8)
        kind = draw.choice(((UDP, 51820), (UDP, 4500), (TCP, 443), (ESP, 0)))
        found.append(Packet(4, home, ESTATE if n % 2 else CUSTOMER, kind[0], 4500, kind[1]))
    for n in range(20):
        home = FREELANCER + (draw.randrange(64) << 8)
        found.append(Packet(4, home, ESTATE if n % 2 else CUSTOMER, UDP, 51820, 51820))
    for _ in range(20):
        found.append(Packet(4, ATTACKER + draw.randrange(256), CUSTOMER, TCP, 50000, 80))
    draw.shuffle(found)
    return found


@contextmanager
def flowing(gateway: Gateway) -> Iterator[None]:
    """Traffic at wan0 inside the block, some thousand packets a second."""
    wire, stop, draw = Wire(RealWorld(gateway.namespace)), threading.Event(), random.Random(3)

    def flow() -> None:
        while not stop.wait(0.05):
            wire.send(traffic(draw))

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        wire.socket.close()


class Night:
    """Commands as they are typed, and what they said, for the guide."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.transcript: list[str] = []

    def type(self, line: str, *, code: int = 0) -> str:
        argv = re.findall(r'"[^"]*"|\S+', line)
        done = self.gateway.run(*(word.strip('"') for word in argv))
        assert done.returncode == code, (line, done.stdout, done.stderr)
        said = done.stdout + done.stderr
        self.transcript.append(f"# enforcer {line}\n{said}")
        return said


@pytest.mark.not_emulated("a browser takes minutes to begin")
def test_a_whole_night(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write(main=MAIN.replace("tcp/443]", "tcp/443, udp/4500, esp]"), registry=REGISTRY,
                  windows="")  # fmt: skip
    for name in ("all", "wan0"):
        gateway.inside("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0")
    gateway.inside("ip", "addr", "add", "203.0.113.1/28", "dev", "wan0")
    gateway.inside("ip", "route", "add", "10.0.0.0/8", "dev", "lan0")
    gateway.inside("sysctl", "-qw", "net.ipv4.ip_forward=1")
    gateway.start()
    night = Night(gateway)

    said = night.type(
        "declare --for 2h --measure guard=concentrators --measure mark=0x51,cs5 "
        '--reason "DDoS on the concentrators" --reference NOC-2311 '
        "--declared-by noc@isp.example --id ddos"
    )
    assert "armed now: ddos" in said
    eventually(gateway.armed, "armed")
    with flowing(gateway):
        _watch(gateway, tmp_path)
        told = [json.loads(line) for line in night_lines(gateway)]
        said = night.type("watch --interval 2 --count 2")
    assert re.search(r"ddos: guard held back [\d,.]+/s .*guard let in [\d,.]+/s ", said)
    assert told[-1]["samples"]["mismatches"] == 0
    rates = {(r["verdict"], r["category"]): r["packets_per_second"] for r in told[-1]["rates"]}
    assert rates["held_back", "unregistered"] > rates["let_in", "software-house"] > 0

    said = night.type("explain 100.96.5.7 --to 203.0.113.5 --service udp/51820")
    assert "let in" in said
    said = night.type("explain 192.0.2.9 --to 203.0.113.5 --service udp/51820", code=3)
    assert "held back" in said

    # The attack goes on: another two hours.
    file = gateway.folder / "windows.d" / "ddos.yaml"
    before = file.read_text()
    (line,) = (one for one in before.splitlines() if one.strip().startswith(("end:", "duration:")))
    key = line.partition(":")[0]
    end = SystemClock().now().replace(microsecond=0) + timedelta(hours=4)
    longer = f'{key}: "{end:%Y-%m-%dT%H:%M:%SZ}"' if "end" in key else f'{key}: "4h"'
    file.write_text(before.replace(line, longer))
    night.transcript.append(f"# diff windows.d/ddos.yaml\n-{line}\n+{longer}\n")
    night.type("check")
    night.type("reload")
    assert gateway.armed()
    said = night.type("status")
    assert "3h 59m more" in said

    assert "armed now: nothing" in night.type("close ddos")
    day = f"{SystemClock().now():%Y-%m-%d}"
    tomorrow = f"{SystemClock().now() + timedelta(days=1):%Y-%m-%d}"
    said = night.type(f"report --from {day} --to {tomorrow}")
    assert "DDoS on the concentrators" in said
    assert "NOC-2311" in said
    night.type("audit verify")
    whole = "\n".join(night.transcript)
    # Whose addresses met the gateway is told to nobody but to who asked for one.
    assert not re.search(r"192\.0\.2\.\d", whole.replace("192.0.2.9", "").replace("192.0.2.53", ""))
    if "ENFORCER_TRANSCRIPT" in os.environ:
        Path(os.environ["ENFORCER_TRANSCRIPT"]).write_text(whole)


def night_lines(gateway: Gateway) -> list[str]:
    done = gateway.run("watch", "--count", "3", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def _watch(gateway: Gateway, folder: Path) -> None:
    """On a terminal, until there is something of everything on it; and its picture."""
    there = OnTerminal(gateway.run_dir, "watch", columns=COLUMNS, rows=ROWS)
    try:
        there.until("held back", "let in", "marked", "samples")
        there.until("udp/51820", "software-house", "freelancer", "unregistered", "esp", "tcp/443")
        # A minute's worth is more than a few.
        while int(_NUMBER.findall(there.screen.text)[0].replace(",", "")) < 120:
            there.read()
        assert " 0 differ" in there.screen.text
        assert (there.screen.scrolled, there.screen.overflowed) == (False, False)
        for address in ("100.64.", "100.96.", "192.0.2.", "203.0.113."):
            assert address not in there.screen.text
        page = folder / "terminal.html"
        page.write_text(there.screen.as_html())
        text = there.screen.text
        there.type(b"q")
        assert there.ended() == 0
    finally:
        there.close()
    with chromium(folder) as browser:
        browser.look(860, dark=True, high=100)
        browser.open(page.as_uri())
        assert browser.complaints() == []
        assert text.splitlines()[1] in browser.run("document.body.innerText")
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        if folder_of_pictures := os.environ.get("ENFORCER_PICTURES"):
            (Path(folder_of_pictures) / "watch.png").write_bytes(browser.picture())
