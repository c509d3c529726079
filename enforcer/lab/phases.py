"""The scenario as data: what is sent, and what the promises say must become of it in each phase.

In: counts that were measured. Out: a verdict for each cell. Pure: no packet, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

FIRST, SECOND = "lab-1", "lab-2"


class Promise(Enum):
    """What must be true of a count."""

    ALL = "all"
    NONE = "none"
    SOME = "some"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Phase:
    """`window` is the one that is open during the phase; `head` stands over its column, `meaning`
    in the legend below.
    """

    id: str
    title: str
    head: str
    meaning: str
    window: str | None = None


PHASES = (
    Phase("before", "before", "before", "no window is open yet"),
    Phase("during", "during", "during", f"window {FIRST} is open", FIRST),
    Phase("after", "after", "after", f"{FIRST} has ended"),
    Phase("killed", "killed inside", "killed", f"{SECOND} is open, and its daemon killed", SECOND),
    Phase("past", "past its end", "past", f"{SECOND} has ended, and no daemon runs"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of traffic, or a thing that is watched. `inside` holds while a window is open and
    `outside` while none is; `exceptions` are phases with a promise of their own. `words` say ALL
    and NONE of it.
    """

    id: str
    title: str
    inside: Promise = Promise.ALL
    outside: Promise = Promise.ALL
    words: tuple[str, str] = ("passes", "held back")
    exceptions: dict[str, Promise] = field(default_factory=dict)

    def promise(self, phase: Phase) -> Promise:
        usual = self.outside if phase.window is None else self.inside
        return self.exceptions.get(phase.id, usual)


TRAFFIC = (
    Row("registered-vpn", "registered VPN → estate, new tunnels"),
    Row("unregistered-vpn", "unregistered VPN → estate, new tunnels", Promise.NONE),
    Row("unregistered-tcp", "unregistered → estate, TCP 443", Promise.NONE),
    Row("lifeline", "lifeline → estate, TCP 443"),
    Row("other-service", "unregistered → estate, other service"),
    Row("estate-ping", "unregistered → estate, ping"),
    Row("kept-open", "unregistered → estate, opened before"),
    Row("estate-outward", "estate → Internet, from TCP 443"),
    Row("web-out", "web, subscriber → Internet"),
    Row("web-in", "web, Internet → subscriber"),
    Row("unregistered-in", "web, unregistered → subscriber"),
    Row("subscriber-flow", "subscriber → unregistered, TCP"),
    Row("subscriber-vpn", "subscriber's VPN → unregistered server"),
)
_TAGS = ("all", "none")
WATCHED = (
    Row("cs5-registered", "registered packets with DSCP cs5", outside=Promise.NONE, words=_TAGS),
    Row("cs5-others", "other packets with DSCP cs5", Promise.NONE, Promise.NONE, _TAGS),
    Row(
        "reserved-packets",
        "packets in the reserved class",
        Promise.SOME,
        Promise.NONE,
        ("yes", "none"),
    ),
    # The kernel disarms without the daemon, and leaves the idle chains to the next start.
    Row(
        "hooked-chains",
        "chains of ours in the packet path",
        Promise.SOME,
        Promise.NONE,
        ("yes", "none"),
        {"past": Promise.ANY},
    ),
)
ROWS = TRAFFIC + WATCHED


@dataclass(frozen=True, slots=True)
class Count:
    """`got` of `of` attempts; `of` is None for what is only counted. `by_family` splits traffic.
    `note` is the last thing that went wrong, for a person."""

    got: int
    of: int | None = None
    by_family: tuple[tuple[int, int, int], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    count: Count
    promise: Promise
    words: tuple[str, str]

    @property
    def ok(self) -> bool:
        got, of = self.count.got, self.count.of
        match self.promise:
            case Promise.ANY:
                return True
            case Promise.ALL:
                return of is not None and 0 < of == got
            case Promise.SOME:
                return got > 0
            case Promise.NONE:
                return got == 0 and of != 0

    @property
    def text(self) -> str:
        got, of = self.count.got, self.count.of
        if of is None:
            return f"{got:,}" if got else self.words[1]
        word = {of: self.words[0], 0: self.words[1]}.get(got, "some")
        return f"{word} {got}/{of}"

    @property
    def short(self) -> str:
        """As `text`, for a column of seven letters with its mark: what passed of what was tried."""
        got, of = self.count.got, self.count.of
        if of is not None and of < 100:
            return f"{got}/{of}"
        if of is not None:
            # Only all of it is 100%, and only nothing 0%.
            return f"{got // of * 100 or max(min(100 * got // of, 99), got and 1)}%"
        return (f"{got:,}" if got < 10_000 else f"{got // 1000}k") if got else self.words[1]

    @property
    def detail(self) -> str:
        """The cell with its families, when they differ, and the last thing that went wrong."""
        shares = {got / of for _, got, of in self.count.by_family if of}
        families = ", ".join(f"IPv{f} {got}/{of}" for f, got, of in self.count.by_family)
        text = f"{self.text} ({families})" if len(shares) > 1 else self.text
        return f"{text}: {self.count.note}" if self.count.note else text


@dataclass(frozen=True, slots=True)
class Check:
    """Something measured once, with its own verdict."""

    id: str
    title: str
    value: str
    ok: bool


Cells = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured: `columns[phase id][row id]`, checks, lines of metrics to show."""

    columns: dict[str, Cells]
    checks: tuple[Check, ...] = ()
    metrics: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def differs(self) -> list[str]:
        """Each cell and check that is not what the promises say, named; a phase that is missing."""
        found = [f"{phase.title}: not reached" for phase in PHASES if phase.id not in self.columns]
        for phase in PHASES:
            for row in ROWS:
                cell = self.columns.get(phase.id, {}).get(row.id)
                if cell and not cell.ok:
                    found.append(
                        f"{row.title}, {phase.title}: {cell.detail}; "
                        f"promised: {_promised(row, cell.promise)}"
                    )
        return found + [f"{check.title}: {check.value}" for check in self.checks if not check.ok]

    @property
    def ok(self) -> bool:
        return not self.differs


def _promised(row: Row, promise: Promise) -> str:
    words = {Promise.ALL: row.words[0], Promise.NONE: row.words[1], Promise.SOME: "some"}
    return words.get(promise, "anything")


def judge(phase: Phase, counts: dict[str, Count]) -> Cells:
    """The phase's column. A row that was not counted is a row that failed."""
    return {
        row.id: Cell(counts.get(row.id, Count(0, 0)), row.promise(phase), row.words) for row in ROWS
    }
