"""`enforcer replay`, as a user runs it: on files, on standard input, on what is no capture."""

from __future__ import annotations

import gzip
import os
import pty
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from enforcer.cli.main import main
from enforcer.cli.replay_text import size_text
from tests.cli.cli_worlds import Place, Said, window_text
from tests.sources import captures as c
from tests.sources.reading import frames_of, read

REGISTERED, STRANGER, LIFELINE = "198.51.100.9", "192.0.2.99", "192.0.2.53"
SERVER, ELSEWHERE = "203.0.113.5", "192.0.2.200"


def udp(source: str, target: str = SERVER, dport: int = 51820) -> bytes:
    return c.ipv4(source, target, 17, c.ports(4000, dport))


FRAMES = [
    c.ethernet(udp(REGISTERED)),
    c.ethernet(udp(STRANGER)),
    c.ethernet(udp(STRANGER)),
    c.ethernet(udp(LIFELINE)),
    c.ethernet(udp(STRANGER, ELSEWHERE)),
    c.ethernet(udp(STRANGER, dport=53)),
    c.ethernet(c.ipv4(STRANGER, SERVER, 6, c.tcp(1, 443, c.SYN))),
    c.ethernet(c.ipv4(STRANGER, SERVER, 6, c.tcp(1, 443, c.ACK))),
    c.ethernet(c.ipv6("2001:db8:5::1", "2001:db8:10::1", 17, c.ports(1, 51820)), tags=[0x8100]),
    c.ethernet(b"\0", kind=0x0806),
]
IP_BYTES = 28


class Replayer:
    """A place, and captures in it whose packets are of now."""

    def __init__(self, place: Place) -> None:
        self.place, self.folder = place, place.folder

    def file(self, data: bytes, name: str = "x.pcap") -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def pcap(self, frames: list[bytes] = FRAMES, *, later_s: int = 0, link: int = 1) -> bytes:
        at = self.place.now.timestamp() + later_s
        return c.pcap(frames, link=link, at_s=[at] * len(frames))

    def run(self, data: bytes, *argv: str) -> Said:
        return self.place.run("replay", self.file(data), *argv)


@pytest.fixture
def replayer(place: Place) -> Replayer:
    return Replayer(place)


def rows(said: Said) -> set[tuple[str, str, str, int, int]]:
    return {
        (v["verdict"], v["category"], v["service"], v["family"], v["packets"])
        for v in said.json["verdicts"]
    }


GUARDED = {
    ("let_in", "software-house", "udp/51820", 4, 1),
    ("let_in", "lifeline", "udp/51820", 4, 1),
    ("let_in", "freelancer", "udp/51820", 6, 1),
    ("held_back", "unregistered", "udp/51820", 4, 2),
    ("held_back", "unregistered", "tcp/443", 4, 1),
}
MARKED = {
    ("marked", "software-house", "udp/51820", 4, 1),
    ("marked", "freelancer", "udp/51820", 6, 1),
}


def test_what_is_marked_let_in_and_held_back(replayer: Replayer) -> None:
    said = replayer.run(replayer.pcap(), "--format", "json")
    assert (said.code, said.err) == (0, "")
    assert rows(said) == GUARDED | MARKED
    answer = said.json
    assert answer["packets"] == len(FRAMES)
    assert answer["complete"] is True
    assert answer["judged"] == {"packets": 9, "bytes": 6 * 28 + 2 * 40 + 48}
    assert answer["held_back"] == {"packets": 3, "bytes": 2 * 28 + 40}
    assert answer["untouched"]["packets"] == 3
    assert answer["totals"]["let_in"]["packets"] == 3
    assert answer["totals"]["would_drop"] == {"packets": 0, "bytes": 0}
    assert answer["skipped"]["not_ip"] == {"ARP": 1}
    assert [w["id"] for w in answer["windows"]] == ["ddos"]


