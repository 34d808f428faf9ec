"""Write transactions: the queue for SQLite's write lock, the begin, the commit, and what runs before and after it.

On SQLite a write transaction takes the write lock at its beginning: one that reads first and writes later would fail
with "database is locked" whatever the timeout. `database/session.py` lists all ways to access the database.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError, TimeoutError

from promptcrafter.database import revisions, sqlite
from promptcrafter.database.errors import ignoring_unavailable, is_deadlock, is_unavailable, translating_driver_errors
from promptcrafter.database.session import (
    RequestSession,
    get_engine,
    is_sqlite,
    lock_timeout_s,
    request_session,
    session,
    sqlite_path,
)
from promptcrafter.database.write_queue import bulk_write_queue_lock, write_queue_lock
from promptcrafter.problems import Unavailable

_BEFORE_COMMIT, _ON_COMMIT = "promptcrafter_before_commit", "promptcrafter_on_commit"
_ATTEMPTS = 4  # of what ends in deadlocks; each of them takes a second
_Written = TypeVar("_Written")
_Queue = Callable[[Path, float], AbstractContextManager[float]]
_SHORT_WAIT_S = 0.1  # in the queue; the pragma that shortens the wait after it takes some microseconds
_OPTIONAL_WAIT_S = 0.25  # of a request that only reads, for a write that may be left out


@contextmanager
def writing() -> Iterator[None]:
    """Run the block as one write transaction: committed at its end, rolled back when it raises.

    The session is closed first, so the block must load again what it changes, and sees nothing stale. Inside
    `joined_transaction()` the transaction stays open until that block ends. The block must not write in a transaction
    of its own, nor close the session, as reading a snapshot does: RuntimeError reports either.

    Raises DBAPIError, SQLAlchemy's TimeoutError when the wait in the write queue is too long, and NotMigrated or
    NewerSchema when this release must not write to the schema, which cannot change before the transaction ends.
    """
    joined = _joined.get()
    if joined is None:
        with _transaction():
            yield
        return
    if joined.has_transaction:
        raise RuntimeError("a joined transaction takes one `writing()`, not two")
    with ExitStack() as transaction:
        transaction.enter_context(_transaction())
        joined.begin()
        yield
        joined.keep_open(transaction.pop_all())


def write_until_done(write: Callable[[], _Written]) -> _Written:
    """Return the result of `write`, which has one `writing()`; call it again, a few times, after a deadlock.

    For what locks many rows that other requests refer to in any order, such as the deletion of an account.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return write()
        except DBAPIError as error:
            if not is_deadlock(error):
                raise
    return write()


def write_if_possible(write: Callable[[], object], wait_s: float = _OPTIONAL_WAIT_S) -> bool:
    """Call `write` as one write transaction, not in a joined one; return whether it was committed.

    For what a request that only reads writes by the way: it must not fail, nor wait for long, because the database is
    busy, read-only or full, or another release's. `wait_s` is how long to wait for other writers, at most the usual
    time. Raises what `writing()` does otherwise, and what `write` raises.
    """
    try:
        with _transaction(wait_s=min(wait_s, lock_timeout_s())):
            write()
    except (Unavailable, TimeoutError):
        return False
    except DBAPIError as error:
        if not is_unavailable(error):
            raise
        return False
    return True


@contextmanager
def writing_in_background() -> Iterator[None]:
    """Run the block as `writing()` does, but not in a joined transaction, and on SQLite without a checkpoint.

    A checkpoint is a part of a commit, and lets other writers wait. Call `checkpoints.write_back` after the block.
    """
    with _transaction(sqlite.without_checkpoints if is_sqlite() else nullcontext):
        yield


@contextmanager
def writing_in_bulk() -> Iterator[None]:
    """Run the block as `writing()` does, but not in a joined transaction, and let others write in between.

    For one of several transactions that a request has because each of them holds SQLite's write lock for long: any
    other writer waits for one of all of these at most.
    """
    with _transaction(queue=bulk_write_queue_lock):
        yield


@contextmanager
def joined_transaction(begin: Callable[[], None]) -> Iterator[None]:
    """Keep the transaction of the one `writing()` inside open until this block ends, so that the block can add to it.

    `begin` is called at the start of that transaction. When this block raises, the transaction is rolled back.
    """
    with ExitStack() as stack:
        token = _joined.set(_Joined(begin, stack))
        try:
            yield
        finally:
            _joined.reset(token)


class _Joined:
    """The state of a `joined_transaction()` block, which `writing()` inside it looks up."""

    def __init__(self, begin: Callable[[], None], stack: ExitStack) -> None:
        self.begin = begin
        self._stack = stack
        self.has_transaction = False

    def keep_open(self, transaction: ExitStack) -> None:
        """Let the outer block end this transaction."""
        self._stack.push(transaction)
        self.has_transaction = True


_joined: ContextVar[_Joined | None] = ContextVar("promptcrafter_joined", default=None)


def lock_name(name: str) -> None:
    """Let another transaction that locks this name wait until the commit. On SQLite the write lock does so already.

    A row would not do: a write that refers to a locked row waits for it, too, and two of them can deadlock.
    """
    if not is_sqlite():
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def share_name(name: str) -> None:
    """Let a transaction that calls `lock_name` for this name wait until the commit, and none that shares it, too."""
    if not is_sqlite():
        session.execute(select(func.pg_advisory_xact_lock_shared(func.hashtextextended(name, 0))))


