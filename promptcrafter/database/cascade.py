"""Removal of a row and of all rows that refer to it, as ON DELETE CASCADE would remove them, but in bounded steps.

What refers to a row is read from the foreign keys of the models. Rows are removed from the leaves up, in the order of
an index, some at a time: how many is adapted to how long they take, since a row may have some bytes or some mebibytes.
Call these functions inside `transactions.writing()`.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from blinker import Signal
from sqlalchemy import Column, ColumnElement, Table, delete, literal, select, tuple_, update

from promptcrafter.database.base import Base, Deletable
from promptcrafter.database.session import request_connection

# The rows of one statement. Fewer would take no less time on a busy machine, or where PostgreSQL is far away
_LEAST_ROWS, _MOST_ROWS = 50, 1000
_PARTS = 2  # of a step's time, of which one statement may take one
CLEARED_WITH = "cleared_with"  # in the `info` of a column: the name of the one with which it is set to NULL
removing = Signal("Sent before a statement that removes rows; `table` and `condition` say which.")
removed = Signal("Sent after a statement that removed rows of resources, in its transaction; `ids` are theirs.")


@dataclass
class Progress:
    """How far a removal is. Kept between the steps, it saves them from reading what is removed already."""

    rows: int = 0  # removed so far
    count: int = _LEAST_ROWS  # of the rows that the next statement removes
    # The last values of the order in which the rows that refer to something were removed, by their column and its id
    last: dict[tuple[Column[Any], str], Sequence[Any]] = field(default_factory=dict)


class _OutOfTime(Exception):
    """The time of the step is up."""


def remove_some(table: Table, row_id: str, seconds: float, progress: Progress) -> bool:
    """Remove the row with this id and what refers to it, within about `seconds`; return whether all is removed.

    Something is removed even if there is no time.
    """
    step = _Step(progress, seconds)
    try:
        step.remove_children(table, row_id)
    except _OutOfTime:
        return False
    progress.rows += _remove(table, table.c.id == row_id)
    return True


def _remove(table: Table, condition: ColumnElement[bool]) -> int:
    """Remove rows; return how many."""
    removing.send(table=table, condition=condition)
    removal = delete(table).where(condition)
    if not _is_of_resources(table):
        return request_connection().execute(removal).rowcount
    ids = request_connection().execute(removal.returning(table.c.id)).scalars().all()
    if ids:
        removed.send(ids=ids)
    return len(ids)


def _detach(table: Table, row_id: str) -> None:
    """Set the columns to NULL that refer to the row without an ON DELETE action."""
    for column in _each_reference(table, None):
        dependent = [each for each in column.table.c if each.info.get(CLEARED_WITH) == column.name]
        cleared = dict.fromkeys((column, *dependent))
        request_connection().execute(update(column.table).where(column == row_id).values(cleared))


@dataclass
class _Step:
    progress: Progress
    seconds: float
    started: float = field(default_factory=time.monotonic)

    def remove_children(self, table: Table, row_id: str) -> None:
        """Remove all rows that refer to a row, or their reference. Raises _OutOfTime."""
        _detach(table, row_id)
        for column in _each_reference(table, "CASCADE"):
            self._remove_referring(column, row_id)

    def _remove_referring(self, column: Column[Any], value: str) -> None:
        """Remove the rows in which a column has this value. Raises _OutOfTime."""
        table = column.table
        assert isinstance(table, Table)
        order = _find_order(column)
        row, rows = tuple_(*order), select(*order).where(column == value).order_by(*order)
        key = (column, value)
        while True:
            begun = time.monotonic()
            last = self.progress.last.get(key)
            after = column == value if last is None else (column == value) & (row > _literals(order, last))
            # the end of the range instead of its keys: a primary key may have several columns
            end = request_connection().execute(rows.where(after).offset(self.progress.count - 1).limit(1)).first()
            condition = after if end is None else after & (row <= _literals(order, end))
            if _has_children(table):
                for (row_id,) in request_connection().execute(select(table.c.id).where(condition)).all():
                    self.remove_children(table, row_id)
            self.progress.rows += _remove(table, condition)
            if end is None and last is None:
                return
            if end is None:
                del self.progress.last[key]  # look again from the start: rows may have been added meanwhile
            else:
                self.progress.last[key] = tuple(end)
            self._adapt(time.monotonic() - begun)
            if time.monotonic() - self.started > self.seconds:
                raise _OutOfTime

    def _adapt(self, taken: float) -> None:
        """Set the number of rows of the next statement, so that it takes a part of the step's time."""
        factor = min(2.0, max(0.1, self.seconds / _PARTS / max(taken, 0.0001)))
        self.progress.count = min(_MOST_ROWS, max(_LEAST_ROWS, int(self.progress.count * factor)))


def _literals(columns: Sequence[Column[Any]], values: Sequence[Any]) -> ColumnElement[Any]:
    """Return a row of parameters of the columns' types."""
    return tuple_(*(literal(value, column.type) for column, value in zip(columns, values, strict=True)))


@cache
def _each_reference(table: Table, action: str | None) -> Sequence[Column[Any]]:
    """Return the columns that refer to the id of a table's rows with this ON DELETE action, leaves first.

    The workspace may be part of the reference.
    """
    return [
        key.parent
        for referring in reversed(Base.metadata.sorted_tables)
        for constraint in sorted(referring.foreign_key_constraints, key=lambda constraint: str(constraint.name))
        for key in constraint.elements
        if constraint.ondelete == action and key.column is table.c.get("id")
    ]


@cache
def _is_of_resources(table: Table) -> bool:
    return any(model.__tablename__ == table.name for model in Deletable.each_model())


@cache
def _has_children(table: Table) -> bool:
    return bool(_each_reference(table, "CASCADE"))


@cache
def _find_order(column: Column[Any]) -> Sequence[Column[Any]]:
    """Return the columns by which rows that have one value in `column` are read: they are unique and in an index.

    Without such an index, the primary key.
    """
    table = column.table
    assert isinstance(table, Table)
    key = list(table.primary_key.columns)
    return min(_each_order(table, column, key), key=len, default=key)


def _each_order(table: Table, column: Column[Any], key: Sequence[Column[Any]]) -> Iterator[Sequence[Column[Any]]]:
    """Yield the columns after the first one, up to the whole primary key, of each index that begins with `column`."""
    for columns in (key, *(list(index.columns) for index in table.indexes)):
        rest = columns[1:]
        left = {part for part in key if part is not column}
        if columns[0] is column and left <= set(rest):
            length = max(rest.index(part) for part in left) + 1
            yield rest[:length]
