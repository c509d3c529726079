"""Signals wait until somebody asks, and are given back afterwards."""

from __future__ import annotations

import select
import signal

from enforcer.signals import Signals


def test_a_signal_wakes_the_loop_and_is_told_once() -> None:
    before = signal.getsignal(signal.SIGHUP)
    signals = Signals()
    try:
        assert not select.select([signals], [], [], 0)[0]
        signals.drain()
        signal.raise_signal(signal.SIGHUP)
        assert select.select([signals], [], [], 5)[0]
        signals.drain()
        assert not select.select([signals], [], [], 0)[0]
        assert (signals.take_hangup(), signals.take_hangup()) == (True, False)
        assert not signals.stop
        signal.raise_signal(signal.SIGTERM)
        assert signals.stop
    finally:
        signals.close()
    assert signal.getsignal(signal.SIGHUP) == before
