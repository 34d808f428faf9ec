"""Rows of one table as a schema shows them, without objects of the model in between: what long lists are made of.

To make an object of each row and to look its fields up one by one takes several times as long as all else that is done
for a list. The schema stays the one source of the fields' names and order, of what becomes of their values, and of what
is left out: a projection is worked out from it, once.
"""

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import ColumnElement, Result, Row, Select, SQLColumnExpression, inspect, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from promptcrafter import clock
from promptcrafter.database.base import Base, JsonText, UtcTime
from promptcrafter.http.fields import Number, TextOut, Timestamp, as_number
from promptcrafter.http.schemas import SparseSchema

_Write = Callable[[Any], Any]


class Projection:
    """The columns that a schema shows of a model, and what the schema makes of a row of them.

    Each field of the schema must be a column of the model, and none may look at another one. What is left out is what
    SparseSchema leaves out, and hooks are not called. Raises KeyError for a field that is no column.
    """

    def __init__(self, model: type[Base], schema: SparseSchema) -> None:
        self.schema: Schema = schema
        attributes = inspect(model).column_attrs
        columns = [attributes[name].columns[0] for name in schema.fields]
        shown = [(field.data_key or name, field) for name, field in schema.fields.items()]
        self._columns = [_read_raw(column) for column in columns]
        self._keys = [key for key, _ in shown]
        self._writers = [_writer(column, field) for column, (_, field) in zip(columns, shown, strict=True)]
        # what stands where nothing is known; the others are left out
        self._nothing = {key: field._serialize(None, None, None) for key, field in shown if field.required}

    def execute(self, reader: Session, found: Select[Any], *others: SQLColumnExpression[Any]) -> Result[Any]:
        """Return the rows of what a select of the model finds: what `dump` takes, with other columns behind it."""
        # by the connection: the session would look into every row for objects
        return reader.connection().execute(found.with_only_columns(*self._columns, *others))

    def dump(self, row: Row[Any]) -> dict[str, Any]:
        """Return what the schema dumps of the model's object that the row would make."""
        dumped = {}
        for key, write, value in zip(self._keys, self._writers, row, strict=False):
            if value is not None:
                dumped[key] = value if write is None else write(value)
            elif key in self._nothing:
                dumped[key] = self._nothing[key]
        return dumped


def _read_raw(column: ColumnElement[Any]) -> SQLColumnExpression[Any]:
    """Return a column whose values come as the driver gives them, where `_writer` reads them."""
    return type_coerce(column, NullType()) if isinstance(column.type, UtcTime | JsonText) else column


def _writer(column: ColumnElement[Any], field: fields.Field[Any]) -> _Write | None:
    """Return what makes of a value what the field makes of it; None where that is the value itself."""
    serialize = partial(field._serialize, attr=None, obj=None)
    if isinstance(column.type, JsonText):
        return lambda text: serialize(json.loads(text))
    return _WRITERS.get((type(field)._serialize, column.type.python_type), serialize)


def _show_time(value: datetime | str) -> str:
    """Write a time as the API shows it, which is how SQLite keeps it."""
    return value if isinstance(value, str) else clock.to_text(value)


# What becomes of a value of this type in a field that serialises so; None: it stays the same
_WRITERS: dict[tuple[Any, type], _Write | None] = {
    (fields.String._serialize, str): None,
    (fields.Integer._serialize, int): None,
    (TextOut._serialize, str): None,
    (Number._serialize, float): as_number,
    (Timestamp._serialize, datetime): _show_time,
}
