"""`enforcer lab` on a machine where it cannot run: one clear sentence, and nothing is made."""

from __future__ import annotations

import os
import shutil

import pytest

from enforcer.cli.main import main
from enforcer.lab import machine


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without a single program, and this process as its root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def install(directory, *programs):
    for program in programs:
        shutil.copy("/bin/true", directory / program)


def test_who_is_not_root_is_told_the_remedy(monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["lab"]) == 1
    assert capsys.readouterr().err == (
        "lab: making network namespaces needs root; run it again with sudo, or as root\n"
    )
    assert main(["lab", "--clean"]) == 1
    assert capsys.readouterr().err == (
        "lab: cleaning up needs root; run it again with sudo, or as root\n"
    )


def test_a_missing_program_is_told_with_its_debian_package(bare, capsys):
    install(bare, "ip", "tc", "nft")
    assert main(["lab"]) == 1
    assert capsys.readouterr().err == (
        "lab: wg, wireguard-go not found; "
        "install the Debian package: apt-get install wireguard-go wireguard-tools\n"
    )


def test_a_package_is_named_once_for_two_of_its_programs(bare, capsys):
    install(bare, "nft", "wg", "wireguard-go")
    assert main(["lab"]) == 1
    assert capsys.readouterr().err == (
        "lab: ip, tc not found; install the Debian package: apt-get install iproute2\n"
    )


def test_a_kernel_without_tun_is_told_the_remedy(bare, monkeypatch, capsys):
    install(bare, *machine.TOOLS)
    monkeypatch.setattr(machine, "TUN", bare / "tun")
    assert main(["lab"]) == 1
    assert capsys.readouterr().err == (
        f"lab: {bare}/tun is not there, and wireguard-go needs it; run: modprobe tun\n"
    )


@pytest.mark.parametrize("size", ["0", "-1", "many", "1000001", "1e3"])
def test_a_registry_size_that_makes_no_sense_is_wrong_usage(size, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["lab", f"--registry-size={size}"])
    assert ended.value.code == 64
    assert f"{size!r} is not a number from 1 to 1000000" in capsys.readouterr().err
