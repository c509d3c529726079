"""Single values: what each parser makes of what an operator writes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enforcer.policy import times, values

READ: list[tuple[Callable[[Any], Any], object, object]] = [
    (times.duration, "90s", timedelta(seconds=90)),
    (times.duration, "10m", timedelta(minutes=10)),
    (times.duration, "1h30m", timedelta(minutes=90)),
    (times.duration, "2d", timedelta(days=2)),
    (times.duration, "366d", timedelta(days=366)),
    (times.lease, "5s", timedelta(seconds=5)),
    (times.lease, "24h", timedelta(hours=24)),
    (times.clock_minute, "00:00", 0),
    (times.clock_minute, "23:59", 1439),
    (times.hijri_month, "muharram", 1),
    (times.hijri_month, 12, 12),
    (values.rate_bps, "1gbit", 1_000_000_000),
    (values.rate_bps, "500mbit", 500_000_000),
    (values.rate_bps, "10kbit", 10_000),
    (values.rate_bps, "2.5Gbit", 2_500_000_000),
    (values.rate_bps, "0.1 gbit", 100_000_000),
    (values.percent, "40%", 0.4),
    (values.percent, "12.5 %", 0.125),
    (values.percent, "0%", 0.0),
    (values.percent, "100%", 1.0),
    (values.size_bytes, "256MB", 256 * 1024**2),
    (values.size_bytes, "1GiB", 1024**3),
    (values.dscp, "cs5", 40),
    (values.dscp, "AF41", 34),
    (values.dscp, "ef", 46),
    (values.dscp, "va", 44),
    (values.dscp, "le", 1),
    (values.dscp, 0, 0),
    (values.dscp, 63, 63),
    (values.fwmark, 1, 1),
    (values.fwmark, 0xFFFFFFFF, 0xFFFFFFFF),
    (values.listen, "127.0.0.1:9435", values.Listen("127.0.0.1", 9435)),
    (values.listen, "[::1]:9435", values.Listen("::1", 9435)),
    (values.listen, "localhost:1", values.Listen("localhost", 1)),
    (values.interface, "eth0.100", "eth0.100"),
    (values.interface, "fifteen-bytes-x", "fifteen-bytes-x"),
    (values.identifier, "DDoS_2026.12", "DDoS_2026.12"),
    (values.sentence, " one line\n", "one line"),
]
REFUSED: list[tuple[Callable[[Any], Any], object]] = [
    *((times.duration, text) for text in ("", "10", "1.5h", "m", "30m1h", "-1h", "0h", "367d")),
    *((times.lease, text) for text in ("4s", "86401s", "2d")),
    *((times.clock_minute, text) for text in ("24:00", "6:00", "06:60", "06:00:00", 360)),
    *((times.hijri_month, word) for word in ("Moon", 0, 13, True, 1.0)),
    *((values.rate_bps, text) for text in ("1", "1gb", "1Gbps", "-1mbit", "1bit", "11tbit", 10)),
    *((values.percent, text) for text in ("40", "101%", "-1%", "1e1%", 40, 0.4, True, "40%%")),
    *((values.size_bytes, text) for text in ("1KB", "65GB", "256", "256mb", 256)),
    *((values.dscp, word) for word in ("cs8", "af44", "", -1, 64, True, 4.0)),
    *((values.fwmark, word) for word in (0, -1, 0x1_0000_0000, "0x51", True, 1.0)),
    *(
        (values.listen, text)
        for text in ("9435", ":9435", "::1:9435", "[127.0.0.1]:1", "1.2.3.4:0", "host:1", "[]:1")
    ),
    *(
        (values.interface, text)
        for text in ("", "sixteen-bytes-xx", "a/b", "a b", ".", "..", "éééééééé")
    ),
    *((values.identifier, text) for text in ("", "-a", "a b", "a" * 65, "é")),
    *((values.name, text) for text in ("", "A", "1a", "a_b", "a" * 33)),
    *((values.sentence, text) for text in ("", "  ", "a\nb", "a\x1b[31m", "x" * 501, 1)),
    *(
        (times.stamp, text)
        for text in ("2026-12-01", "2026-12-01 08:00", "2026-12-01T24:00", "1999-12-31T00:00:00Z")
    ),
    *((times.stamp, text) for text in ("2026-12-01T08:00:00+15:00", "2026-12-01T08:00:60Z", 1)),
]


@pytest.mark.parametrize(("parse", "given", "meant"), READ)
def test_a_value_is_read_as_it_is_meant(
    parse: Callable[[Any], Any], given: object, meant: object
) -> None:
    assert parse(given) == meant


@pytest.mark.parametrize(("parse", "given"), REFUSED)
def test_a_value_out_of_form_or_bounds_is_refused_with_a_remedy(
    parse: Callable[[Any], Any], given: object
) -> None:
    with pytest.raises(ValueError, match="; ") as refused:
        parse(given)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("value", ["2026-12-01T08:00:00", "2026-12-01", "noon", "", 1764576000])
def test_an_instant_that_we_did_not_write_is_spoilt(value: object) -> None:
    with pytest.raises(ValueError, match=r"no instant with an offset|Invalid isoformat"):
        times.saved_instant(value)


def test_an_instant_of_ours_is_read_in_utc() -> None:
    at = datetime(2026, 12, 1, 8, tzinfo=UTC)
    for text in ("2026-12-01T08:00:00Z", "2026-12-01T08:00:00+00:00", "2026-12-01T13:00:00+05:00"):
        assert times.saved_instant(text) == times.saved_or_none(text) == at
        assert times.saved_instant(text).tzinfo is UTC
    assert times.saved_or_none(None) is None
