"""Instants, lengths and numbers as the page says them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def both(instant: datetime, zone: tzinfo) -> str:
    """`2026-12-01 15:00 PKT (10:00Z)`; once where the zone is at UTC."""
    local = instant.astimezone(zone)
    if not local.utcoffset():
        return utc(instant)
    other = instant.astimezone(UTC)
    day = "" if other.date() == local.date() else f"{other:%Y-%m-%d} "
    return f"{local:%Y-%m-%d} {_clock(local)} {local:%Z} ({day}{_clock(other)}Z)"


def utc(instant: datetime) -> str:
    """`2026-12-01 10:00Z`, with seconds where there are any."""
    other = instant.astimezone(UTC)
    return f"{other:%Y-%m-%d} {_clock(other)}Z"


def _clock(instant: datetime) -> str:
    return f"{instant:%H:%M:%S}" if instant.second else f"{instant:%H:%M}"


def length(span: timedelta) -> str:
    """`2 d 3 h`, `45 min`, `12 s`: the two largest units, rounded down."""
    seconds, parts = max(0, int(span.total_seconds())), []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count:,} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def size(octets: int) -> str:
    """`700 B`, `1.2 MB`: decimal units, as links are measured."""
    value = float(octets)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} PB"


def counted(number: int, noun: str) -> str:
    """`1 window`, `1,200 windows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
