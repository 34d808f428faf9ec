"""Serialize rows of one table as a schema would dump the model's objects, without making these objects.

For a long list, making an object of each row and looking up its fields one by one takes several times as long as
everything else. The schema remains the only place that defines the fields, their order, how each value is converted,
and which are left out: a serializer is built from it once. See docs/decisions/0021-lists-serialized-from-rows.md.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import (
    ColumnElement,
    Integer,
    Result,
    Row,
    Select,
    SQLColumnExpression,
    Text,
    inspect,
    literal_column,
    select,
    text,
    type_coerce,
)
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from promptcrafter import clock
from promptcrafter.database.base import Base, JsonText, UtcTime
from promptcrafter.http.fields import Number, TextOut, Timestamp, as_number
from promptcrafter.http.schemas import SparseSchema

_Write = Callable[[Any], Any]
_SHORT, _REMEMBERED = 100, 128  # characters of a JSON text, and how many such texts of a column are remembered
# The columns of subqueries as text: to list them would take longer than the query
_WEIGHED: Select[Any, Any, Any] = select(
    literal_column("sized.*"),
    literal_column("row_number() OVER ()").label("place"),
    literal_column("sum(sized.size) OVER ()").label("total"),
)
_SENT: Select[Any] = (
    select(literal_column("weighed.*"))
    .where(text("weighed.total <= :bytes_max OR weighed.place = 1"))
    .order_by(text("weighed.place"))
)
_ADDED = 3  # columns of `_SENT` after those of the select: the size, the place, and the total of the sizes


class RowSerializer:
    """Selects the columns that a schema shows of a model, and dumps rows of them as the schema dumps objects.

    Every field of the schema must be a column of the model and must not read another column. Fields without a value
    are left out as SparseSchema does it; hooks are not called. Raises KeyError for a field that is not a column.
    """

    def __init__(self, model: type[Base], schema: SparseSchema) -> None:
        self.schema: Schema = schema
        attributes = inspect(model).column_attrs
        columns = [attributes[name].columns[0] for name in schema.fields]
        shown = [(field.data_key or name, field) for name, field in schema.fields.items()]
        # as SQL text, made once: the expression would take longer than the query
        self._size: ColumnElement[int] = literal_column(
            " + ".join(f"coalesce(octet_length({column}), 0)" for column in columns if is_long(column)) or "0", Integer
        )
        self._columns = [_read_raw(column) for column in columns]
        long = [place for place, column in enumerate(columns) if is_long(column)]
        self._long_values = itemgetter(*long) if len(long) > 1 else lambda row: [row[place] for place in long]
        self._keys = [key for key, _ in shown]
        self._writers = [_writer(column, field) for column, (_, field) in zip(columns, shown, strict=True)]
        # what a required field is dumped as without a value; optional fields are left out
        self._without_value = {key: field._serialize(None, None, None) for key, field in shown if field.required}

    def execute(self, reader: Session, select: Select[Any], *others: SQLColumnExpression[Any]) -> Result[Any]:
        """Execute a select of the model for the columns that `dump` takes, followed by `others`; return its rows."""
        # on the connection, because the session would look for objects in every row
        return reader.connection().execute(select.with_only_columns(*self._columns, *others))

    def read_small(
        self, reader: Session, statement: Select[Any], others: Sequence[SQLColumnExpression[Any]], bytes_max: int
    ) -> list[Any] | None:
        """Return what `execute` does, all rows; None if they have more than `bytes_max` bytes of text. PostgreSQL only.

        The values of `others` must need no conversion. PostgreSQL adds up the sizes without reading long texts, and
        sends no more than the first row of a result that is too large.
        """
        sized = statement.with_only_columns(*self._columns, *others, self._size.label("size")).subquery("sized")
        weighed = _WEIGHED.select_from(sized).subquery("weighed")
        found = reader.connection().execute(_SENT.select_from(weighed), {"bytes_max": bytes_max}).all()
        return None if found and found[0][-1] > bytes_max else [row[:-_ADDED] for row in found]

    def weigh(self, row: Row[Any]) -> int:
        """Return how many characters a row has in the columns that have no maximum length; it is called for each."""
        return sum(map(len, filter(None, self._long_values(row))))

    def dump(self, row: Row[Any]) -> dict[str, Any]:
        """Return what the schema would dump for the object of this row."""
        dumped = {}
        for key, write, value in zip(self._keys, self._writers, row, strict=False):
            if value is not None:
                dumped[key] = value if write is None else write(value)
            elif key in self._without_value:
                dumped[key] = self._without_value[key]
        return dumped


def is_long(column: ColumnElement[Any]) -> bool:
    """Return whether a column is of a type that has no maximum length."""
    return isinstance(column.type, Text | JsonText)


def _read_raw(column: ColumnElement[Any]) -> SQLColumnExpression[Any]:
    """Return a column that yields the driver's value if `_writer` converts that itself (times and JSON)."""
    return type_coerce(column, NullType()) if isinstance(column.type, UtcTime | JsonText) else column


def _writer(column: ColumnElement[Any], field: fields.Field[Any]) -> _Write | None:
    """Return the function that converts a column's value as the field would; None if the value stays unchanged."""
    serialize = partial(field._serialize, attr=None, obj=None)
    if isinstance(column.type, JsonText):
        return _remember_short(lambda text: serialize(json.loads(text)))
    return _WRITERS.get((type(field)._serialize, column.type.python_type), serialize)


def _remember_short(write: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a function that calls `write` once for each of the last short texts.

    Many rows have the same JSON, such as which of their numbers were computed. They share what is returned, so it must
    not be changed.
    """
    remembering = lru_cache(maxsize=_REMEMBERED)(write)
    return lambda text: remembering(text) if len(text) <= _SHORT else write(text)


def _write_time(value: datetime | str) -> str:
    """Return a time as the API shows it. SQLite stores times as this text already."""
    return value if isinstance(value, str) else clock.to_text(value)


# How a field with this `_serialize` converts a value of this type; None if the value stays unchanged
_WRITERS: dict[tuple[Any, type], _Write | None] = {
    (fields.String._serialize, str): None,
    (fields.Integer._serialize, int): None,
    (TextOut._serialize, str): None,
    (Number._serialize, float): as_number,
    (Timestamp._serialize, datetime): _write_time,
}
