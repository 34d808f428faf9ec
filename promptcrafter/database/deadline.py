"""A limit for how long SQLite executes statements of a request; PostgreSQL's is in `postgresql.py`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

from sqlalchemy.exc import DBAPIError

from promptcrafter.database.errors import find_code
from promptcrafter.database.session import driver_of, is_sqlite, request_connection

_EVERY = 100_000  # instructions of SQLite's machine, about a millisecond


class TookTooLong(Exception):
    """SQLite has executed statements for as long as it may."""


@contextmanager
def sqlite_deadline(seconds: float) -> Iterator[None]:
    """Let SQLite execute the statements in the block, which read, for so many seconds at most. Raises TookTooLong."""
    if not is_sqlite():
        yield
        return
    driver, own, end = driver_of(request_connection()), get_ident(), time.monotonic() + seconds
    # another thread may get the connection before the end of the block
    driver.set_progress_handler(lambda: get_ident() == own and time.monotonic() > end, _EVERY)
    try:
        yield
    except DBAPIError as error:
        if find_code(error) == "SQLITE_INTERRUPT":
            raise TookTooLong from error
        raise
    finally:
        driver.set_progress_handler(None, 0)
