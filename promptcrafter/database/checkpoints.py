"""Checkpoints of SQLite's write-ahead log beyond the ones that commits make: they keep its file small.

While a transaction reads, the pages that are written meanwhile collect in the log, and the file keeps the size that it
has reached. `sqlite.LOG_LIMIT_BYTES` is the size to which SQLite itself shrinks the file at the first commit that
starts the log again from its beginning. These functions do so without waiting for a write: after a long stream, during
a purge, and when the service stops.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Timer

from sqlalchemy.exc import TimeoutError

from promptcrafter.database import sqlite
from promptcrafter.database.write_queue import write_queue_lock

_READERS_WAIT_S = 0.05  # for readers of the log, while writers wait in the queue
_QUEUE_WAIT_S = 1.0


def log_size(path: Path) -> int:
    """Return the size of the log in bytes, 0 if there is none."""
    try:
        return Path(f"{path}-wal").stat().st_size
    except OSError:
        return 0


def shrink_log(path: Path) -> None:
    """Empty the log if it is larger than its limit, unless a reader still needs it or the disk is full.

    Writers wait only while an empty log is truncated. The path has no symbolic link in it.
    """
    if log_size(path) > sqlite.LOG_LIMIT_BYTES:
        truncate_log(path)


def truncate_log(path: Path) -> bool:
    """Copy the log into the database file and truncate it; return False if a reader or an error prevents it."""
    if not write_back(path):
        return False
    with suppress(sqlite3.Error, OSError, TimeoutError), write_queue_lock(path, _QUEUE_WAIT_S), _open(path) as database:
        is_busy, _, _ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not is_busy
    return False


def write_back(path: Path) -> bool:
    """Copy the log into the database file, as far as no reader needs the old pages; return whether all was copied.

    Nobody waits for it: other connections read and write meanwhile.
    """
    with suppress(sqlite3.Error), _open(path) as database:
        is_busy, frames, copied = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return not is_busy and frames == copied
    return False


def close_log(path: Path, seconds: float) -> None:
    """Copy the log into the database file and delete it, if no other process has the database open.

    SQLite does so when the last connection is closed. Give up after about `seconds`: the log then stays, and the next
    start reads it.
    """
    with suppress(sqlite3.Error), _open(path) as database:
        timer = Timer(seconds, database.interrupt)
        timer.start()
        try:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            timer.cancel()


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, factory=sqlite.Connection, isolation_level=None, timeout=_READERS_WAIT_S)
    with closing(connection):
        yield connection
