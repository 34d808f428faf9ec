"""Statements on the hot path: compiled once, then executed by SQLite's driver without SQLAlchemy.

SQLAlchemy takes about 15 microseconds to execute a statement and 8 for each row of many; SQLite takes one or two. On
PostgreSQL they are executed through SQLAlchemy, since the round trip outweighs its overhead. There, many rows go in one
statement with an array for each column, because one statement for each row takes longer than the rows themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, Dialect, Executable, Table, bindparam, column, func, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

from promptcrafter.database.errors import translating_driver_errors
from promptcrafter.database.session import driver_of, get_engine, is_sqlite, request_connection, sqlite_connection

_Row = Mapping[str, Any]
_NEW = "new_"  # before the name of a column, in that of the parameter with its new value


def from_arrays(types: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    """Return `unnest(:a, :b …)`, PostgreSQL's table of rows from one array parameter for each name and type."""
    arrays = (bindparam(name, type_=ARRAY(type_, dimensions=1)) for name, type_ in types.items())
    columns = (column(name, type_) for name, type_ in types.items())
    return func.unnest(*arrays).table_valued(*columns, name="new").render_derived()


class CompiledQuery:
    """A SELECT of few rows. Its columns are texts and numbers only: result values are not converted on SQLite."""

    def __init__(self, select: Executable) -> None:
        self._select = select
        self._compile = cache(partial(_Statement, select))

    def first(self, **parameters: Any) -> Sequence[Any] | None:
        """Return the first row found, or None. Raises DBAPIError."""
        rows = self.all(**parameters)
        return rows[0] if rows else None

    def all(self, **parameters: Any) -> Sequence[Sequence[Any]]:
        """Return all rows. Raises DBAPIError."""
        engine = get_engine()
        if engine.dialect.name != "sqlite":
            return request_connection().execute(self._select, parameters).all()
        statement = self._compile(engine.dialect)
        with translating_driver_errors(), sqlite_connection() as driver:
            return driver.execute(statement.text, statement.bind(parameters)).fetchall()


class CompiledWrite:
    """A write of many rows that have the same keys.

    `on_sqlite` are statements that are executed for each row, one after the other; `on_postgresql` is one statement for
    all rows, whose parameters are an array for each key.
    """

    def __init__(self, on_sqlite: Sequence[Executable], on_postgresql: Executable) -> None:
        self._on_postgresql = on_postgresql
        self._compile = cache(lambda dialect: [_Statement(statement, dialect) for statement in on_sqlite])

    def execute(self, rows: Sequence[_Row]) -> None:
        """Write the rows, at least one. Raises DBAPIError."""
        connection = request_connection()
        if not is_sqlite():
            connection.execute(self._on_postgresql, {name: [row[name] for row in rows] for name in rows[0]})
            return
        with translating_driver_errors():
            for statement in self._compile(connection.dialect):
                driver_of(connection).executemany(statement.text, map(statement.bind, rows))


@lru_cache(maxsize=256)
def _compile_change(table: Table, names: tuple[str, ...]) -> CompiledWrite:
    """Return the write that sets these columns of rows. Each row to execute it with has them, and `key`, its `seq`."""
    new = {name: bindparam(f"{_NEW}{name}", type_=table.c[name].type) for name in names}
    types = {f"{_NEW}{name}": table.c[name].type for name in names}
    arrays = from_arrays({**types, "key": table.c.seq.type})
    return CompiledWrite(
        [update(table).where(table.c.seq == bindparam("key", type_=table.c.seq.type)).values(new)],
        update(table).where(table.c.seq == arrays.c.key).values({name: arrays.c[f"{_NEW}{name}"] for name in names}),
    )


def change_rows(table: Table, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Set columns of rows, given by their `seq`, with one statement for all rows that change the same columns."""
    by_names: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for seq, values in changes.items():
        row = {f"{_NEW}{name}": value for name, value in values.items()}
        by_names.setdefault(tuple(sorted(values)), []).append({**row, "key": seq})
    for names, rows in by_names.items():
        if names:
            _compile_change(table, names).execute(rows)


class _Statement:
    """A statement as SQL text, with the conversion of each of its parameters."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._getters = [_make_getter(compiled.binds[name], dialect) for name in compiled.positiontup]

    def bind(self, row: _Row) -> list[Any]:
        """Return the parameters of a row, in the statement's order, as the driver takes them."""
        return [get(row) for get in self._getters]


def _make_getter(parameter: BindParameter[Any], dialect: Dialect) -> Callable[[_Row], Any]:
    """Return a function from a row to the converted value of one parameter; a literal has a value of its own."""
    if not parameter.required:
        return lambda row: parameter.value
    get = itemgetter(parameter.key)
    process = parameter.type.dialect_impl(dialect).bind_processor(dialect)
    return get if process is None else lambda row: process(get(row))
