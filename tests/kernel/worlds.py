"""Two worlds for one contract: the fake kernel, and the real one in a namespace of its own.

A world is a kernel plus what others do to it: devices that come and go, foreign tables and qdiscs.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import pytest

from enforcer.errors import KernelError
from enforcer.kernel.fake import FakeKernel
from enforcer.kernel.nft import NftKernel
from enforcer.ruleset import transaction as t
from tests.kernel.every_word import NOW_NS
from tests.kernel.slowness import patient


class World(Protocol):
    """`wan0` and `lan0` are there from the start."""

    kernel: t.Kernel

    def now_ns(self) -> int: ...
    def make_foreign_table(self) -> None: ...
    def make_foreign_qdisc(self, device: str) -> None: ...
    def other_program_commits(self) -> None: ...
    def flush_ruleset(self) -> None: ...
    def make_dormant(self) -> None: ...
    def delete_device(self, device: str) -> None: ...
    def untouched(self) -> object:
        """Everything in the kernel, as a value to compare."""


def commit(world: World, *operations: t.Operation) -> t.KernelState:
    """Commits against the present generation, then reads."""
    generation = world.kernel.generation()
    world.kernel.commit(t.Transaction(generation, operations), world.now_ns())
    return world.kernel.read()


def refused(world: World, *operations: t.Operation) -> int:
    """The errno with which the kernel refuses; nothing of the transaction is in force then."""
    before = world.kernel.read()
    with pytest.raises(KernelError) as caught:
        commit(world, *operations)
    assert _timeless(world.kernel.read()) == _timeless(before)
    return caught.value.errno


def _timeless(state: t.KernelState) -> t.KernelState:
    """The state without what a running timer changes."""
    sets = {
        name: replace(held, elements=frozenset(each[0] for each in held.elements))
        if held.kind == "armed"
        else held
        for name, held in state.sets.items()
    }
    return replace(state, sets=sets)


class FakeWorld:
    def __init__(self) -> None:
        self.clock_ns = NOW_NS
        self.fake = FakeKernel(lambda: self.clock_ns, ("lo", "wan0", "lan0"))
        self.kernel: t.Kernel = self.fake

    def now_ns(self) -> int:
        return self.clock_ns

    def make_foreign_table(self) -> None:
        self.fake.make_foreign()

    def make_foreign_qdisc(self, device: str) -> None:
        self.fake.foreign_qdiscs.add(device)

    def other_program_commits(self) -> None:
        self.fake.edit()

    def flush_ruleset(self) -> None:
        self.fake.flush()

    def make_dormant(self) -> None:
        self.fake.set_dormant()

    def delete_device(self, device: str) -> None:
        self.fake.devices.remove(device)

    def untouched(self) -> object:
        state = self.fake.read()
        return state.foreign, state.generation, state.foreign_qdiscs, state.shapers


class RealWorld:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.kernel: t.Kernel = NftKernel(namespace)

    def run(self, *command: str, text: str | None = None) -> str:
        """A command inside the namespace; its output. Raises CalledProcessError."""
        return inside(self.namespace, command, text)

    def nft(self, script: str) -> None:
        self.run("nft", "-f", "-", text=script)

    def now_ns(self) -> int:
        return time.time_ns()

    def make_foreign_table(self) -> None:
        self.nft("table inet enforcer {\n chain ledger {\n drop\n }\n}")

    def make_foreign_qdisc(self, device: str) -> None:
        self.run("tc", "qdisc", "replace", "dev", device, "root", "handle", "1:", "htb")

    def other_program_commits(self) -> None:
        self.nft("add table ip somebody\nadd chain ip somebody else")

    def flush_ruleset(self) -> None:
        self.nft("flush ruleset")

    def make_dormant(self) -> None:
        self.nft("add table inet enforcer { flags dormant; }")

    def delete_device(self, device: str) -> None:
        self.run("ip", "link", "delete", device)

    def untouched(self) -> object:
        qdiscs = re.sub(r"direct_packets_stat \d+", "", self.run("tc", "qdisc", "show"))
        return self.run("nft", "list", "ruleset"), qdiscs


def inside(namespace: str, command: Sequence[str], text: str | None = None) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, *command],
        input=text,
        capture_output=True,
        text=True,
        timeout=patient(20),
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
