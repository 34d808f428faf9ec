"""Many rows at once: SQLite takes them one by one with a prepared statement, PostgreSQL as an array for each column.

There a statement for each row would take longer than the rows themselves.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, bindparam, column, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

from promptcrafter import db


def from_arrays(types: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    """Return PostgreSQL's table of rows whose columns are parameters of these names and types, an array each."""
    arrays = (bindparam(name, type_=ARRAY(kind, dimensions=1)) for name, kind in types.items())
    columns = (column(name, kind) for name, kind in types.items())
    return func.unnest(*arrays).table_valued(*columns, name="new").render_derived()


def execute(on_sqlite: Executable, on_postgresql: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
    """Execute a statement for rows of the same keys: the one takes each row, the other an array for each key."""
    if db.is_sqlite():
        db.connection().execute(on_sqlite, rows)
    else:
        db.connection().execute(on_postgresql, {name: [row[name] for row in rows] for name in rows[0]})
