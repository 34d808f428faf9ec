"""The purge: it removes the rows of what was deleted with more rows than one transaction should remove.

It also removes what has waited for its span in vain (`traces/early_arrivals.py`).

It works in short transactions, with pauses of the same length, so that others wait a moment at most. One process of all
that share the database purges at a time.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from enum import Enum
from threading import Event

from promptcrafter.database import cascade, checkpoints, deletions, sqlite
from promptcrafter.database.session import sqlite_path
from promptcrafter.maintenance.only_process import only_process
from promptcrafter.maintenance.pace import Pace, transaction_s
from promptcrafter.traces import early_arrivals

_LOCK_KEY = 0x50C0_D31E  # of PostgreSQL's advisory lock: an arbitrary number
_EXPIRED_AT_ONCE = 200  # rows; each may have a text of MAX_OUTPUT_BYTES

_log = logging.getLogger(__name__)


class Outcome(Enum):
    """How a purge ended."""

    DONE = "nothing is pending"
    BUSY = "another process purges"
    STOPPED = "it was told to stop"


def run(stop: Event | None = None) -> Outcome:
    """Purge until no deletion is pending, or `stop` is set. Return at once if another process purges.

    Raises DBAPIError, OSError, Problem and SQLAlchemy's TimeoutError.
    """
    if not deletions.has_pending() and not early_arrivals.has_expired():
        return Outcome.DONE
    stop = stop or Event()
    with only_purge() as is_locked:
        if not is_locked:
            return Outcome.BUSY
        started, total = time.monotonic(), 0
        for rows in _each_step(stop):
            total += rows
        if total:
            seconds = time.monotonic() - started
            _log.info("removed %d rows of what was deleted, in %.1f seconds", total, seconds)
        _remove_expired(stop)
        return Outcome.STOPPED if stop.is_set() else Outcome.DONE


def _remove_expired(stop: Event) -> None:
    pace, rows = Pace(stop), _EXPIRED_AT_ONCE
    while rows == _EXPIRED_AT_ONCE and not stop.is_set():
        with pace.transaction():
            rows = early_arrivals.remove_expired(_EXPIRED_AT_ONCE)


def _each_step(stop: Event) -> Iterator[int]:
    """Yield the number of rows that each step has removed, until nothing is left or `stop` is set."""
    path = sqlite_path()
    progress: dict[str, cascade.Progress] = {}
    pace = Pace(stop)
    while not stop.is_set():
        with pace.transaction():
            rows = deletions.purge_some(transaction_s(), progress)
        if rows is None:
            if path is not None:
                checkpoints.shrink_log(path)
            return
        deletions.purged.send(rows=rows)
        yield rows


def only_purge() -> AbstractContextManager[bool]:
    """Hold the lock of the purge inside the block; yield False if another process holds it."""
    return only_process(sqlite.PURGE_LOCK_SUFFIX, _LOCK_KEY)
