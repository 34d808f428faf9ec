"""The database: its engine, the session of a request, and the ways to access it.

There is one way for each purpose:

purpose                    access                               begins                    commits and closes
-------------------------  -----------------------------------  ------------------------  ---------------------------
read                       `session`; `request_connection()`,   a deferred transaction,   commits nothing; closed with
                           where no objects are needed          at the first statement    the request's context
read one row or a few      `compiled.CompiledQuery`             as `request_connection()` as `request_connection()`;
                                                                if the request has one;   without one, on SQLite,
                                                                else, on SQLite, none     returned at once
write                      `transactions.writing()`             a new one, on SQLite      commits and closes at the
                                                                after the write queue     block's end, or rolls back
write what a reader can    `transactions.                       as `writing()`, after a   as `writing()`; the function
do without                 write_if_possible()`                 short wait for others     returns if it fails
write for long, step by    `transactions.                       as `writing()`            as `writing()`, without a
step                       writing_in_background()`                                       checkpoint
write in several steps,    `transactions.writing_in_bulk()`     as `writing()`, after a   as `writing()`
each of them long                                               queue of such writers
add to an idempotent       `transactions.joined_transaction()`  the `writing()` inside    commits and closes at the
request's transaction      around `writing()`                   begins it                 outer block's end
read one snapshot          `read_snapshot()`                    its own, at the first     commits nothing; the caller
                                                                statement                 closes it
stream a response          `stream_session()`, or               its own, at the first     commits nothing; the caller
                           `stream_snapshot()`                  statement                 closes it
VACUUM, ANALYZE            `transactions.autocommit_connection` none; waits in the write  each statement commits; closed
                                                                queue of SQLite first     at the block's end
write another database     `open_postgresql()`, then            at the block's start      commits and closes at the
                           `transactions.writing_to()`                                    block's end, or rolls back

A request has one connection, which `session` and `request_connection()` share: they see each other's changes. A
response that is streamed has one of its own, because it is sent after the request's has been closed. How many there may
be at a time is bounded, so that slow readers take no connection from requests.
"""

import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, cast

from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as BoundSession
from sqlalchemy import ColumnElement, Connection, Engine, Result, Row, create_engine, text
from sqlalchemy.engine import ChunkedIteratorResult
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from config import Config, ConfigError
from promptcrafter.database import checkpoints, sqlite
from promptcrafter.database.base import Base
from promptcrafter.database.errors import ignoring_unavailable, translating_driver_errors
from promptcrafter.problems import Unavailable

STREAM_ROWS = 20  # of a batch, at most: the value of the option `yield_per` for results that `each_batch` reads
_EXTENSION = "promptcrafter-database"
FEW_ROWS = 5  # of the first batch of a result, whose size is not known yet
_BATCH_CHARACTERS = 2 * 1024 * 1024
_STREAMS_PER_THREAD = 2


@dataclass(frozen=True)
class _Database:
    """The settings that `init_app` stores in `app.extensions`."""

    sqlite_path: Path | None  # None on PostgreSQL
    lock_timeout_s: float
    stream_slots: BoundedSemaphore
    make_error: Callable[[Exception], ConfigError]  # that says why the SQLite file cannot be used


class TooManyStreams(Unavailable):
    """503: as many responses are being streamed as may be at a time."""

    def __init__(self) -> None:
        super().__init__("Too many long responses are being read at the moment. Try again.", "too_many_streams")


def weigh(row: Row[Any]) -> int:
    """Return how many characters of text a row has in its columns; if it begins with a model object, in those of it."""
    values = vars(row[0]).values() if hasattr(row[0], "__dict__") else row
    return sum([len(value) for value in values if value.__class__ is str])


