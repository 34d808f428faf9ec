"""The database: one session a request, and what differs between SQLite and PostgreSQL.

Reads run in a deferred transaction that ends with the request, writes in `transactions.writing`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as BoundSession
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from config import Config
from promptcrafter.database import sqlite
from promptcrafter.database.base import Base
from promptcrafter.database.errors import is_unavailable

_QUEUE = "promptcrafter-write-queue"


class ReadSession(Session):
    """A session whose end never fails: what it has read stays read when the database has gone away since then."""

    def close(self) -> None:
        with _though_unavailable():
            super().close()


class _RequestSession(ReadSession, BoundSession):
    """The session of a request, which takes part in the transactions of the request's one connection.

    So statements that need no objects need no session: its bookkeeping takes longer than they do.
    """

    _held: Connection | None = None

    def hold(self) -> Connection:
        """Return the connection, in a transaction."""
        if self._held is None:
            self._held = get_engine().connect()
        if not self._held.in_transaction():
            self._held.begin()
        return self._held

    def begin_as_writer(self) -> None:
        """Begin a transaction on a new connection; SQLite's takes the write lock at once."""
        self._held = get_engine().connect()
        if is_sqlite():
            sqlite.begin_next(self._held, sqlite.BEGIN_AS_WRITER)
        self._held.begin()

    def get_bind(self, *args: Any, **options: Any) -> Connection:
        """Let what the session does be done there."""
        return self.hold()

    def commit_held(self) -> None:
        """Commit the connection's transaction, with what the session has not written yet, and let go of it."""
        self.flush()
        if self._held is not None:
            self._held.commit()
        if self.in_transaction():
            self.commit()
        self._let_go()

    def close(self) -> None:
        """Let go of all that was read, and of the connection; what was not committed is undone."""
        if self.identity_map or self.in_transaction():
            super().close()
        with _though_unavailable():
            self._let_go()

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()


@contextmanager
def _though_unavailable() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if not is_unavailable(error):
            raise


_db = SQLAlchemy(
    model_class=Base,
    session_options={
        "class_": _RequestSession,
        "expire_on_commit": False,
        "join_transaction_mode": "rollback_only",  # the connection's transaction is not the session's to commit
    },
)
session = _db.session


def read_snapshot() -> ReadSession:
    """Open a session that sees the database as it was when it first read, however long it lives; close it yourself.

    What the request's own session has read is let go.
    """
    session.close()
    # SQLite's transactions are of that kind by themselves
    return ReadSession(
        get_engine() if is_sqlite() else get_engine().execution_options(isolation_level="REPEATABLE READ")
    )


def request_connection() -> Connection:
    """Return the request's connection, in a transaction, for statements that need no objects."""
    return _request_session().hold()


@contextmanager
def write_transaction() -> Iterator[None]:
    """Run a block in one transaction, committed at its end and rolled back when it raises.

    What was read before must have been let go.
    """
    own = _request_session()
    try:
        own.begin_as_writer()
        yield
        own.commit_held()
    except BaseException:
        own.close()
        raise


def _request_session() -> _RequestSession:
    return cast(_RequestSession, session())


def get_engine() -> Engine:
    """Return the engine of the current application."""
    return _db.engine


def sqlite_path() -> Path | None:
    """Return the file of the current application's database; None when it is not SQLite's."""
    path: Path | None = current_app.extensions[_QUEUE][0]
    return path


def lock_timeout_s() -> float:
    """Return how many seconds a request waits for its turn to write."""
    seconds: float = current_app.extensions[_QUEUE][1]
    return seconds


def is_sqlite() -> bool:
    """Tell whether the current application runs on SQLite."""
    return get_engine().dialect.name == "sqlite"


def database_size() -> int:
    """Return how many bytes the database takes. Raises DBAPIError or OSError when it is away or gone."""
    path = sqlite_path()
    if path is None:
        return int(session.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    log = Path(f"{path}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def init_app(app: Flask, config: Config) -> None:
    """Bind the session to the configured database and prepare its connections."""
    app.config["SQLALCHEMY_DATABASE_URI"] = config.database_url
    seconds = config.database_timeout_ms / 1000
    app.extensions[_QUEUE] = (None, seconds)
    if config.database_url.startswith("sqlite"):
        # resolved, since its neighbours lie beside the file itself
        path = Path(config.database_url.removeprefix("sqlite:///")).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        app.extensions[_QUEUE] = (path, seconds)
        if not path.exists():
            sqlite.create(path)
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
            "connect_args": {"timeout": seconds, "isolation_level": None, "factory": sqlite.Connection},
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
    _db.init_app(app)
    with app.app_context():
        if is_sqlite():
            sqlite.prepare(get_engine(), config)


@contextmanager
def use_database(url: str, timeout_ms: int) -> Iterator[None]:
    """Work on another database inside the block: everything here is then about that one."""
    app = Flask(__name__)
    init_app(app, Config(database_url=url, database_timeout_ms=timeout_ms))
    with app.app_context():
        try:
            yield
        finally:
            get_engine().dispose()


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column that SQLite looks for in no index, so that it begins with what the words find."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type) if is_sqlite() else column
