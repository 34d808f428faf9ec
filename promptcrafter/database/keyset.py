"""Keyset pagination: the order of a list, and the cursors from which its next pages begin.

A cursor holds the sort values of the last row shown, so page 1,000 costs as much as page 1, and rows added meanwhile
do not shift the pages (https://use-the-index-luke.com/no-offset).
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
    """The sort order of a list: columns in one direction, of which the last is unique."""

    columns: Columns
    is_ascending: bool = False

    def sort(self, select: Select[Any]) -> Select[Any]:
        """Return the select with its ORDER BY."""
        return select.order_by(*(column.asc() if self.is_ascending else column.desc() for column in self.columns))

    def begin_after(self, select: Select[Any], cursor: str) -> Select[Any]:
        """Return the select restricted to the rows after the cursor."""
        row, last = tuple_(*self.columns), tuple_(*_read_cursor(cursor, self.columns))
        return select.where(row > last if self.is_ascending else row < last)

    def page(self, select: Select[Any], cursor: str | None, count: int) -> tuple[Select[Any], Columns]:
        """Return a sorted select limited to `count` rows after the cursor, and the columns that make a row's cursor."""
        return (select if cursor is None else self.begin_after(select, cursor)).limit(count), self.columns


def each_batch(
    select: Select[Any], columns: Sequence[SQLColumnExpression[Any]], size: int
) -> Iterator[Sequence[Row[Any]]]:
    """Yield the sort values of the rows of `select`, `size` rows at a time, in the ascending order of `columns`.

    Each batch has its own query and transaction, so that other writers may come between.
    """
    order = Order(columns, is_ascending=True)
    following = batch = order.sort(select.with_only_columns(*columns)).limit(size)
    while rows := session.execute(following).all():
        session.close()
        yield rows
        following = order.begin_after(batch, write_cursor(rows[-1], columns))


def write_cursor(values: Sequence[Any], sort: Columns) -> str:
    """Return the cursor of a row: its sort values as integers, joined by hyphens."""
    return "-".join(str(_number(column, value)) for column, value in zip(sort, values, strict=True))


def _number(column: Any, value: Any) -> int:
    writers: dict[type, Callable[[Any], int]] = {datetime: clock.to_number, float: _to_rank}
    return writers.get(column.type.python_type, int)(value)


def _read_cursor(cursor: str, sort: Sequence[SQLColumnExpression[Any]]) -> list[ColumnElement[Any]]:
    """Return the sort values of a cursor as parameters of the columns' types, which a row comparison does not infer."""
    return [_bind(column, int(number)) for column, number in zip(sort, cursor.split("-"), strict=True)]


def _bind(column: Any, number: int) -> ColumnElement[Any]:
    read = {datetime: clock.from_number, float: _from_rank}.get(column.type.python_type, int)
    return literal(read(number), column.type)


def _to_rank(value: float) -> int:
    """Return a positive integer that sorts as a float from 0 on does; 0 for a negative float, which means no value.

    The bits of non-negative IEEE 754 doubles, read as integers, sort as the doubles do.
    """
    return 0 if value < 0 else int(struct.unpack(">q", struct.pack(">d", value))[0]) + 1


def _from_rank(rank: int) -> float:
    """Return the float of a rank; -1 for rank 0."""
    bits = min(rank - 1, _LARGEST_RANK)
    return float(struct.unpack(">d", struct.pack(">q", bits))[0]) if rank else -1.0
