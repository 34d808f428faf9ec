"""What a database holds, table by table, read alike from SQLite and from PostgreSQL."""

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
    column,
    select,
    table,
)
from sqlalchemy import Table as ModelTable
from sqlalchemy.sql.expression import type_coerce

from promptcrafter import clock
from promptcrafter.database.base import Base, JsonText
from promptcrafter.logs.search import write_tsvector

_WORDS = table("log_search", column("seq"), column("words"))
_ROWS_AT_ONCE = 50  # each may hold a few mebibytes of text
_SUMS = 1 << 128


class _Words(TypeDecorator[str]):
    """The words to find a log by: SQLite has them as a text, PostgreSQL as a `tsvector`, as which they are read."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return write_tsvector(value) if value is not None and dialect.name == "sqlite" else value


@dataclass(frozen=True)
class Table:
    """A table to move: its primary key, its columns but for those that the database works out, and how to read them."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Select[Any]


@dataclass
class Content:
    """The number of a table's rows and the sum of their hashes, which is the same in whatever order they come."""

    rows: int = 0
    hashes: int = 0

    def add(self, row: Sequence[Any]) -> None:
        """Count a row as `each_row` yields it: its repr tells 9 from 9.0, and nothing from the empty text."""
        digest = hashlib.blake2b(repr(tuple(row)).encode(), digest_size=16).digest()
        self.hashes = (self.hashes + int.from_bytes(digest)) % _SUMS
        self.rows += 1


def every_table() -> list[Table]:
    """Return the tables of this release, what is referred to before what refers to it."""
    found = select(_WORDS.c.seq, type_coerce(cast(_WORDS.c.words, Text), _Words))
    words = Table("log_search", ("seq",), ("seq", "words"), found)
    return [*map(_of_model, Base.metadata.sorted_tables), words]


def each_row(source: Connection, wanted: Table) -> Iterator[list[Any]]:
    """Yield the rows of a table as numbers, texts and nothing: times are as `clock.to_text` writes them."""
    for row in source.execute(wanted.rows.execution_options(yield_per=_ROWS_AT_ONCE)):
        yield [clock.to_text(value) if isinstance(value, datetime) else value for value in row]


def _of_model(model: ModelTable) -> Table:
    columns = [found for found in model.columns if found.computed is None]
    key = tuple(found.name for found in model.primary_key)
    return Table(model.name, key, tuple(found.name for found in columns), select(*map(_as_kept, columns)))


def _as_kept(found: Column[Any]) -> ColumnElement[Any]:
    """Return a column as it is to be read: JSON as the text it was, to the letter."""
    return type_coerce(found, Text) if isinstance(found.type, JsonText) else found
