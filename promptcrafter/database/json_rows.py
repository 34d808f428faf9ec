"""An aggregate of rows to JSON text, so that one statement reads a row and the rows that belong to it."""

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class JsonRows(FunctionElement[str]):
    """`JsonRows(a, b)`: the JSON text of an array with an array `[a, b]` for each row, or NULL or `[]` without rows.

    The order is one that depends on the rows alone, not on when they were written; sort them for any other.
    """

    name = "json_rows"
    type = Text()
    inherit_cache = True


@compiles(JsonRows, "sqlite")
def _for_sqlite(element: JsonRows, compiler: SQLCompiler, **options: Any) -> str:
    # The rows are found by an index of theirs, in its order
    return f"json_group_array(json_array({compiler.process(element.clauses, **options)}))"


@compiles(JsonRows, "postgresql")
def _for_postgresql(element: JsonRows, compiler: SQLCompiler, **options: Any) -> str:
    columns = compiler.process(element.clauses, **options)
    return f"CAST(json_agg(json_build_array({columns}) ORDER BY {columns}) AS TEXT)"