def test_each_packet_at_its_own_time_or_all_at_one(replayer: Replayer) -> None:
    past = replayer.pcap(later_s=-86400)
    said = replayer.run(past)
    assert said.code == 0
    assert re.search(r"window +none is on in that time; judge it", said.out)
    assert "held back: 0 of 9 IP packets (0.0%), 0 B" in said.out
    now = f"{replayer.place.now:%Y-%m-%dT%H:%M:%SZ}"
    said = replayer.run(past, "--at", now, "--format", "json")
    assert rows(said) == GUARDED | MARKED
    assert said.json["at"] == now


def test_a_staged_window_holds_nothing_back(replayer: Replayer) -> None:
    now, hour = replayer.place.now, timedelta(hours=1)
    staged = window_text("ddos", now - hour, now + hour, more="  stage: true\n")
    replayer.place.write(windows=staged)
    out = str(replayer.folder / "held.pcap")
    said = replayer.run(replayer.pcap(), "--format", "json", "--write", out)
    assert said.json["held_back"]["packets"] == 0
    assert said.json["totals"]["would_drop"]["packets"] == 3
    assert said.json["written"] == {"file": out, "packets": 3}
    text = replayer.run(replayer.pcap()).out
    assert "guard of window ddos: would be held back, but is staged" in text


def test_reserve_counts_what_leaves_by_the_link(replayer: Replayer) -> None:
    now, hour = replayer.place.now, timedelta(hours=1)
    text = window_text("r", now - hour, now + hour)
    measures = "reserve: {link: wan, share: 40%}"
    replayer.place.write(windows=text[: text.index("    guard")] + f"    {measures}\n")
    frames = [
        c.ethernet(udp(REGISTERED)),
        c.ethernet(udp(SERVER, REGISTERED), to=c.THEIR_MAC, of=c.OUR_MAC),
    ]

    def reserved(*argv: str, data: bytes | None = None) -> int:
        said = replayer.run(data or replayer.pcap(frames), "--format", "json", *argv)
        return int(said.json["totals"]["reserved"]["packets"])

    assert reserved() == 2
    assert reserved("--mac", "02:00:00:00:00:01") == 1
    assert reserved("--direction", "out") == 2
    assert reserved("--direction", "in") == 0
    assert reserved("--device", "wan0") == 2
    assert reserved("--device", "lan0") == 0
    cooked = [c.cooked(udp(REGISTERED), 0), c.cooked(udp(REGISTERED), 4)]
    assert reserved(data=replayer.pcap(cooked, link=c.COOKED)) == 1


def test_guard_knows_its_side(replayer: Replayer) -> None:
    def held(*argv: str, data: bytes | None = None) -> int:
        said = replayer.run(data or replayer.pcap(), "--format", "json", *argv)
        return int(said.json["held_back"]["packets"])

    assert held("--device", "wan0", "--direction", "in") == 3
    assert held("--direction", "out") == 0
    assert held("--device", "lan0") == 0
    assert held("--mac", "02-00-00-00-00-01") == 3
    assert held("--mac", "02:00:00:00:00:02") == 0
    named = c.section() + c.interface(name="wan0") + c.interface(name="lan0")
    ticks = int(replayer.place.now.timestamp()) * 10**6
    frame = c.ethernet(udp(STRANGER))
    named += c.enhanced(frame, ticks=ticks) + c.enhanced(frame, ticks=ticks, number=1)
    assert held(data=named) == 2, "lan0 stands nowhere in the configuration: supposed an uplink"
    assert held("--only", "wan0", data=named) == 1
    said = replayer.run(named, "--only", "wan0")
    assert re.search(r"device +wan0: an uplink and link wan\n", said.out)
    assert "1 of other interfaces than --only" in said.out
    said = replayer.run(named, "--only", "eth7")
    assert said.code == 1
    assert "no packet of the interface of --only; its interfaces are lan0, wan0" in said.err


def test_marks_of_a_forwarded_packet_are_not_counted_twice(replayer: Replayer) -> None:
    """On all interfaces at once it is there as it came in and as it went out."""
    cooked = [c.cooked_2(udp(REGISTERED), 0), c.cooked_2(udp(REGISTERED), 4)]
    said = replayer.run(replayer.pcap(cooked, link=c.COOKED_2), "--format", "json")
    assert said.json["totals"]["marked"]["packets"] == 1
    assert said.json["direction"] == {"in": 1, "out": 1, "unknown": 0}


