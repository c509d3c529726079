"""Structured log lines on standard error: `LEVEL event key=value …`, or one JSON object a line.

Values are the operator's own names, counts and instants; never an address or a registrant.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

_log = logging.getLogger("enforcer")
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Format(form, journal))
    _log.handlers[:] = [handler]
    _log.propagate = False
    _log.setLevel(logging.INFO)


def info(event: str, **fields: object) -> None:
    _log.info(event, extra={"fields": fields})


def warning(event: str, **fields: object) -> None:
    _log.warning(event, extra={"fields": fields})


def error(event: str, **fields: object) -> None:
    _log.error(event, extra={"fields": fields})
