"""Why a connection failed, out of what urllib3 wraps around it.

In: an exception. Out: the one within that tells, and its text.
"""

from __future__ import annotations

import socket

import urllib3


def cause_of(error: BaseException) -> BaseException:
    """urllib3 wraps: the reason of a request that failed, the SSL error as an argument."""
    cause = error
    while True:
        # ProtocolError has it behind its text: ("Connection aborted.", ConnectionRefusedError(…)).
        told = (getattr(cause, "reason", None), *cause.args)
        within = next((part for part in told if isinstance(part, Exception)), None)
        if isinstance(cause, OSError) or within is None:
            return cause
        cause = within


def timed_out(cause: BaseException) -> bool:
    """A refused connection counts as one that timed out with urllib3: look inside first."""
    return system_said(cause) is None and isinstance(
        cause, urllib3.exceptions.TimeoutError | TimeoutError
    )


def system_said(cause: BaseException) -> str | None:
    """The system's own words for it; None where it has none."""
    inside = cause.__cause__ if isinstance(cause, urllib3.exceptions.NewConnectionError) else cause
    if isinstance(inside, socket.gaierror):
        return f"its name is not found: {inside.strerror}"
    return inside.strerror if isinstance(inside, OSError) and inside.strerror else None