class ReadSession(Session):
    """A read-only session whose `close()` ignores a lost connection; loaded objects stay usable.

    It may be used in another thread than the one that has created it, by one thread at a time. One
    that has an engine of its own may have been open for long, as for a stream. What was written meanwhile has collected
    in SQLite's log, so `close()` looks after its size.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._results: list[Result[Any]] = []

    def each_batch(
        self, result: Result[Any], most: int = STREAM_ROWS, first: int = 0, weigh_row: Callable[[Row[Any]], int] = weigh
    ) -> Iterator[Sequence[Row[Any]]]:
        """Yield the rows of a result in batches of about `_BATCH_CHARACTERS`, and of `most` rows at most.

        The first batch has `first` rows, by default few, because their size is not known yet. Of objects it has `most`
        by default, because each batch takes further statements if the objects have parts. `weigh_row` returns how many
        characters a row has.

        `close` ends the result, even if not all of it has been read. Otherwise its statement would go on in SQLite, and
        the next transaction of the connection would find a snapshot that is older than what it wants to change.
        """
        self._results.append(result)
        has_objects = isinstance(result, ChunkedIteratorResult)
        size = min(most, first or (most if has_objects else FEW_ROWS))
        while True:
            if has_objects:
                result.yield_per(size)  # otherwise they are loaded in batches of the option's size on SQLite
            rows = result.fetchmany(size)
            if not rows:
                return
            size = min(most, 2 * size, max(1, _BATCH_CHARACTERS // max(1, *map(weigh_row, rows))))
            yield rows
            del rows  # before the next ones are fetched

    def close(self) -> None:
        with ignoring_unavailable():
            while self._results:
                self._results.pop().close()
            super().close()
        if isinstance(self.bind, Engine) and self.bind.dialect.name == "sqlite":
            checkpoints.shrink_log(Path(os.path.realpath(str(self.bind.url.database))))


class StreamSession(ReadSession):
    """A session for a response that is sent after the request has ended.

    It takes one of the application's slots for streams until it is closed. Raises TooManyStreams when all are taken.
    """

    def __init__(self, bind: Engine) -> None:
        super().__init__(bind)
        slots = _database().stream_slots
        if not slots.acquire(blocking=False):
            raise TooManyStreams
        self._give_back = weakref.finalize(self, slots.release)  # once, and also if a response is never closed
        self._give_back.atexit = False

    def close(self) -> None:
        super().close()
        self._give_back()


class RequestSession(ReadSession, BoundSession):
    """The session of a request, bound to the one connection that the request has.

    Statements that need no objects run on that connection without the session, whose bookkeeping takes longer than
    they do.
    """

    open_connection: Connection | None = None
    is_writing = False  # inside a write transaction, which `transactions` begins and ends

    def get_connection(self) -> Connection:
        """Return the request's connection, in a transaction; open it and begin one if need be. Raises DBAPIError."""
        if self.open_connection is None:
            self.open_connection = get_engine().connect()
        if not self.open_connection.in_transaction():
            self.open_connection.begin()
        return self.open_connection

    def get_bind(self, *args: Any, **options: Any) -> Connection:
        """Return the request's connection, whatever the statement is about."""
        return self.get_connection()

    def release(self) -> None:
        """Return the connection to the pool; what is not committed is rolled back. Raises DBAPIError."""
        connection, self.open_connection = self.open_connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Detach all objects and release the connection, even if the database is unavailable."""
        if self.identity_map or self.in_transaction():
            super().close()
        with ignoring_unavailable():
            self.release()


_db = SQLAlchemy(
    model_class=Base,
    session_options={
        "class_": RequestSession,
        "expire_on_commit": False,
        "join_transaction_mode": "rollback_only",  # the session must not commit the connection's transaction
    },
)
session = _db.session


def request_session() -> RequestSession:
    """Return the session that `session` stands for in this request."""
    return cast(RequestSession, session())


def request_connection() -> Connection:
    """Return the request's connection, in a transaction, for statements that need no objects. Raises DBAPIError."""
    return request_session().get_connection()


@contextmanager
def sqlite_connection() -> Iterator[sqlite3.Connection]:
    """Yield SQLite's own connection for one SELECT: that of the request if it has one, which shares its transaction.

    Otherwise it is one of the pool without a transaction, because beginning and ending one takes longer than the
    statement. Raises DBAPIError.
    """
    if session.registry.has() and request_session().open_connection is not None:
        yield driver_of(request_connection())
        return
    with translating_driver_errors():
        pooled = get_engine().raw_connection()
        try:
            driver = cast(sqlite.Connection, pooled.dbapi_connection)
            driver.check_file()
            yield driver
        finally:
            pooled.close()


def driver_of(connection: Connection) -> sqlite3.Connection:
    """Return the driver's connection below SQLAlchemy's; they share the transaction."""
    return cast(sqlite3.Connection, connection.connection.dbapi_connection)


def read_snapshot() -> ReadSession:
    """Return a new session that sees the database as it was at its first statement; the caller closes it.

    The request's own session is closed first, so that the request does not hold two connections.
    """
    session.close()
    return ReadSession(_snapshot_engine())


def stream_session() -> StreamSession:
    """Return a new session for the rows of a response that is streamed; the caller closes it. Raises TooManyStreams.

    The request's own session is closed first, as by `read_snapshot`.
    """
    session.close()
    return StreamSession(get_engine())


def stream_snapshot() -> StreamSession:
    """Return what `stream_session` returns, but all of its statements see one snapshot."""
    session.close()
    return StreamSession(_snapshot_engine())


def describe_database() -> str:
    """Return the URL of the current application's database without a password."""
    url = get_engine().url
    return url.difference_update_query(["password", "sslpassword"]).render_as_string()


def get_engine() -> Engine:
    """Return the engine of the current application."""
    return _db.engine