def before_commit(key: Hashable, check: Callable[[], None]) -> None:
    """Call `check` when all of the enclosing `writing()` is written, and roll that back if it raises.

    Of several checks with one key, only the last one is called.
    """
    session.info.setdefault(_BEFORE_COMMIT, {})[key] = check


def collect_before_commit(key: Hashable, items: Iterable[str], write: Callable[[Collection[str]], None]) -> None:
    """Call `write` once when all of the enclosing `writing()` is written, with all items that were collected by then.

    `write` is the same in each call with one key.
    """
    session.info.setdefault(_BEFORE_COMMIT, {}).setdefault(key, _Collection(write)).items.update(items)


class _Collection:
    """A check of `before_commit` that writes what was collected."""

    def __init__(self, write: Callable[[Collection[str]], None]) -> None:
        self._write = write
        self.items: set[str] = set()

    def __call__(self) -> None:
        self._write(self.items)


def on_commit(callback: Callable[[], Any]) -> None:
    """Call `callback` after the enclosing `writing()` has committed; drop it when that is rolled back."""
    session.info.setdefault(_ON_COMMIT, []).append(callback)


@contextmanager
def autocommit_connection() -> Iterator[Connection]:
    """Yield a connection on which each statement commits itself; on SQLite it waits in the write queue first.

    The session is closed first. Raises DBAPIError, and TimeoutError as `writing()` does.
    """
    _refuse_nested(request_session())
    session.close()
    with _wait_in(write_queue_lock), get_engine().connect() as connection:
        if is_sqlite():
            sqlite.begin_next(connection, "")
            yield connection
        else:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def writing_to(engine: Engine) -> Iterator[Connection]:
    """Yield a connection of another database, in one transaction: committed at the end, rolled back on an error."""
    connection = engine.connect()
    try:
        connection.begin()
        yield connection
        connection.commit()
    finally:
        with ignoring_unavailable():
            connection.close()


@contextmanager
def _transaction(
    around: Callable[[Connection], AbstractContextManager[object]] = nullcontext,
    queue: _Queue = write_queue_lock,
    wait_s: float | None = None,
) -> Iterator[None]:
    """Run the block in a write transaction of the request's session, then call what `on_commit` has registered.

    `around` makes a context, from the connection, for the block and the commit. `queue` is where to wait on SQLite,
    and `wait_s` how long to wait for other writers, if it is not the usual time.
    """
    request = request_session()
    _refuse_nested(request)
    request.close()  # before the wait: its connection goes back to the pool
    for name in (_BEFORE_COMMIT, _ON_COMMIT):
        request.info.pop(name, None)  # of a transaction that was rolled back
    with _wait_in(queue, wait_s) as seconds_left:
        try:
            request.is_writing = True
            connection = _begin(request, seconds_left)
            with around(connection):
                yield
                _commit(request, connection)
            request.release()
        except BaseException:
            request.close()
            raise
        finally:
            request.is_writing = False
    for callback in request.info.pop(_ON_COMMIT, ()):
        callback()


def _refuse_nested(request: RequestSession) -> None:
    """Raise RuntimeError inside a write transaction: a second one would end it, and on SQLite wait for itself first."""
    if request.is_writing:
        raise RuntimeError("a write transaction inside another one of the same request")


@contextmanager
def _wait_in(queue: _Queue, wait_s: float | None = None) -> Iterator[float]:
    """Wait for the other writers on SQLite, and yield how long the begin may wait; PostgreSQL has no queue."""
    seconds = lock_timeout_s() if wait_s is None else wait_s
    path = sqlite_path()
    if path is None:
        yield seconds
        return
    with ExitStack() as turn:
        try:
            seconds_left = turn.enter_context(queue(path, seconds))
        except OSError as error:
            with translating_driver_errors():
                raise sqlite.lock_file_error(error) from error
        yield seconds_left


def _begin(request: RequestSession, seconds_left: float) -> Connection:
    connection = request.open_connection = get_engine().connect()
    usual = lock_timeout_s()
    if is_sqlite():
        sqlite.prepare_to_write(connection)
        if usual - seconds_left < _SHORT_WAIT_S:
            connection.begin()
        else:  # a program that is not in the queue may hold SQLite's own lock: both waits together have one timeout
            with sqlite.busy_timeout(connection, seconds_left, usual):
                connection.begin()
        applied = sqlite.read_revisions(connection)
    else:
        from promptcrafter.database import postgresql  # loads the driver

        postgresql.prepare_to_write(connection)
        connection.begin()
        applied = postgresql.read_revisions(connection, None if seconds_left == usual else seconds_left)
    if applied != [revisions.HEAD]:
        revisions.refuse_mismatch(connection, applied)
    return connection


def _commit(request: RequestSession, connection: Connection) -> None:
    request.flush()
    for check in request.info.pop(_BEFORE_COMMIT, {}).values():
        check()
    if request.open_connection is not connection:
        raise RuntimeError("the session was closed inside of `writing()`, which has rolled back what was written")
    connection.commit()
    if request.in_transaction():
        request.commit()  # ends the session's own transaction, which is part of the connection's
