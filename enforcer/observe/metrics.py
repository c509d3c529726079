"""Prometheus metrics of the contract, read at scrape time from the snapshot and the totals.

Labels are the operator's own names. A scrape reads the kernel's named counters (a few dozen) and
never a registered set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from enforcer import __version__
from enforcer.errors import KernelError
from enforcer.observe.snapshot import RecordState, Snapshot
from enforcer.ruleset.measures import CounterName

_APPLY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PACKET_LABELS = ("window", "measure", "verdict", "family", "category")

TotalsNow = Callable[[], dict[CounterName, tuple[int, int]]]


class Metrics:
    """What is counted as it happens, beside what is read at scrape time."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        totals: TotalsNow,
        record: Callable[[], RecordState] = RecordState,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.apply_seconds = Histogram(
            "enforcer_apply_duration_seconds",
            "Time to bring the kernel to what is wanted, read-back included",
            buckets=_APPLY_BUCKETS,
            registry=self.registry,
        )
        self.applies = Counter(
            "enforcer_apply",
            "Reconciliations by result",
            ["result"],
            registry=self.registry,
        )
        for result in ("unchanged", "changed", "failed"):
            self.applies.labels(result)
        # Filled by whoever compares; there from the start, so that an alert on their rate has
        # something to look at.
        self._samples = Counter(
            "enforcer_samples",
            "Sampled packets that were counted and judged again",
            registry=self.registry,
        )
        self._samples_lost = Counter(
            "enforcer_samples_lost",
            "Times that samples came faster than they could be read",
            registry=self.registry,
        )
        self.kernel_mismatches = Counter(
            "enforcer_kernel_mismatches",
            "Verdicts of the kernel that differ from those of the registry",
            registry=self.registry,
        )
        self.registry.register(_AtScrape(snapshot, totals, record))

    def sampled(self, seen: int, lost: int, mismatches: int) -> None:
        """What the self-check has found since it last told."""
        self._samples.inc(seen)
        self._samples_lost.inc(lost)
        self.kernel_mismatches.inc(mismatches)


class _AtScrape(Collector):
    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        totals: TotalsNow,
        record: Callable[[], RecordState],
    ) -> None:
        self._snapshot, self._totals, self._record = snapshot, totals, record

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        if snapshot is None:
            return
        yield _gauge("build_info", "The running version", [((__version__,), 1)], ("version",))
        yield from _configuration(snapshot)
        yield from _registry(snapshot)
        yield from _windows(snapshot)
        yield from _devices(snapshot)
        yield from self._traffic()
        yield _counter("drift_repairs", "Times the kernel had drifted and was put right",
                       [((), snapshot.drift_repairs)])  # fmt: skip
        # Beside the count of repairs, not as its label: one repair may be of several kinds.
        kinds = [((kind,), count) for kind, count in snapshot.drift_kinds]
        yield _counter("drift", "What had drifted and was put right, by kind", kinds, ("kind",))
        yield _gauge("contested", "1 while another program keeps changing our table and we give in",
                     [((), int(snapshot.contested))])  # fmt: skip
        yield _counter("promise_violations", "Promises that a compiled ruleset would have broken",
                       [((), snapshot.promise_violations)])  # fmt: skip
        yield from _record(self._record())
        yield _gauge("clock_synchronised", "1 while the kernel's clock is synchronised",
                     [((), int(snapshot.clock_synchronised))])  # fmt: skip

    def _traffic(self) -> Iterator[Metric]:
        try:
            totals = sorted(self._totals().items())
        except KernelError:
            # Left out rather than zero: a counter that falls would look like a restart.
            return
        for name, index, text in (
            ("packets", 0, "Packets by window, measure and verdict"),
            ("bytes", 1, "Bytes by window, measure and verdict"),
        ):
            rows = [
                ((n.window, n.measure, n.verdict, f"ipv{n.family}", n.category), counts[index])
                for n, counts in totals
            ]
            yield _counter(name, text, rows, _PACKET_LABELS)


