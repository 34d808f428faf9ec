"""The SQL that an application sends to its database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from sqlalchemy import event

from promptcrafter.database.session import get_engine


@contextmanager
def statements(app: Flask) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that SQLAlchemy executes inside the block, each with its parameters."""
    seen: list[tuple[str, Any]] = []

    def record(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        seen.append((statement, parameters))

    with app.app_context():
        engine = get_engine()
    event.listen(engine, "before_cursor_execute", record)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", record)


@contextmanager
def executed_by_sqlite(app: Flask) -> Iterator[list[str]]:
    """Collect the SQL that SQLite executes inside the block, with values in place of parameters."""
    seen: list[str] = []

    def watch(connection: Any, *_: Any) -> None:
        connection.set_trace_callback(seen.append)

    def unwatch(connection: Any, *_: Any) -> None:
        connection.set_trace_callback(None)

    with app.app_context():
        engine = get_engine()
    event.listen(engine, "checkout", watch)
    event.listen(engine, "checkin", unwatch)
    try:
        yield seen
    finally:
        event.remove(engine, "checkout", watch)
        event.remove(engine, "checkin", unwatch)
