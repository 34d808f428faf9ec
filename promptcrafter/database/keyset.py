"""Keyset pagination: the sort order of a list, and the cursors that mark the end of a page.

A cursor holds the sort values of the page's last row, so page 1,000 costs as much as page 1, and rows inserted between
two requests do not shift the pages (https://use-the-index-luke.com/no-offset).
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, SQLColumnExpression, literal, tuple_

from promptcrafter import clock
from promptcrafter.database.session import session

_LARGEST_FINITE_BITS = 0x7FEF_FFFF_FFFF_FFFF  # the largest finite double, as an integer
MINUS = "m"  # before a negative number in a cursor, where hyphens separate the numbers
Columns = Sequence[SQLColumnExpression[Any]]


@dataclass(frozen=True)
class Order:
    """The sort order of a list: columns that all sort in one direction, the last of them unique."""

    columns: Columns
    is_ascending: bool = False

    def sort(self, select: Select[Any]) -> Select[Any]:
        """Return the select with its ORDER BY."""
        return select.order_by(*(column.asc() if self.is_ascending else column.desc() for column in self.columns))

    def split(self, select: Select[Any]) -> Sequence[Select[Any]]:
        """Return selects whose rows, one after the other, are all rows in this order."""
        return [self.sort(select)]

    def start_after(self, select: Select[Any], cursor: str) -> Select[Any]:
        """Return the select restricted to the rows after the cursor."""
        row, last = tuple_(*self.columns), tuple_(*_read_cursor(cursor, self.columns))
        restricted = select.where(row > last if self.is_ascending else row < last)
        # The cursor first: of two bounds on one side, such as it and `until`, SQLite seeks in the index by the first
        # one, and reads everything from there on. SQLAlchemy has no public way to put a condition before others
        *others, condition = restricted._where_criteria
        restricted._where_criteria = (condition, *others)
        return restricted

    def page(self, select: Select[Any], cursor: str | None, count: int) -> tuple[Select[Any], Columns]:
        """Return the sorted select limited to `count` rows after the cursor, and the columns of a row's cursor."""
        return (select if cursor is None else self.start_after(select, cursor)).limit(count), self.columns


def each_batch(
    select: Select[Any], columns: Sequence[SQLColumnExpression[Any]], size: int
) -> Iterator[Sequence[Row[Any]]]:
    """Yield the sort values of the rows of `select`, `size` rows at a time, in the ascending order of `columns`.

    Each batch has its own query and transaction, so that other writers can run between them.
    """
    order = Order(columns, is_ascending=True)
    next_batch = first_batch = order.sort(select.with_only_columns(*columns)).limit(size)
    while rows := session.execute(next_batch).all():
        session.close()
        yield rows
        next_batch = order.start_after(first_batch, write_cursor(rows[-1], columns))


def write_cursor(values: Sequence[Any], columns: Columns) -> str:
    """Return the cursor of a row: its sort values as integers, joined by hyphens."""
    numbers = (_to_integer(column, value) for column, value in zip(columns, values, strict=True))
    return "-".join(str(number).replace("-", MINUS) for number in numbers)


def split_cursor(cursor: str) -> list[int]:
    """Return the numbers of a cursor, of which times before 1970 are negative."""
    return [int(number.replace(MINUS, "-")) for number in cursor.split("-")]


def _read_cursor(cursor: str, columns: Columns) -> list[ColumnElement[Any]]:
    """Return the sort values of a cursor as parameters of the columns' types, which a row comparison does not infer."""
    return [_from_integer(column, number) for column, number in zip(columns, split_cursor(cursor), strict=True)]


def _to_integer(column: Any, value: Any) -> int:
    """Return a sort value as an integer that sorts in the same way."""
    writers: dict[type, Callable[[Any], int]] = {datetime: clock.to_number, float: _float_to_integer}
    return writers.get(column.type.python_type, int)(value)


def _from_integer(column: Any, number: int) -> ColumnElement[Any]:
    """Return the sort value for an integer of a cursor, as a parameter of the column's type."""
    read = {datetime: clock.from_any_number, float: _float_from_integer}.get(column.type.python_type, int)
    return literal(read(number), column.type)


def _float_to_integer(value: float) -> int:
    """Return a positive integer that sorts as the non-negative float does; 0 for a negative float (no value).

    The bits of non-negative IEEE 754 doubles, read as integers, sort as the doubles do.
    """
    return 0 if value < 0 else int(struct.unpack(">q", struct.pack(">d", value))[0]) + 1


def _float_from_integer(number: int) -> float:
    """Return the float for a number that `_float_to_integer` returned; -1 for 0."""
    bits = min(number - 1, _LARGEST_FINITE_BITS)
    return float(struct.unpack(">d", struct.pack(">q", bits))[0]) if number else -1.0
