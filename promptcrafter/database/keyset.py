"""Keyset pagination: what a list is sorted by, and how its next page begins behind the last row of the one before.

A cursor holds the sort values of the last row shown, so page 1,000 costs what page 1 does, and rows added meanwhile
shift nothing (https://use-the-index-luke.com/no-offset).
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, SQLColumnExpression, literal, tuple_

from promptcrafter import clock
from promptcrafter.database.session import session

_LARGEST_RANK = 0x7FEF_FFFF_FFFF_FFFF  # of the largest finite double
Columns = Sequence[SQLColumnExpression[Any]]


@dataclass(frozen=True)
class Order:
    """What a list is sorted by: columns, the last of them unique, all of them in one direction."""

    columns: Columns
    is_ascending: bool = False

    def sort(self, select: Select[Any]) -> Select[Any]:
        """Return the select, sorted."""
        return select.order_by(*(column.asc() if self.is_ascending else column.desc() for column in self.columns))

    def begin_after(self, select: Select[Any], cursor: str) -> Select[Any]:
        """Return the select from behind the row that the cursor names."""
        here, there = tuple_(*self.columns), tuple_(*_read_cursor(cursor, self.columns))
        return select.where(here > there if self.is_ascending else here < there)

    def page(self, select: Select[Any], cursor: str | None, count: int) -> tuple[Select[Any], Columns]:
        """Return the select, which is sorted, bounded to so many rows from behind the one that the cursor names.

        With it come the columns whose values make the cursor of a row.
        """
        return (select if cursor is None else self.begin_after(select, cursor)).limit(count), self.columns


def each_batch(
    select: Select[Any], columns: Sequence[SQLColumnExpression[Any]], size: int
) -> Iterator[Sequence[Row[Any]]]:
    """Yield the sort values of what `select` finds, `size` rows at a time, in the ascending order of `columns`.

    Each batch is found by a query and a transaction of its own, so that others may come between.
    """
    order = Order(columns, is_ascending=True)
    following = batch = order.sort(select.with_only_columns(*columns)).limit(size)
    while rows := session.execute(following).all():
        session.close()
        yield rows
        following = order.begin_after(batch, write_cursor(rows[-1], columns))


def write_cursor(values: Sequence[Any], sort: Columns) -> str:
    """Return the cursor of a row: its values of the sort columns as integers, joined by hyphens."""
    return "-".join(str(_number(column, value)) for column, value in zip(sort, values, strict=True))


def _number(column: Any, value: Any) -> int:
    writers: dict[type, Callable[[Any], int]] = {datetime: clock.to_number, float: _to_rank}
    return writers.get(column.type.python_type, int)(value)


def _read_cursor(cursor: str, sort: Sequence[SQLColumnExpression[Any]]) -> list[ColumnElement[Any]]:
    """Make parameters of the columns' own types, which plain values would lose in a row comparison."""
    return [_bind(column, int(number)) for column, number in zip(sort, cursor.split("-"), strict=True)]


def _bind(column: Any, number: int) -> ColumnElement[Any]:
    read = {datetime: clock.from_number, float: _from_rank}.get(column.type.python_type, int)
    return literal(read(number), column.type)


def _to_rank(value: float) -> int:
    """Return a whole number in whose order floats from 0 on stand; 0 for a negative one, which means none.

    The bits of an IEEE 754 double of that sign, read as an integer, have the order of the numbers.
    """
    return 0 if value < 0 else int(struct.unpack(">q", struct.pack(">d", value))[0]) + 1


def _from_rank(rank: int) -> float:
    """Return the float of that rank, -1 for 0."""
    bits = min(rank - 1, _LARGEST_RANK)
    return float(struct.unpack(">d", struct.pack(">q", bits))[0]) if rank else -1.0
