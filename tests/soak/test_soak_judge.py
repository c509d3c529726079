"""Whose loss it is: nothing of ours may hide behind the machine or a flush."""

from __future__ import annotations

import numpy as np
import pytest

from soak.judge import (
    FLUSH,
    MACHINE,
    NOTHING,
    OURS,
    Fault,
    judge,
    overruns_ms,
    quantile,
)
from soak.report import Result, markdown
from soak.streams import STREAMS, Sent, Stream, Traffic

MS = 1_000_000
GUARDED, STRANGER, OTHER, CONTROL = (
    next(s for s in STREAMS if s.name == name)
    for name in (
        "guarded, IPv4",
        "stranger to the estate",
        "others' transit in, IPv4",
        "control in",
    )
)
KILL = Fault("kill", 1000 * MS, 2000 * MS)
FLUSHED = Fault("flush", 3000 * MS, 3100 * MS, foreign=True)


def traffic(lost_ms: dict[Stream, list[int]]) -> Traffic:
    """Every stream sends each millisecond for 5 s; these do not arrive."""
    at_ns = np.arange(5000, dtype=np.int64) * MS
    streams = []
    for stream in STREAMS:
        arrived = np.ones(5000, np.bool_)
        arrived[lost_ms.get(stream, [])] = False
        streams.append(Sent(stream, at_ns, arrived))
    return Traffic(tuple(streams))


def whose(lost_ms: dict[Stream, list[int]]) -> dict[str, dict[tuple[str, str], int]]:
    rows = judge(traffic(lost_ms), [FLUSHED, KILL])
    return {row.name: dict(row.losses) for row in rows if row.losses}


def test_a_loss_lies_at_the_fault_that_was_on_or_was_the_last() -> None:
    assert whose({GUARDED: [500, 1500, 2900]}) == {
        NOTHING: {("registered", OURS): 1},
        "kill": {("registered", OURS): 2},
    }


def test_a_flush_excuses_until_it_is_repaired_and_no_longer() -> None:
    assert whose({GUARDED: [2999, 3000, 3100, 3101, 4000]}) == {
        "kill": {("registered", OURS): 1},
        "flush": {("registered", FLUSH): 2, ("registered", OURS): 2},
    }


def test_only_what_the_control_lost_too_is_the_machines() -> None:
    assert whose({GUARDED: [1500, 1700], CONTROL: [1450]}) == {
        "kill": {("registered", MACHINE): 1, ("registered", OURS): 1, ("control", MACHINE): 1}
    }


def test_every_registered_packet_sent_is_in_one_row() -> None:
    rows = judge(traffic({}), [FLUSHED, KILL])
    registered = sum(s.kind == "registered" for s in STREAMS)
    assert sum(row.registered for row in rows) == 5000 * registered
    assert [row.name for row in rows] == [NOTHING, "kill", "flush"]


def test_an_overrun_is_counted_from_the_declared_end_to_the_last_one_held_back() -> None:
    held = traffic({STRANGER: [*range(1000, 2008)]})
    assert overruns_ms(held, [(1000 * MS, 2000 * MS)]) == [7.0]
    assert overruns_ms(held, [(1000 * MS, 2500 * MS)]) == [-493.0]
    with pytest.raises(ValueError, match="not armed"):
        overruns_ms(held, [(3000 * MS, 4000 * MS)])


def test_a_window_that_holds_back_as_long_as_anybody_looks_did_not_end() -> None:
    window = (1000 * MS, 2000 * MS)
    endless = {STRANGER: [*range(1000, 5000)]}
    with pytest.raises(ValueError, match="as long as was looked; it did not end"):
        overruns_ms(traffic(endless), [window])
    # Late, but ended: how late is a figure, and no fault.
    assert overruns_ms(traffic({STRANGER: [*range(1000, 2800)]}), [window]) == [799.0]
    # The machine's losses are nobody's holding back.
    by_machine = {STRANGER: [*range(1000, 2000), 2850], CONTROL: [2840]}
    assert overruns_ms(traffic(by_machine), [window]) == [850.0]
    with pytest.raises(ValueError, match="nobody looked whether a window ended"):
        overruns_ms(traffic({STRANGER: [4000]}), [(3900 * MS, 4500 * MS)])


def test_quantiles_are_of_the_values_themselves() -> None:
    values = [float(v) for v in range(1, 101)]
    assert [quantile(values, share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert quantile([3.0], 0.99) == 3


def test_one_lost_by_us_or_one_problem_is_not_sound() -> None:
    quiet = judge(traffic({GUARDED: [3050], CONTROL: [10]}), [KILL, FLUSHED])
    assert Result({}, quiet).sound
    assert not Result({}, quiet, problems=["it ended"]).sound
    lossy = Result({}, judge(traffic({GUARDED: [1500]}), [KILL]))
    assert not lossy.sound
    assert "**1 of 30,000 registered packets lost by us (0 inside" in markdown(lossy)
    assert "| kill | 1 | 4 | 24,000 | 1 | 0 | 0 | 0 | 0 | 0 |" in markdown(lossy)


def test_others_transit_lost_by_us_is_not_sound() -> None:
    lossy = Result({}, judge(traffic({OTHER: [1500]}), [KILL]))
    assert not lossy.sound
    assert "0 by the machine), and 1 of others' transit**" in markdown(lossy)
    assert "| kill | 1 | 4 | 24,000 | 0 | 0 | 0 | 1 | 1 | 0 |" in markdown(lossy)
    assert Result({}, judge(traffic({OTHER: [1500], CONTROL: [1500]}), [KILL])).sound
