"""A gateway in the middle of a night, as the page sees it, and a reader of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

from enforcer.observe.page.asking import form
from enforcer.observe.page.document import page
from enforcer.observe.page.look import Look, Totals, rows
from enforcer.observe.snapshot import Occurrence, Snapshot
from enforcer.policy.model import (
    Gateway,
    Guard,
    Mark,
    Once,
    Policy,
    Recurring,
    RegistrySpec,
    Reserve,
    Window,
)
from enforcer.ruleset.measures import CounterName
from enforcer.schedule.agenda import Agenda
from enforcer.schedule.orders import Orders
from enforcer.schedule.timeline import Timeline

NOW = datetime(2026, 12, 1, 9, 12, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KARACHI = ZoneInfo("Asia/Karachi")
NO_ORDERS = Orders()


def once(name: str, starts: timedelta, lasts: timedelta, **more: object) -> Window:
    """A window that begins so long after `NOW`."""
    form_ = Once(NOW + starts, NOW + starts + lasts)
    fields: dict[str, object] = {"mark": Mark(0x51), **more}
    return Window(name, "a reason", "noc@isp.example", "NOC-1", form_, KARACHI, "Asia/Karachi",
                  **fields)  # type: ignore[arg-type]  # fmt: skip


DDOS = once("ddos", -HOUR, 2 * HOUR, guard=Guard("vpn"), reserve=Reserve("wan", 0.4))
WORKS = once("works", 4 * DAY, 2 * DAY)
SWAP = once("swap", -5 * DAY, 9 * HOUR)
STANDBY = once("standby", 14 * DAY, DAY, provisional=True)
EXAMS = Window(
    "exams", "a reason", "noc@isp.example", "NOC-2",
    Recurring("FREQ=DAILY", datetime.fromisoformat("2026-11-01T08:00"), 3 * HOUR),
    KARACHI, "Asia/Karachi", mark=Mark(None, 46),
)  # fmt: skip

TOTALS: Totals = {
    CounterName("guard", "ddos", "let_in", 4, "software-house"): (1_204_331, 2_200_000_000),
    CounterName("guard", "ddos", "let_in", 6, "software-house"): (9, 900),
    CounterName("guard", "ddos", "held_back", 4, "unregistered"): (7, 700),
    CounterName("mark", "exams", "marked", 4, "freelancer"): (3, 300),
}


def snapshot(
    windows: Sequence[Window] = (DDOS, WORKS, SWAP, STANDBY, EXAMS),
    armed: Sequence[str] = ("ddos",),
    categories: Sequence[str] = ("software-house", "freelancer"),
    orders: Orders = NO_ORDERS,
) -> Snapshot:
    policy = Policy(
        Gateway("edge-1", ("wan0", "wan1")),
        tuple(categories),
        RegistrySpec(("registry.csv",)),
        windows=tuple(windows),
    )
    agenda = Agenda.build(Timeline.ahead(policy, NOW), orders)
    return Snapshot(
        policy=policy,
        config_error=None,
        loaded_at=NOW - 2 * DAY,
        reloaded_at=NOW - DAY,
        armed=tuple(armed),
        waiting_for_clock=(),
        coming=tuple(Occurrence.of(e, NOW) for e in list(agenda.coming(NOW))[:10]),
        edges=tuple(agenda.transitions(NOW)),
        prefixes=tuple((4, c, 1000 + n) for n, c in enumerate(categories)),
        elements=((4, 4000), (6, 0)),
        clock_synchronised=True,
        drift_repairs=0,
        promise_violations=0,
        problem=None,
        missing_devices=(),
    )


def look(
    seen: Snapshot | None = None,
    totals: Totals | None = TOTALS,
    silent_s: float = 0.0,
    orders: Orders = NO_ORDERS,
) -> Look:
    seen = seen or snapshot(orders=orders)
    laid, more = rows(seen, orders, NOW)
    return Look(seen, totals, NOW, silent_s, "1.2", laid, more)


def html(seen: Look | None = None) -> str:
    return page(seen or look(), form({}))


_VOID = {"br", "input", "link", "meta"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = (c if isinstance(c, str) else c.text for c in self.children)
        return " ".join(" ".join(parts).split())

    def every(self, name: str = "", **attributes: str) -> list[Element]:
        found = []
        for child in self.children:
            if isinstance(child, Element):
                named = not name or child.name == name
                if named and all(child.has(key, value) for key, value in attributes.items()):
                    found.append(child)
                found += child.every(name, **attributes)
        return found

    def has(self, attribute: str, word: str) -> bool:
        return word in (self.attributes.get(attribute.rstrip("_")) or "").split()

    def one(self, name: str = "", **attributes: str) -> Element:
        (found,) = self.every(name, **attributes)
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"{tag} closes {self.open[-1].name}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(text: str) -> Element:
    """The document; every element that is opened is closed, in order."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.open) == 1, f"left open: {[e.name for e in reader.open]}"
    return reader.open[0]