def test_what_is_held_back_is_saved_byte_by_byte(replayer: Replayer) -> None:
    out = replayer.folder / "held.pcap"
    at = replayer.place.now.timestamp()
    for nanoseconds in (False, True):
        data = c.pcap(FRAMES, nanoseconds=nanoseconds, order=">", snap=60, at_s=[at + 0.25] * 10)
        assert replayer.run(data, "--write", str(out)).code == 0
        found, error = read(out.read_bytes())
        assert error is None
        assert frames_of(found) == [FRAMES[i][:60] for i in (1, 2, 6)]
        assert {w for r in found for w in r.when_ns.tolist()} == {int(at * 10**9) + 250_000_000}
        assert {r.nanoseconds for r in found} == {nanoseconds}
    said = replayer.run(out.read_bytes(), "--format", "json")
    assert said.json["held_back"]["packets"] == said.json["packets"] == 3
    assert list(replayer.folder.glob("*.part*")) == []


def test_nothing_held_back_is_an_empty_capture(replayer: Replayer) -> None:
    out = replayer.folder / "held.pcap"
    assert replayer.run(replayer.pcap(FRAMES[:1]), "--write", str(out)).code == 0
    assert read(out.read_bytes()) == ([], None)


def test_what_write_cannot_do(replayer: Replayer) -> None:
    said = replayer.run(replayer.pcap(), "--write", str(replayer.folder / "x.pcap"))
    assert said.code == 64
    assert "is the capture itself" in said.err
    said = replayer.run(replayer.pcap(), "--write", str(replayer.folder / "no" / "x"))
    assert said.code == 1
    assert re.search(r"enforcer: \S+/no/x\S*: No such file or directory", said.err)
    ticks = int(replayer.place.now.timestamp()) * 10**6
    mixed = c.section() + c.interface() + c.interface(link=c.RAW)
    mixed += c.enhanced(FRAMES[1], ticks=ticks) + c.enhanced(udp(STRANGER), ticks=ticks, number=1)
    out = replayer.folder / "held.pcap"
    said = replayer.run(mixed, "--write", str(out))
    assert said.code == 1
    assert "has packets of link types 1 and 101, and a pcap holds one" in said.err
    assert not out.exists()
    assert list(replayer.folder.glob("*.part*")) == []


def test_a_capture_cut_off_is_judged_as_far_as_it_goes(replayer: Replayer) -> None:
    whole = replayer.pcap(FRAMES[:2])
    said = replayer.run(whole[:-3], "--format", "json")
    assert said.code == 1
    assert said.json["complete"] is False
    assert said.json["packets"] == 1
    assert re.search(
        r"x\.pcap: ends inside the packet at byte 82; the capture was cut off; "
        r"the 1 packet before it is judged\n",
        said.err,
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty: not even the head of a capture"),
        (b"GET / HTTP/1.1\r\n", "is no pcap or pcapng capture; make one with: tcpdump -i DEVICE"),
        (c.pcap(FRAMES, link=105), "link type 105 (Wi-Fi) is not read; capture on an Ethernet"),
        (c.pcap(FRAMES, link=999), "link type 999 is not read"),
    ],
)
def test_what_cannot_be_read_is_said(replayer: Replayer, data: bytes, said: str) -> None:
    found = replayer.run(data)
    assert (found.code, found.out) == (1, "")
    assert said in found.err
    assert len(found.err.splitlines()) == 1


def test_files_that_cannot_be_opened(replayer: Replayer) -> None:
    for name, fact in (("none", "No such file or directory"), ("", "Is a directory")):
        said = replayer.place.run("replay", str(replayer.folder / name))
        assert (said.code, said.out) == (1, "")
        assert fact in said.err


def test_nothing_to_judge_is_an_answer(replayer: Replayer) -> None:
    said = replayer.run(c.pcap([]))
    assert (said.code, said.err) == (0, "")
    assert "0 packets" in said.out
    said = replayer.run(replayer.pcap([FRAMES[-1]] * 3))
    assert said.code == 0
    assert re.search(r"not IP +3: 3 ARP\n", said.out)
    assert "no IP packet is left to judge" in said.out


