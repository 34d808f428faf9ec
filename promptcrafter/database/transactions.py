"""Write transactions: when they begin, how writers wait for each other, and what waits for their commit.

Every write runs in `writing()`, which takes SQLite's write lock at its beginning: a transaction that reads first and
writes later would lose to "database is locked" whatever the timeout.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Connection

from promptcrafter.database import sqlite
from promptcrafter.database.session import (
    get_engine,
    is_sqlite,
    lock_timeout_s,
    session,
    sqlite_path,
    write_transaction,
)

_ON_COMMIT = "promptcrafter_on_commit"


@contextmanager
def writing() -> Iterator[None]:
    """Run a block as one write transaction, committed at its end and rolled back when it raises.

    What was read before is let go first, so the block sees nothing stale: read again what it changes.
    """
    later = _later.get()
    if later is None:
        with _transaction():
            yield
        return
    if later.has_transaction:
        raise RuntimeError("the transaction that is to be committed later would be lost")
    with ExitStack() as transaction:
        transaction.enter_context(_transaction())
        later.begin()
        yield
        later.take(transaction.pop_all())


@contextmanager
def joined_transaction(begin: Callable[[], None]) -> Iterator[None]:
    """Leave the transaction of the one `writing()` inside open until this block ends, so that it can add to it.

    `begin` is called at the transaction's beginning. Until the block ends, it holds whatever `writing()` holds.
    """
    with ExitStack() as stack:
        token = _later.set(_Later(begin, stack))
        try:
            yield
        finally:
            _later.reset(token)


class _Later:
    def __init__(self, begin: Callable[[], None], stack: ExitStack) -> None:
        self.begin = begin
        self._stack = stack
        self.has_transaction = False

    def take(self, transaction: ExitStack) -> None:
        """Commit this transaction later."""
        self._stack.push(transaction)
        self.has_transaction = True


_later: ContextVar[_Later | None] = ContextVar("promptcrafter_later", default=None)


def on_commit(call: Callable[[], Any]) -> None:
    """Call this when the `writing()` around has committed, and never when it is rolled back."""
    session.info.setdefault(_ON_COMMIT, []).append(call)


@contextmanager
def _transaction() -> Iterator[None]:
    session.close()  # before the wait: what was read holds a connection
    session.info.pop(_ON_COMMIT, None)  # of a transaction that was rolled back
    with _turn_to_write(), write_transaction():
        yield
    for call in session.info.pop(_ON_COMMIT, ()):
        call()


@contextmanager
def autocommit_connection() -> Iterator[Connection]:
    """Yield a connection on which each statement commits itself, in its turn among the writers.

    What was read before is let go first.
    """
    session.close()
    with _turn_to_write(), get_engine().connect() as connection:
        if is_sqlite():
            sqlite.begin_next(connection, "")
            yield connection
        else:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def _turn_to_write() -> Iterator[None]:
    """Wait in line with the other writers, where there is a line. Raises TimeoutError when the turn came too late."""
    path = sqlite_path()
    if path is None:
        yield
        return
    with sqlite.write_queue_lock(path, lock_timeout_s()):
        yield
