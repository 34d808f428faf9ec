"""The tables of a database, read so that SQLite and PostgreSQL give equal rows."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Select,
    Text,
    TypeDecorator,
    cast,
    select,
)
from sqlalchemy import Table as ModelTable
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.sql.expression import type_coerce

from promptcrafter import clock
from promptcrafter.database.base import Base, JsonText
from promptcrafter.logs.search import write_tsvector

_WORDS = sql_table("log_search", sql_column("log_seq"), sql_column("words"))
_ROWS_AT_ONCE = 50  # each may hold several MiB of text
_MODULUS = 1 << 128


class _Words(TypeDecorator[str]):
    """The search words of a log: a text on SQLite, a `tsvector` on PostgreSQL. Read as the latter's text on both."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return write_tsvector(value) if value is not None and dialect.name == "sqlite" else value


@dataclass(frozen=True)
class Table:
    """A table to move: its primary key, its columns except computed ones, and the SELECT that reads them."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Select[Any]


@dataclass
class TableChecksum:
    """The number of a table's rows and the sum of their hashes, which does not depend on their order."""

    rows: int = 0
    hashes: int = 0

    def add(self, row: Sequence[Any]) -> None:
        """Add a row as `each_row` yields it. It is hashed by its repr, in which 9 and 9.0, or None and "", differ."""
        digest = hashlib.blake2b(repr(tuple(row)).encode(), digest_size=16).digest()
        self.hashes = (self.hashes + int.from_bytes(digest)) % _MODULUS
        self.rows += 1


def every_table() -> list[Table]:
    """Return the tables of this release, each after those that its foreign keys refer to, without derived ones."""
    rows = select(_WORDS.c.log_seq, type_coerce(cast(_WORDS.c.words, Text), _Words))
    words = Table("log_search", ("log_seq",), ("log_seq", "words"), rows)
    stored = (table for table in Base.metadata.sorted_tables if table.name not in derived_tables())
    return [*map(_of_model, stored), words]


def derived_tables() -> set[str]:
    """Return the names of the tables that the service computes from the others."""
    return {table.name for table in Base.metadata.sorted_tables if table.info.get("is_derived")}


def each_row(source: Connection, table: Table) -> Iterator[list[Any]]:
    """Yield the rows of a table; their values are numbers, texts and None, with times as text by `clock.to_text`."""
    for row in source.execute(table.rows.execution_options(yield_per=_ROWS_AT_ONCE)):
        yield [clock.to_text(value) if isinstance(value, datetime) else value for value in row]


def _of_model(model: ModelTable) -> Table:
    columns = [column for column in model.columns if column.computed is None]
    key = tuple(column.name for column in model.primary_key)
    return Table(model.name, key, tuple(column.name for column in columns), select(*map(_as_stored, columns)))


def _as_stored(column: Column[Any]) -> ColumnElement[Any]:
    """Return the column such that JSON is read as its stored text, and all else as usual."""
    return type_coerce(column, Text) if isinstance(column.type, JsonText) else column
