"""The whole soak: the network, the traffic, the faults in their phases, and the judgement.

In: a plan. Out: a `Result`. Whatever happens in it, the namespaces, processes and files that it
made are gone afterwards.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random

from enforcer import __version__
from enforcer.clock import SystemClock
from soak.faults import Breaker, FaultLog, Plan
from soak.flushes import KINDS, Flusher
from soak.gateway import Gateway, SoakError
from soak.judge import judge, overruns_ms
from soak.registries import Registries
from soak.report import Result
from soak.streams import Traffic
from soak.traffic import SETTLED_NS
from soak.windows import Spans, edges, overrun
from soak.world import World

ROOT = Path(__file__).parent.parent
Say = Callable[[str], None]
_SAY_EVERY_S = 5.0
# So many make the rest worthless.
_MOST_PROBLEMS = 10


@contextmanager
def sending(world: World, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The traffic process, from the time when its packets get through."""
    argv = [sys.executable, "-m", "soak.traffic", world.out.name, world.inner.name, str(folder)]
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "ready\n":
            raise SoakError(f"the traffic does not begin: exit {process.wait(10)}")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        process.stdout.close()


def received(process: subprocess.Popen[str], folder: Path) -> Traffic:
    """Ends the sending, waits until what is on its way has come, and reads what became of it."""
    process.send_signal(signal.SIGTERM)
    if process.wait(60 + SETTLED_NS / 1e9):
        raise SoakError(f"the traffic ended with {process.returncode}")
    return Traffic.load(folder / "traffic.npz")


def soak(plan: Plan, say: Say) -> Result:
    """Raises SoakError when it cannot even begin; what goes wrong later is among the problems."""
    facts = machine_facts()
    begun, thrown = time.monotonic(), thrown_away()
    with ExitStack() as made:
        folder = Path(tempfile.mkdtemp(prefix="enforcer-soak-"))
        made.callback(shutil.rmtree, folder, ignore_errors=True)
        world = made.enter_context(World())
        gateway = Gateway(world.gw, folder)
        made.callback(gateway.kill)
        traffic = made.enter_context(sending(world, folder))
        course = _Course(plan, gateway, world, folder, say)
        made.enter_context(closing(course.flusher))
        try:
            course.run()
        except (SoakError, OSError, subprocess.SubprocessError) as error:
            course.problems.append(str(error))
        sent = received(traffic, folder)
        overruns = int(json.loads((folder / "progress.json").read_text())["overruns"])
    if overruns:
        course.problems.append(f"{overruns:,} packets found no room in the receivers' buffers")
    late = {}
    for name, spans in (("dead", course.overruns), ("alive", course.edges)):
        try:
            late[name] = overruns_ms(sent, spans)
        except ValueError as error:
            course.problems.append(f"daemon {name}: {error}")
    facts["packets that a full backlog threw away"] = f"{thrown_away() - thrown:,}"
    facts["took"] = f"{time.monotonic() - begun:,.0f} s"
    return Result(
        facts,
        judge(sent, course.log.faults),
        course.flusher.repairs_s,
        late.get("dead", ()),
        late.get("alive", ()),
        gateway.starts_s,
        course.problems,
        course.notes,
    )


class _Course:
    """The phases, in their order."""

    def __init__(self, plan: Plan, gateway: Gateway, world: World, folder: Path, say: Say) -> None:
        self._plan, self._gateway, self._folder, self._tell = plan, gateway, folder, say
        self._draw = Random(plan.seed)
        self.log = FaultLog()
        self.flusher = Flusher(world.gw, self._draw)
        self._small = Registries(plan.rows, plan.seed)
        self._breaker = Breaker(gateway, self.flusher, self._small, self.log, self._draw)
        self._deadline = time.monotonic() + plan.minutes * 60
        self._said = 0.0
        self.overruns: Spans = []
        self.edges: Spans = []
        self.problems: list[str] = []
        self.notes: list[str] = []

    def run(self) -> None:
        plan, gateway, log = self._plan, self._gateway, self.log
        gateway.write_registry(self._small.text())
        gateway.write_windows([])
        gateway.spawn()
        gateway.wait_up()
        self._say("no window, no fault", 0, 0)
        time.sleep(plan.quiet_s)
        log.did("window declared", self._breaker.arm)
        time.sleep(1)
        log.did("window armed, no fault", lambda: time.sleep(plan.quiet_s))
        acts = list(self._breaker.sequence(plan))
        for n, act in enumerate(acts):
            if self._late(f"{len(acts) - n:,} of {len(acts):,} faults of the shuffled sequence"):
                break
            try:
                act()
            except SoakError as error:
                self.problems.append(str(error))
                if len(self.problems) > _MOST_PROBLEMS:
                    raise
                self._breaker.recover()
            self._say("shuffled faults", n + 1, len(acts))
        if plan.million and not self._late("the updates at a million rows"):
            self._at_a_million()
        gateway.wait_up()
        gateway.write_windows([])
        log.did("window withdrawn", gateway.reload)
        if plan.edges:
            self._say("edges of windows", 0, plan.edges)
            self.edges = edges(gateway, log, self._draw, plan.edges)
        for n in range(plan.overruns):
            self.overruns.append(overrun(gateway, log, self._draw, n))
            self._say("ends with the daemon dead", n + 1, plan.overruns)

    def _at_a_million(self) -> None:
        plan, size = self._plan, f"{self._plan.million_rows / 1e6:g} M"
        self._breaker.grow(Registries(plan.million_rows, plan.seed))
        for n in range(plan.million):
            if self._late(f"{plan.million - n} updates at {size}"):
                break
            self._breaker.update(size)
            self._say(f"updates at {size}", n + 1, plan.million)
        for n in range(plan.million_flushes):
            if self._late(f"{plan.million_flushes - n} flushes at {size}"):
                break
            self._breaker.flush(KINDS[n % len(KINDS)], size)
            self._say(f"flushes at {size}", n + 1, plan.million_flushes)
        self._breaker.grow(self._small)

    def _late(self, left_out: str) -> bool:
        late = time.monotonic() > self._deadline
        if late:
            self.notes.append(f"left out, for the time was over: {left_out}")
        return late

    def _say(self, phase: str, done: int, of: int) -> None:
        if time.monotonic() - self._said < _SAY_EVERY_S and done < of:
            return
        self._said = time.monotonic()
        try:
            so_far = json.loads((self._folder / "progress.json").read_text())
            registered, control = so_far["registered"], so_far["control"]
            packets = (
                f"{registered['sent']:,} registered sent, {registered['lost']:,} not arrived "
                f"({control['lost']:,} of the control's)"
            )
        except (OSError, ValueError):
            packets = "no packets yet"
        self._tell(f"{phase} {done:,}/{of:,}: {packets}")


def thrown_away() -> int:
    """Packets that no processor came to in time, on the whole machine (netdev_max_backlog)."""
    lines = Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


def machine_facts() -> dict[str, str]:
    """What the soak ran on and of what state of the code. No name and no path of the machine."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT, capture_output=True, text=True, timeout=20, check=False,
    ).stdout.strip()  # fmt: skip
    return {
        "date": SystemClock().now().strftime("%Y-%m-%d %H:%M UTC"),
        "enforcer": f"{__version__}, commit {commit or 'unknown'}",
        "kernel": platform.release(),
        "cores": str(len(os.sched_getaffinity(0))),
        "Python": platform.python_version(),
        "load at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
