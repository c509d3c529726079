"""`enforcer export`: what it writes, and what it will not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.cli.cli_worlds import Place, window_text

GUARD = "guard is not exported"


def test_prefix_lists_of_the_configuration(place: Place) -> None:
    said = place.run("export", "frr", "--name", "VPN", "--at", "2026-07-01T00:00:00Z")
    assert (said.code, said.err) == (0, "")
    assert "! gateway edge-1\n" in said.out
    assert said.out.splitlines()[-2:] == [
        "ip prefix-list VPN-V4 seq 5 permit 198.51.100.0/24 le 32",
        "ipv6 prefix-list VPN-V6 seq 5 permit 2001:db8:5::/48 le 128",
    ]
    assert f"! {GUARD}, nor reserve" in said.out
    assert place.run("export", "frr", "--at", "2026-07-01", "--name", "VPN").out == said.out


@pytest.mark.parametrize("measure", ["guard", "reserve"])
def test_guard_and_reserve_are_refused(place: Place, measure: str) -> None:
    said = place.run("export", "junos", "--measure", measure)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"enforcer export: {measure} is not exported: ")


def test_the_dscp_of_a_window(place: Place) -> None:
    start = place.now + timedelta(hours=1)
    window = window_text("ahead", start, start + timedelta(hours=2))
    place.write(windows=window.replace("fwmark: 0x51", "dscp: cs5"))
    said = place.run("export", "eos", "--window", "ahead")
    assert said.code == 0
    assert "      set dscp 40\n" in said.out
    opens, ends = (f"{t:%Y-%m-%d %H:%M:%S}Z" for t in (start, start + timedelta(hours=2)))
    assert f"! window ahead is on from {opens} to {ends}\n" in said.out
    assert "! window ahead also guards: that stays on the gateway\n" in said.out
    said = place.run("export", "eos", "--window", "ahaed")
    assert (said.code, said.out) == (64, "")
    assert "there is no window 'ahaed'; did you mean \"ahead\"?" in said.err


def test_a_window_without_a_dscp_is_told_so(place: Place) -> None:
    said = place.run("export", "eos", "--window", "ddos")
    assert (said.code, said.out) == (64, "")
    assert "window ddos sets no DSCP; give it mark: {dscp: …}, or --dscp" in said.err


def test_a_file_is_written_once_and_over_it_only_by_force(place: Place) -> None:
    path = place.folder / "registered.conf"
    argv = ("export", "bird", "--output", str(path))
    said = place.run(*argv)
    assert said.code == 0
    assert said.out.startswith(f"{path}: 2 IPv4 and 1 IPv6 prefixes for bird, valid to ") or (
        f"{path}: 1 IPv4 and 1 IPv6 prefixes for bird" in said.out
    )
    assert said.out.endswith("; guard is not exported\n")
    assert "function ENFORCER_registered()" in path.read_text()
    again = place.run(*argv)
    assert (again.code, again.err) == (
        1,
        f"enforcer: {path}: is there already; write to another file, or over it with --force\n",
    )
    assert place.run(*argv, "--force").code == 0


def test_json_has_the_same_lines(place: Place) -> None:
    text = place.run("export", "junos", "--dscp", "ef", "--at", "2026-07-01").out
    found = place.run("export", "junos", "--dscp", "ef", "--at", "2026-07-01", "--format", "json")
    assert "".join(f"{line}\n" for line in found.json["lines"]) == text
    assert {k: found.json[k] for k in ("router", "day", "dscp", "output")} == {
        "router": "junos",
        "day": "2026-07-01",
        "dscp": 46,
        "output": None,
    }


@pytest.mark.parametrize(
    "argv",
    [
        ("export",),
        ("export", "ios"),
        ("export", "eos", "--dscp", "64"),
        ("export", "eos", "--dscp", "gold"),
        ("export", "eos", "--name", "4x"),
        ("export", "eos", "--name", "x" * 32),
        ("export", "eos", "--name", "a b"),
        ("export", "eos", "--dscp", "cs5", "--window", "ddos"),
    ],
)
def test_wrong_usage(place: Place, argv: tuple[str, ...]) -> None:
    assert place.run(*argv).code == 64
