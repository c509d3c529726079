"""Structured log lines on standard error: `LEVEL event key=value …`, or one JSON object a line.

Values are the operator's own names, counts and instants; never an address or a registrant. Of one
event at most MOST lines a minute are written, and then how many were not: a storm fills no disk.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

_log = logging.getLogger("enforcer")
MOST = 30
_MINUTE_S = 60.0
# journald reads `<N>` as the syslog priority of the line (sd-daemon(3)).
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


class _Format(logging.Formatter):
    def __init__(self, form: str, journal: bool) -> None:
        super().__init__()
        self._form, self._journal = form, journal

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        level = record.levelname.lower()
        if self._form == "json":
            line = json.dumps({"level": level, "event": record.getMessage(), **fields}, default=str)
        else:
            pairs = "".join(f" {key}={_quote(value)}" for key, value in fields.items())
            line = f"{level} {record.getMessage()}{pairs}"
        return f"<{_PRIORITY.get(record.levelno, 6)}>{line}" if self._journal else line


def _quote(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not set(text) & set(' "='):
        return text
    # What a terminal or a line-based reader would act on is escaped; the rest stays readable.
    return json.dumps(text, ensure_ascii=not text.isprintable())


def configure(form: str, *, journal: bool) -> None:
    """`form` is `text` or `json`; `journal` puts the syslog priority in front of each line."""
    global _limit
    _limit = Limit()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Format(form, journal))
    _log.handlers[:] = [handler]
    _log.propagate = False
    _log.setLevel(logging.INFO)


@dataclass(slots=True)
class _Minute:
    """`begun_s`: when the first line of it was written; `left_out`: how many were not."""

    begun_s: float
    written: int = 0
    left_out: int = 0


class Limit:
    """Counts the lines of each event, and tells which are too many. It asks no clock."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._minutes: dict[str, _Minute] = {}

    def admits(self, event: str, now_s: float) -> bool:
        """True when a line of this event may be written. `over` comes first."""
        minute = self._minutes.setdefault(event, _Minute(now_s))
        if minute.written >= self._most:
            minute.left_out += 1
            return False
        minute.written += 1
        return True

    def over(self, now_s: float) -> list[tuple[str, int]]:
        """The events whose minute is over, with the number of lines left out in it, if any."""
        past = [e for e, m in self._minutes.items() if now_s - m.begun_s >= _MINUTE_S]
        ended = [(event, self._minutes.pop(event).left_out) for event in past]
        return [(event, count) for event, count in ended if count]


_limit = Limit()
# The status port writes from its own thread.
_lock = threading.Lock()


def info(event: str, **fields: object) -> None:
    _write(logging.INFO, event, fields)


def warning(event: str, **fields: object) -> None:
    _write(logging.WARNING, event, fields)


def error(event: str, **fields: object) -> None:
    _write(logging.ERROR, event, fields)


def settle() -> None:
    """Says what was left out in minutes that are over; the loop calls it now and then."""
    with _lock:
        over = _limit.over(time.monotonic())
    for event, count in over:
        fields = {"of": event, "lines": count, "most_a_minute": MOST}
        _log.warning("left_out", extra={"fields": fields})


def _write(level: int, event: str, fields: dict[str, object]) -> None:
    settle()
    with _lock:
        admitted = _limit.admits(event, time.monotonic())
    if admitted:
        _log.log(level, event, extra={"fields": fields})