def test_packets_without_a_time_need_an_instant(replayer: Replayer) -> None:
    data = c.section() + c.interface() + c.simple(FRAMES[1])
    said = replayer.run(data)
    assert "1 without a time; judge them with --at T" in said.out
    now = f"{replayer.place.now:%Y-%m-%dT%H:%M:%SZ}"
    said = replayer.run(data, "--at", now, "--format", "json")
    assert said.json["held_back"]["packets"] == 1


def test_headers_cut_off_are_told(replayer: Replayer) -> None:
    at = replayer.place.now.timestamp()
    said = replayer.run(c.pcap(FRAMES, snap=36, at_s=[at] * 10))
    assert "before the ports" in said.out
    assert said.code == 0


def test_the_text_fits_60_columns(replayer: Replayer) -> None:
    many = [c.ethernet(udp(STRANGER, dport=port)) for port in range(30)]
    said = replayer.run(replayer.pcap(FRAMES + many), "--mac", "02:00:00:00:00:01")
    name, *lines = said.out.splitlines()
    assert name.endswith("x.pcap: 40 packets")
    assert [line for line in lines if len(line) > 60] == []


def test_many_services_are_summed_up(replayer: Replayer) -> None:
    services = " ".join(f"udp/{port}" for port in range(1000, 1014))
    replayer.place.write(
        registry=f"id,prefix,category,valid_from,valid_until,services\n"
        f"R-1,{REGISTERED}/32,freelancer,,,{services}\n"
    )
    frames = [c.ethernet(udp(REGISTERED, ELSEWHERE, port)) for port in range(1000, 1014)]
    said = replayer.run(replayer.pcap(frames))
    assert "  4 more rows" in said.out
    assert re.search(r"  in all +14  392 B\n", said.out)


def test_usage(replayer: Replayer) -> None:
    for argv in (
        ("--mac", "02:00"),
        ("--direction", "in", "--mac", "02:00:00:00:00:01"),
        ("--at", "soon"),
    ):
        assert replayer.run(replayer.pcap(), *argv).code == 64


def test_from_standard_input_plain_and_packed(replayer: Replayer) -> None:
    for data in (replayer.pcap(), gzip.compress(replayer.pcap())):
        done = _process(replayer, "-", stdin=data)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"standard input: 10 packets" in done.stdout
        assert b"held back: 3 of 9" in done.stdout


def _process(replayer: Replayer, *argv: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "enforcer", "--config", str(replayer.place.config)]
    return subprocess.run(
        [*command, "replay", *argv],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "ENFORCER_STATE_DIR": str(replayer.place.state_dir)},
    )


def test_standard_input_that_is_a_terminal_is_wrong_usage(
    replayer: Replayer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    controller, terminal = pty.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(SystemExit, match="64"):
            main(["--config", str(replayer.place.config), "replay", "-"])
    os.close(controller)
    assert "standard input is a terminal; pipe a capture into it" in capsys.readouterr().err


def test_sizes_in_words() -> None:
    assert [size_text(n) for n in (0, 999, 1000, 999_949, 999_950, 10**15)] == [
        "0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "1000.0 TB"
    ]  # fmt: skip


def test_an_interrupt_tells_what_was_judged(
    replayer: Replayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from enforcer.sources.capture import Chunks

    more, calls = Chunks.more, [0]

    def interrupted(self: Chunks, size: int = 1 << 22) -> bytes:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return more(self, size)

    monkeypatch.setattr(Chunks, "more", interrupted)
    said = replayer.run(replayer.pcap())
    assert said.code == 130
    assert "held back: 3 of 9" in said.out
    assert "interrupted; the rest is not read; the 10 packets before it are judged" in said.err


def test_a_path_is_no_promise_of_a_size(tmp_path: Path, replayer: Replayer) -> None:
    """A named pipe, as shells make for `replay <(…)`."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    feeder = subprocess.Popen(["cp", replayer.file(replayer.pcap()), str(fifo)])
    try:
        said = replayer.place.run("replay", str(fifo), "--format", "json")
    finally:
        feeder.wait(timeout=20)
    assert said.json["packets"] == 10