Rows = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, text: str, rows: Rows, labels: tuple[str, ...] = ()) -> Metric:
    family = GaugeMetricFamily(f"enforcer_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, rows: Rows, labels: tuple[str, ...] = ()) -> Metric:
    family = CounterMetricFamily(f"enforcer_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _configuration(s: Snapshot) -> Iterator[Metric]:
    yield _gauge(
        "config_last_reload_success",
        "1 when the last reload of the configuration was accepted",
        [((), int(s.config_error is None))],
    )
    yield _gauge(
        "config_last_reload_timestamp_seconds",
        "When the configuration in force was accepted",
        [((), s.loaded_at.timestamp())],
    )
    yield _gauge(
        "registry_shrink_refused",
        "1 while the newest registry is refused for what it would remove of a category",
        [((), int(s.shrink_refused))],
    )
    yield _gauge(
        "registry_day_refused",
        "1 while a new day's registrations cannot be loaded and those of an earlier day stay",
        [((), int(s.day_refused))],
    )
    kept = s.last_good
    yield _gauge(
        "last_good_success",
        "1 while nothing keeps the last good configuration from the disk",
        [((), int(kept.problem is None))],
    )
    yield _gauge(
        "last_good_timestamp_seconds",
        "When the configuration that is kept on the disk was accepted; 0 without one",
        [((), kept.at.timestamp() if kept.at else 0)],
    )
    yield _gauge(
        "feed_last_success_timestamp_seconds",
        "When a source of registrations was last accepted, or a feed last known to be the newest",
        [((feed,), at.timestamp() if at else 0) for feed, at in s.feeds],
        ("feed",),
    )
    yield _gauge(
        "feed_interval_seconds",
        "How often a feed is to be fetched",
        [((look.name,), look.every_s) for look in s.fetched],
        ("feed",),
    )
    yield _gauge(
        "feed_last_fetch_success",
        "1 when the last attempt at a feed brought the newest",
        [((look.name,), int(look.problem is None)) for look in s.fetched],
        ("feed",),
    )
    yield _counter(
        "feed_fetches",
        "Attempts at a feed: accepted, unchanged, refused, failed",
        [((look.name, result), count) for look in s.fetched for result, count in look.counts],
        ("feed", "result"),
    )


def _registry(s: Snapshot) -> Iterator[Metric]:
    yield _gauge(
        "prefixes",
        "Registered prefixes valid today",
        [((f"ipv{family}", category), count) for family, category, count in s.prefixes],
        ("family", "category"),
    )
    yield _gauge(
        "set_elements",
        "Elements of the kernel's registered maps",
        [((f"ipv{family}",), count) for family, count in s.elements],
        ("family",),
    )


def _record(state: RecordState) -> Iterator[Metric]:
    yield _counter("audit_records", "Records in the audit log", [((), state.records)])
    yield _gauge(
        "audit_newest_info",
        "The digest of the newest record: a log that was cut off no longer has it",
        [((state.digest,), 1)],
        ("digest",),
    )
    yield _gauge(
        "audit_waiting_records",
        "Records that wait because the disk does not take them",
        [((), state.waiting)],
    )
    yield _counter(
        "audit_write_failures", "Times the audit log could not be written", [((), state.failures)]
    )


def _windows(s: Snapshot) -> Iterator[Metric]:
    armed = set(s.armed)
    yield _gauge(
        "window_active",
        "1 while a window is armed",
        [((window.id,), int(window.id in armed)) for window in s.policy.windows],
        ("window",),
    )
    yield _gauge(
        "window_next_transition_timestamp_seconds",
        "When a window next opens or closes",
        [((window,), edge.timestamp()) for window, edge in s.edges],
        ("window",),
    )
    yield _gauge(
        "window_end_timestamp_seconds",
        "When an armed window ends",
        [((window,), end.timestamp()) for window, end in s.ends],
        ("window",),
    )
    # Always there, so that the last value known tells of a daemon that is gone.
    yield _gauge(
        "armed_until_timestamp_seconds",
        "When the last of the armed windows ends; 0 while none is armed",
        [((), max((end.timestamp() for _, end in s.ends), default=0))],
    )
    yield _gauge(
        "windows_waiting",
        "Windows that are due and not armed, because nothing new may be",
        [((), len(s.waiting_for_clock))],
    )
    yield _gauge(
        "last_step_timestamp_seconds",
        "When the daemon last compared what is wanted with the kernel",
        [((), s.stepped_at.timestamp())] if s.stepped_at else [],
    )


def _devices(s: Snapshot) -> Iterator[Metric]:
    gone = set(s.missing_devices)
    yield _gauge(
        "uplink_present",
        "1 while the interface of an uplink is there",
        [((device,), int(device not in gone)) for device in s.policy.gateway.uplinks],
        ("uplink",),
    )
    yield _gauge(
        "link_present",
        "1 while the interface of a link is there",
        [((link.name,), int(link.device not in gone)) for link in s.policy.links],
        ("link",),
    )