def sqlite_path() -> Path | None:
    """Return the path of the current application's SQLite file, without symbolic links; None on PostgreSQL."""
    return _database().sqlite_path


def lock_timeout_s() -> float:
    """Return how many seconds a request waits in the write queue."""
    return _database().lock_timeout_s


def is_sqlite() -> bool:
    """Return whether the current application runs on SQLite."""
    return get_engine().dialect.name == "sqlite"


def database_size() -> int:
    """Return how many bytes the database takes. Raises DBAPIError, or OSError when the SQLite file is gone."""
    path = sqlite_path()
    if path is None:
        return int(session.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    log = Path(f"{path}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return an equal expression for which SQLite uses no index, so that a query begins with the full-text index."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type) if is_sqlite() else column


def ensure_database() -> None:
    """Create the current application's SQLite file if it does not exist; do nothing on PostgreSQL.

    Raises ConfigError if that fails, or if the file is missing or empty although there was a database.
    """
    database = _database()
    if database.sqlite_path is not None:
        try:
            sqlite.refuse_lost(database.sqlite_path)
            sqlite.ensure_file(database.sqlite_path)
        except (OSError, sqlite3.Error) as error:
            raise database.make_error(error) from error


def init_app(app: Flask, config: Config) -> None:
    """Bind the session to the configured database and set up its connections.

    Raises ConfigError if the SQLite file could not be one. It is neither created nor opened: see `ensure_database`; and
    PostgreSQL is not connected to.
    """
    app.config["SQLALCHEMY_DATABASE_URI"] = config.database_url
    app.config["DATABASE_VARIABLE"] = config.database_variable
    seconds = config.database_timeout_ms / 1000
    streams = _STREAMS_PER_THREAD * config.web_threads
    path = None
    if config.database_url.startswith("sqlite"):
        # resolved, since the lock files lie beside the file itself
        path = sqlite.path_of(config.database_url).resolve()
        try:
            sqlite.refuse_no_file(path)
        except OSError as error:
            raise config.database_error(error) from error
        options: dict[str, Any] = {
            "connect_args": {"timeout": seconds, "isolation_level": None, "factory": sqlite.Connection}
        }
    else:
        options = {"connect_args": _postgresql_arguments(config.database_timeout_ms), "pool_pre_ping": True}
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        **options,
        "pool_size": config.web_threads,
        # one more for each thread, which no request keeps while it waits for another one
        "max_overflow": config.web_threads + streams,
        "pool_timeout": seconds,
        "hide_parameters": True,
    }
    app.extensions[_EXTENSION] = _Database(path, seconds, BoundedSemaphore(streams), config.database_error)
    _db.init_app(app)
    with app.app_context():
        # SQLite deletes its log when the last connection is closed, which the end of a command alone does not do
        weakref.finalize(app, get_engine().dispose)
        if is_sqlite():
            sqlite.configure_engine(get_engine(), config)
        else:
            from promptcrafter.database import postgresql  # loads the driver

            app.before_request(postgresql.limit_engine(get_engine(), seconds))


@contextmanager
def open_postgresql(url: str, timeout_ms: int) -> Iterator[Engine]:
    """Yield an engine for a PostgreSQL database that is not the application's; dispose of it at the block's end."""
    from promptcrafter.database import postgresql

    engine = create_engine(url, connect_args=_postgresql_arguments(timeout_ms), hide_parameters=True)
    postgresql.limit_engine(engine, timeout_ms / 1000)
    try:
        yield engine
    finally:
        engine.dispose()


def _snapshot_engine() -> Engine:
    """Return the engine whose transactions see one snapshot: on SQLite each transaction does."""
    engine = get_engine()
    return engine if is_sqlite() else engine.execution_options(isolation_level="REPEATABLE READ")


def _postgresql_arguments(timeout_ms: int) -> dict[str, Any]:
    """Return psycopg's connection parameters, such that both sides notice a lost network soon."""
    seconds = round(timeout_ms / 1000)
    keepalives = {"idle": max(1, seconds), "interval": 1, "count": 3}
    # for the server's side: otherwise the locks of a transaction would be held for hours after the network is lost
    settings = {
        "timezone": "UTC",
        "lock_timeout": timeout_ms,
        "tcp_user_timeout": timeout_ms,
        **{f"tcp_keepalives_{name}": value for name, value in keepalives.items()},
    }
    return {
        "client_encoding": "UTF8",  # the driver reads nothing from a server of SQL_ASCII in its own encoding
        "connect_timeout": max(2, seconds),
        "tcp_user_timeout": timeout_ms,
        **{f"keepalives_{name}": value for name, value in keepalives.items()},
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
    }


def _database() -> _Database:
    database: _Database = current_app.extensions[_EXTENSION]
    return database
