"""Uplinks are guessed from default routes, as the kernel prints them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from enforcer import uplinks


def test_default_routes_of_both_families_the_lowest_metric_first(tmp_path: Path) -> None:
    net = tmp_path / "net"
    net.mkdir()
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    rows = [
        "wan1\t00000000\t0102000A\t0003\t0\t0\t200\t00000000\t0\t0\t0",
        "lan0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
        "down\t00000000\t0102000A\t0002\t0\t0\t1\t00000000\t0\t0\t0",
        # 0.0.0.0/1, half of a default route as VPN clients set it.
        "tun0\t00000000\t0102000A\t0003\t0\t0\t0\t00000080\t0\t0\t0",
    ]
    (net / "route").write_text(head + "\n".join(rows) + "\n")
    zero = "0" * 32
    v6 = [
        f"{zero} 00 {zero} 00 {zero} 00000064 00000001 00000000 00000003     wan0",
        # The kernel's own entry for what has no route.
        f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo",
        f"20010db8{'0' * 24} 20 {zero} 00 {zero} 00000000 00000001 00000000 00000001  lan0",
    ]
    (net / "ipv6_route").write_text("\n".join(v6) + "\n")
    assert uplinks.default_devices(tmp_path) == ("wan0", "wan1")
    assert uplinks.default_devices(tmp_path / "nowhere") == ()


def test_every_device_is_told_those_of_the_default_routes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = [(1, "lo"), (2, "eth1"), (3, "eth0"), (4, "wan0")]
    monkeypatch.setattr(socket, "if_nameindex", lambda: named)
    monkeypatch.setattr(uplinks, "default_devices", lambda: ("wan0", "gone"))
    assert uplinks.devices_here() == ("wan0", "eth0", "eth1", "lo")

    def refused() -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "if_nameindex", refused)
    assert uplinks.devices_here() == ()
