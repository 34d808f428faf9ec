"""The database: one session a request, and what differs between SQLite and PostgreSQL.

Reads run in a deferred transaction that ends with the request. Every write runs in `writing()`, which takes
SQLite's write lock at its beginning: a transaction that reads first and writes later would lose to "database
is locked" whatever the timeout.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask, current_app
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    event,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine

from config import Config
from promptcrafter import clock
from promptcrafter.jsonio import dumps

WRITE_LOCKED = {"promptcrafter_begin": "BEGIN IMMEDIATE"}  # execution options: SQLite's transaction begins as a writer
_QUEUE = "promptcrafter-write-queue"
_SQLITE_UNAVAILABLE = tuple(
    f"SQLITE_{name}" for name in ["BUSY", "LOCKED", "CANTOPEN", "IOERR", "FULL", "READONLY", "CORRUPT", "NOTADB"]
)
_SEARCH_TABLES = ("prompt_trigrams", "prompt_grams", "log_search", "log_words")
_SEARCH_INDICES = ("ix_prompt_search_",)


class Base(DeclarativeBase):
    """The base of every model; constraints are named by convention so that migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


_db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_migrate = Migrate(directory=str(_MIGRATIONS))
session = _db.session


SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER PRIMARY KEY is SQLite's row id


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time in milliseconds: a timestamp on PostgreSQL, sortable RFC 3339 text on SQLite."""

    impl = String(24)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else String(24))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return clock.to_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return clock.from_text(value) if isinstance(value, str) else value


class JsonText(TypeDecorator[Any]):
    """A JSON value kept as the text it was, key order and all, the same on both databases."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


@contextmanager
def writing() -> Iterator[None]:
    """Run a block as one write transaction, committed at its end and rolled back when it raises.

    What was read before is let go first, so the block sees nothing stale: read again what it changes.
    """
    later = _later.get()
    if later is not None and later.has_transaction:
        raise RuntimeError("the transaction that is to be committed later would be lost")
    session.close()
    with ExitStack() as transaction:
        transaction.enter_context(_turn_to_write())
        transaction.enter_context(session.begin())
        session.connection(execution_options=WRITE_LOCKED)
        if later is not None:
            later.begin()
        yield
        if later is not None:
            later.take(transaction.pop_all())


@contextmanager
def committing_later(begin: Callable[[], None]) -> Iterator[None]:
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


@contextmanager
def _turn_to_write() -> Iterator[None]:
    """Wait in line for SQLite's write lock: writers that meet it taken sleep and retry, and the unlucky starve.

    A lock on a file beside the database is handed on in order, among threads and processes alike. It guards
    nothing: whoever writes without it meets SQLite's own lock. Raises TimeoutError when the turn came too late.
    """
    path, seconds = current_app.extensions[_QUEUE]
    if path is None:
        yield
        return
    started = time.monotonic()
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        if time.monotonic() - started > seconds:  # those ahead have waited for the lock in vain: so would this one
            raise TimeoutError("no turn to write")
        yield
    finally:
        os.close(file)


def engine() -> Engine:
    """Return the engine of the current application."""
    return _db.engine


def is_sqlite() -> bool:
    """Tell whether the current application runs on SQLite."""
    return engine().dialect.name == "sqlite"


def is_unavailable(error: DBAPIError) -> bool:
    """Tell whether a driver's error says that the database is busy, away or broken rather than the statement wrong."""
    if error.connection_invalidated:
        return True
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    if name:
        return name.startswith(_SQLITE_UNAVAILABLE)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError | InterfaceError)  # the connection itself failed
    # 08 connection, 53 resources, 57 operator intervention, 55P03 lock not available, 40 serialization, 25006 standby
    return str(state).startswith(("08", "53", "57", "55P03", "40", "25006"))


def violates(error: DBAPIError, constraint: str) -> bool:
    """Tell whether a driver's error is about the constraint of that name, such as `uq_users_email_key`.

    SQLite names the columns of a unique constraint and no foreign key at all: there any foreign key answers.
    """
    text = str(error.orig)
    if "UNIQUE constraint failed: " in text:
        columns = [name.split(".") for name in text.rpartition(": ")[2].split(", ")]
        return constraint == "_".join(["uq", columns[0][0], *(column for _, column in columns)])
    if "FOREIGN KEY constraint failed" in text:
        return constraint.startswith("fk_")
    return constraint in text


def is_migrated() -> bool:
    """Tell whether every migration of this release has been applied, and perhaps some of the next.

    Raises DBAPIError when the database is away.
    """
    with engine().connect() as connection:
        applied = set(MigrationContext.configure(connection).get_current_heads())
    return bool(applied) and not applied & _older_revisions()


@cache
def _older_revisions() -> set[str]:
    scripts = ScriptDirectory(_MIGRATIONS)
    return {script.revision for script in scripts.walk_revisions()} - set(scripts.get_heads())


def init_app(app: Flask, config: Config) -> None:
    """Bind the session to the configured database and prepare its connections."""
    app.config["SQLALCHEMY_DATABASE_URI"] = config.database_url
    seconds = config.database_timeout_ms / 1000
    app.extensions[_QUEUE] = (None, seconds)
    if config.database_url.startswith("sqlite"):
        path = Path(config.database_url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        app.extensions[_QUEUE] = (f"{path}-queue", seconds)
        path.touch(mode=0o600)  # it will hold password hashes; SQLite gives its neighbours the same mode
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
            "connect_args": {"timeout": seconds, "isolation_level": None},
            "pool_size": config.web_threads,
            "pool_timeout": seconds,
            "hide_parameters": True,
        }
    else:
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
            "connect_args": {
                "connect_timeout": max(2, round(seconds)),
                # a network that falls silent is noticed within the time a request may wait
                "keepalives_idle": max(1, round(seconds)),
                "keepalives_interval": 1,
                "keepalives_count": 3,
                "tcp_user_timeout": config.database_timeout_ms,
                "options": f"-c timezone=UTC -c lock_timeout={config.database_timeout_ms}",
            },
            "pool_size": config.web_threads,
            "pool_timeout": seconds,
            "pool_pre_ping": True,
            "hide_parameters": True,
        }
    _older_revisions()  # those of the code that is loaded, not of what may lie there later
    _db.init_app(app)
    _migrate.init_app(app, _db)
    with app.app_context():
        if is_sqlite():
            _prepare_sqlite(engine(), config)


def _prepare_sqlite(target: Engine, config: Config) -> None:
    @event.listens_for(target, "connect")
    def configure(connection: Any, record: Any) -> None:
        for pragma in (
            f"busy_timeout={config.database_timeout_ms}",
            "journal_mode=WAL",
            f"synchronous={config.sqlite_synchronous.upper()}",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(target, "begin")
    def begin(connection: Connection) -> None:
        # The driver's own transactions are off (isolation_level None): it never begins before a read
        connection.exec_driver_sql(connection.get_execution_options().get("promptcrafter_begin", "BEGIN"))


def is_ours(name: str | None, kind: str) -> bool:
    """Tell Alembic whether a table or index is in the models: those of the search are in the migrations alone."""
    return not str(name).startswith({"table": _SEARCH_TABLES, "index": _SEARCH_INDICES}.get(kind, ("-",)))
