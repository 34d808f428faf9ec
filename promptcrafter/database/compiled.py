"""Statements that every request or every row needs: written out once, and given to SQLite's driver as they are.

SQLAlchemy takes some fifteen microseconds to run a statement and eight for each row of many, SQLite one or two. To
PostgreSQL they go by SQLAlchemy, since there the way takes longer than either, and many rows go as an array for each
column: a statement for each row would take longer than the rows themselves.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, Connection, Dialect, Executable, bindparam, column, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

from promptcrafter.database.errors import translating_driver_errors
from promptcrafter.database.session import is_sqlite, request_connection

_Row = Mapping[str, Any]


def from_arrays(types: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    """Return PostgreSQL's table of rows whose columns are parameters of these names and types, an array each."""
    arrays = (bindparam(name, type_=ARRAY(kind, dimensions=1)) for name, kind in types.items())
    columns = (column(name, kind) for name, kind in types.items())
    return func.unnest(*arrays).table_valued(*columns, name="new").render_derived()


class CompiledQuery:
    """A select of one row, whose columns are of types that the driver gives as they are: texts and numbers."""

    def __init__(self, select: Executable) -> None:
        self._select = select
        self._write = cache(partial(_Written, select))

    def first(self, **parameters: Any) -> Sequence[Any] | None:
        """Return the first row that it finds; None when there is none. Raises DBAPIError."""
        connection = request_connection()
        if not is_sqlite():
            return connection.execute(self._select, parameters).first()
        written = self._write(connection.dialect)
        with translating_driver_errors():
            row: tuple[Any, ...] | None = _driver(connection).execute(written.text, written.bind(parameters)).fetchone()
        return row


class CompiledWrite:
    """What changes the database, for rows of the same keys: statements that take each row, and PostgreSQL's one."""

    def __init__(self, on_sqlite: Sequence[Executable], on_postgresql: Executable) -> None:
        self._on_postgresql = on_postgresql
        self._write = cache(lambda dialect: [_Written(statement, dialect) for statement in on_sqlite])

    def execute(self, rows: Sequence[_Row]) -> None:
        """Execute it. Raises DBAPIError."""
        connection = request_connection()
        if not is_sqlite():
            connection.execute(self._on_postgresql, {name: [row[name] for row in rows] for name in rows[0]})
            return
        with translating_driver_errors():
            for written in self._write(connection.dialect):
                _driver(connection).executemany(written.text, map(written.bind, rows))


class _Written:
    """A statement as SQLite reads it, and what becomes of a row's values on their way to it."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._take = [_taker(compiled.binds[name], dialect) for name in compiled.positiontup]

    def bind(self, row: _Row) -> list[Any]:
        """Return the values of the statement's parameters, in their order."""
        return [take(row) for take in self._take]


def _driver(connection: Connection) -> sqlite3.Connection:
    """Return the driver's own connection, in whatever transaction the other is."""
    driver: Any = connection.connection.dbapi_connection
    return driver  # type: ignore[no-any-return]


def _taker(parameter: BindParameter[Any], dialect: Dialect) -> Callable[[_Row], Any]:
    if not parameter.required:
        return lambda row: parameter.value
    take = itemgetter(parameter.key)
    process = parameter.type.dialect_impl(dialect).bind_processor(dialect)
    return take if process is None else lambda row: process(take(row))
