"""The queue of writers on SQLite: a lock file beside the database, which the kernel grants in the order of requests.

Writers that find SQLite's own write lock taken sleep and retry, and some starve. The queue orders threads and
processes alike. It only orders writers: SQLite's own lock still protects the database.

The kernel's lock cannot be waited for with a timeout. So a thread that finds it taken does not wait for it itself: it
joins the line of its process, whose first place a helper thread takes in the kernel's queue, and leaves that line when
its time is up. The helper thread is started when a writer waits for the first time.
"""

import fcntl
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Condition, Lock, Thread

from sqlalchemy.exc import TimeoutError

from promptcrafter.database import sqlite


class _Ticket:
    """A place in the line: `granted` is released when the locked file, or the error that prevents it, is there."""

    def __init__(self) -> None:
        self.granted = Lock()
        self.granted.acquire()
        self.file: int | None = None
        self.error: OSError | None = None


class _Line:
    """The threads of this process that wait for one lock file of one database."""

    def __init__(self, database: Path, suffix: str) -> None:
        self._database = str(database)
        self._suffix = suffix
        self._changed = Condition(Lock())
        self._tickets: deque[_Ticket] = deque()
        self._helper: Thread | None = None

    def acquire(self, seconds: float) -> int:
        """Return the descriptor of the locked file; closing it releases the lock. Raises TimeoutError and OSError."""
        with self._changed:
            if not self._tickets:
                file = sqlite.open_locked(self._database, self._suffix, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if file is not None:
                    return file
            if self._helper is None:
                helper = Thread(target=self._serve, name="write-queue", daemon=True)
                helper.start()
                self._helper = helper
            ticket = _Ticket()
            self._tickets.append(ticket)
            self._changed.notify()
        if not ticket.granted.acquire(timeout=seconds):
            with self._changed:
                if ticket in self._tickets:
                    self._tickets.remove(ticket)
                    raise TimeoutError("no turn to write")
        if ticket.error is not None:
            raise ticket.error
        assert ticket.file is not None
        return ticket.file

    def _serve(self) -> None:
        """Wait in the kernel's queue in place of the first thread of the line, and give it the locked file."""
        while True:
            with self._changed:
                while not self._tickets:
                    self._changed.wait()
            file, error = None, None
            try:
                file = sqlite.open_locked(self._database, self._suffix, fcntl.LOCK_EX)
            except OSError as failure:
                error = failure
            with self._changed:
                if self._tickets:
                    ticket = self._tickets.popleft()
                    ticket.file, ticket.error = file, error
                    ticket.granted.release()
                elif file is not None:  # all have left the line
                    os.close(file)


@contextmanager
def write_queue_lock(database: Path, seconds: float) -> Iterator[float]:
    """Hold the first place in the queue inside the block; yield how many of the `seconds` are left.

    The path `database` must have no symbolic link in it. Raises SQLAlchemy's TimeoutError after `seconds`, and OSError
    if the lock file cannot be opened or locked.
    """
    with _hold(database, sqlite.WRITE_QUEUE_SUFFIX, seconds) as seconds_left:
        yield seconds_left


@contextmanager
def bulk_write_queue_lock(database: Path, seconds: float) -> Iterator[float]:
    """Do the same for a writer that holds the place for long.

    Of these, only one at a time is in the queue, the others wait in one before it: so any other writer waits for one of
    them at most.
    """
    with (
        _hold(database, sqlite.BULK_QUEUE_SUFFIX, seconds) as seconds_left,
        write_queue_lock(database, seconds_left) as seconds_left,
    ):
        yield seconds_left


@contextmanager
def _hold(database: Path, suffix: str, seconds: float) -> Iterator[float]:
    started = time.monotonic()
    file = _line_of(database, suffix).acquire(seconds)
    try:
        yield max(0.0, seconds - (time.monotonic() - started))
    finally:
        os.close(file)


@cache
def _line_of(database: Path, suffix: str) -> _Line:
    return _Line(database, suffix)


os.register_at_fork(after_in_child=_line_of.cache_clear)  # the helper thread does not exist in the child
