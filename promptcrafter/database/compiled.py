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
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

from promptcrafter.database.array_literals import ArrayLiteral
from promptcrafter.database.base import UtcTime
from promptcrafter.database.errors import translating_driver_errors
from promptcrafter.database.session import driver_of, get_engine, is_sqlite, request_connection, sqlite_connection

_Row = Mapping[str, Any]
_NEW = "new_"  # before the name of a column, in that of the parameter with its new value
_TIMES = 16  # whose conversion is remembered


def from_arrays(types: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    """Return `unnest(:a, :b …)`, PostgreSQL's table of rows from one array parameter for each name and type."""
    arrays = (bindparam(name, type_=ArrayLiteral(type_)) for name, type_ in types.items())
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
    """A statement as SQL text, with the conversion of its parameters."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.text = str(compiled)
        parameters = [compiled.binds[name] for name in compiled.positiontup]
        self._literals = [(place, each.value) for place, each in enumerate(parameters) if not each.required]
        self._get = _make_getter([each.key for each in parameters if each.required])
        converters = [_make_converter(each, dialect) if each.required else None for each in parameters]
        self._converters = [(place, convert) for place, convert in enumerate(converters) if convert]

    def bind(self, row: _Row) -> list[Any]:
        """Return the parameters of a row, in the statement's order, as the driver takes them."""
        values = list(self._get(row))
        for place, value in self._literals:
            values.insert(place, value)
        for place, convert in self._converters:
            values[place] = convert(values[place])
        return values


def _make_getter(keys: Sequence[str]) -> Callable[[_Row], Sequence[Any]]:
    """Return a function from a row to the values of these keys."""
    if len(keys) > 1:
        return itemgetter(*keys)  # one call for all takes a quarter of the time
    return lambda row: [row[key] for key in keys]


def _make_converter(parameter: BindParameter[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """Return the function that converts the values of a parameter for the driver; None if they need no conversion."""
    convert = parameter.type.dialect_impl(dialect).bind_processor(dialect)
    # all rows of a request have the same time
    return lru_cache(maxsize=_TIMES)(convert) if convert and isinstance(parameter.type, UtcTime) else convert
