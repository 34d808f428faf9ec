"""Work that one process does at a time, of all that share the database."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import func, select

from promptcrafter.database import sqlite
from promptcrafter.database.errors import ignoring_unavailable
from promptcrafter.database.session import get_engine, sqlite_path


@contextmanager
def only_process(suffix: str, key: int) -> Iterator[bool]:
    """Hold a lock of the database inside the block; yield False if another process holds it.

    On SQLite it is the lock file with this suffix, on PostgreSQL the advisory lock with this key.
    """
    path = sqlite_path()
    if path is None:
        with _advisory_lock(key) as is_locked:
            yield is_locked
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(sqlite.exclusive_lock(path, suffix))
        except sqlite.InUse:
            yield False
        else:
            yield True


@contextmanager
def _advisory_lock(key: int) -> Iterator[bool]:
    """Hold a lock of PostgreSQL on a connection of its own, which does not stay in a transaction."""
    connection = get_engine().connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        is_locked = bool(connection.scalar(select(func.pg_try_advisory_lock(key))))
        yield is_locked
        if is_locked:
            connection.scalar(select(func.pg_advisory_unlock(key)))
    except BaseException:
        connection.invalidate()  # the lock ends with it
        raise
    finally:
        with ignoring_unavailable():
            connection.close()
