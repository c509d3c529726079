"""The standing orders on the disk: one small JSON file in the state directory.

In: orders. Out: a file written whole, synced and renamed into place; and orders read back from it.
It never guesses: what cannot be read is an error, and `read_or_none_new` turns it into orders under
which nothing new is armed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from enforcer import disk
from enforcer.policy.times import saved_instant
from enforcer.schedule.orders import Order, Orders

FILE = "orders.json"
LOCK = f"{FILE}.lock"
_LOCK_S, _LOCK_PAUSE_S = 3.0, 0.02


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Nobody else who asks for this writes orders meanwhile: a command that decides without a
    daemon, or a daemon that reads them to begin with. Where that cannot be had, or another
    keeps it for longer than a decision takes, it goes on without.
    """
    with contextlib.ExitStack() as opened:
        # It may not be there, or not be ours: then what is decided cannot be written either.
        with contextlib.suppress(OSError):
            lock = _opened(directory / LOCK)
            opened.callback(os.close, lock)
            disk.lock_within(lock, _LOCK_S, _LOCK_PAUSE_S)
        yield


def _opened(path: Path) -> int:
    try:
        return disk.made(path, os.O_RDONLY)
    except FileExistsError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def read_orders(directory: Path) -> Orders:
    """What is on disk; none when there is no file. Raises OSError, or ValueError when spoilt."""
    try:
        text = (directory / FILE).read_text("utf-8")
    except FileNotFoundError:
        return Orders()
    try:
        rows = json.loads(text)
        if not isinstance(rows, list):
            raise ValueError("it holds no list")
        return Orders().given(map(_order, rows))
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"one of its orders is spoilt: {error!r}") from error


def read_or_none_new(directory: Path) -> tuple[Orders, str | None]:
    """The orders, and what is wrong with the file; then nothing new is armed under them."""
    try:
        return read_orders(directory), None
    except (OSError, ValueError) as error:
        fact = error.strerror if isinstance(error, OSError) else str(error)
        remedy = (
            "no window opens until it is mended, or moved away, and the daemon restarted; "
            "without it closed windows open again and confirmed ones do not"
        )
        return Orders(readable=False), f"{directory / FILE}: cannot be read ({fact}); {remedy}"


def write_orders(
    directory: Path, orders: Orders, ready: Callable[[], object] | None = None
) -> None:
    """Replaces the file at once: a reader, or a crash, sees the old one or the new one. Raises
    OSError. Orders that are not readable are not written over those that may yet be mended.
    `ready`: as of `disk.write_synced`.
    """
    if not orders.readable:
        raise OSError(None, "the orders of before cannot be read, and are not written over")
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps([_row(o) for o in orders.every], indent=1) + "\n"
    write_synced(directory / FILE, text, ready)


def write_synced(path: Path, text: str, ready: Callable[[], object] | None = None) -> None:
    """Replaces a small text file, whole and lasting. Raises OSError."""
    disk.write_synced(path, [text.encode()], ours=True, ready=ready)


def _row(order: Order) -> dict[str, Any]:
    row: dict[str, Any] = {
        "window": order.window,
        "starts_at": order.starts_at.isoformat(),
        "ends_at": order.ends_at.isoformat(),
        "word": order.word,
        "by": order.by,
    }
    if order.given_at is not None:
        row["given_at"] = order.given_at.isoformat()
    if order.shift:
        row["shift_s"] = int(order.shift.total_seconds())
    if order.until is not None:
        row["until"] = order.until.isoformat()
    return row


def _order(row: dict[str, Any]) -> Order:
    word = row["word"]
    if word not in ("closed", "confirmed", "trial"):
        raise ValueError(f"{word!r} is no order")
    return Order(
        window=str(row["window"]),
        starts_at=saved_instant(row["starts_at"]),
        ends_at=saved_instant(row["ends_at"]),
        word=word,
        by=str(row.get("by", "")),
        given_at=saved_instant(row["given_at"]) if "given_at" in row else None,
        shift=timedelta(seconds=int(row.get("shift_s", 0))),
        until=saved_instant(row["until"]) if "until" in row else None,
    )
