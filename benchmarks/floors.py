"""No peers but floors: what is left of a measure when everything but its core is taken away.

In: a bench, and the registry as the kernel has it. Out: rules put in force and taken out, as peers
do it. What they leave out a gateway cannot do without, so nobody can be faster who uses the same
core; where a goal lies below its floor, no rules around the core will reach it.
"""

from __future__ import annotations

from benchmarks.counters import counter_packets
from benchmarks.ours import ESTATE, FWMARK, MeasureName
from benchmarks.peers import COUNT, COUNTER, PORT
from benchmarks.wire import Bench
from enforcer.lookup.tables import Tables
from enforcer.ruleset.render import statement
from enforcer.ruleset.vocabulary import FrontIn, RegisteredMap, Side, TakeClass

_SIDES: tuple[Side, ...] = ("saddr", "daddr")


class BareDrop:
    """What nft's shortest guard costs, at the hook where a drop costs least: it holds everybody
    back, has no end, and drops what promises 3 and 4 forbid (docs/decisions/0010).
    """

    name = "floor: estate match, drop"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def load(self, prefixes: dict[int, list[str]]) -> None:
        pass

    def on(self, measure: MeasureName) -> None:
        script = f"""table inet floor {{
          counter {COUNTER} {{ }}
          chain work {{
            type filter hook ingress device "wan0" priority 0
            ip daddr {ESTATE} udp dport {PORT} {COUNT} drop
          }}
        }}"""
        self._bench.in_gateway("nft", "-f", "-", stdin=script)

    def off(self) -> None:
        self._bench.in_gateway("nft", "delete", "table", "inet", "floor")

    def counted(self) -> int:
        return counter_packets(self._bench.gateway, "floor", COUNTER)

    def unload(self) -> None:
        pass


class BareLookup:
    """What the registered lookup alone costs, in our own maps: a hit is marked and accepted. It
    asks for no window, tells no category from another, and knows no services.

    The rules stand in our table, for a map is known only there; they count while they are checked.
    """

    name = "floor: lookup, mark"

    def __init__(self, bench: Bench, tables: Tables) -> None:
        self._bench, self._tables = bench, tables

    def load(self, prefixes: dict[int, list[str]]) -> None:
        pass

    def on(self, measure: MeasureName) -> None:
        self._put(COUNT)

    def without_counter(self) -> None:
        self._put("")

    def _put(self, count: str) -> None:
        chains, jumps = "", ""
        for side in _SIDES:
            takes = [
                TakeClass(side, 4, stage.length, RegisteredMap(stage).name)
                for stage in self._tables.of_family(4)
            ]
            act = f"{count} meta mark set {FWMARK:#x} accept"
            rules = "\n".join(f"{statement(take)} {act}" for take in takes)
            chains += f"chain floor.{side} {{\n{rules}\n}}\n"
            front = "" if self._tables.front is None else statement(FrontIn(side))
            jumps += f"{front} jump floor.{side}\n"
        self._nft(
            f"table inet enforcer {{\ncounter {COUNTER} {{ }}\n{chains}chain floor {{\n"
            f"type filter hook prerouting priority mangle\n{jumps}}}\n}}"
        )

    def off(self) -> None:
        names = ("floor", *(f"floor.{side}" for side in _SIDES))
        self._nft(
            "".join(f"flush chain inet enforcer {name}\n" for name in names)
            + "".join(f"delete chain inet enforcer {name}\n" for name in names)
            + f"delete counter inet enforcer {COUNTER}\n"
        )

    def _nft(self, script: str) -> None:
        self._bench.in_gateway("nft", "-f", "-", stdin=script)

    def counted(self) -> int:
        return counter_packets(self._bench.gateway, "enforcer", COUNTER)

    def unload(self) -> None:
        pass
