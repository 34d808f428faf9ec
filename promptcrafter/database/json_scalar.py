"""A scalar of a stored JSON object, as text that is the same on both databases.

SQLite's own functions do not do: they cannot tell numbers apart that a double cannot hold, and find no name with a
quotation mark. So SQLite calls `read_scalar`. PostgreSQL's type `json` keeps numbers as they are written.
"""

import json
import sqlite3
from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from promptcrafter.jsonio import dumps

TEXT = '"'  # before a text; no number, boolean or null begins so
_FUNCTION = "promptcrafter_json_scalar"


class JsonScalar(FunctionElement[str]):
    """`JsonScalar(object, name)`: a text as `"` and the text, any other scalar as JSON, NULL for all else.

    `object` is a column of JSON text, `name` that of a member of its top level.
    """

    name = "json_scalar"
    type = Text()
    inherit_cache = True


@compiles(JsonScalar, "sqlite")
def _for_sqlite(element: JsonScalar, compiler: SQLCompiler, **options: Any) -> str:
    return f"{_FUNCTION}({compiler.process(element.clauses, **options)})"


@compiles(JsonScalar, "postgresql")
def _for_postgresql(element: JsonScalar, compiler: SQLCompiler, **options: Any) -> str:
    stored, name = (compiler.process(clause, **options) for clause in element.clauses)
    member = f"(CAST({stored} AS JSON) -> CAST({name} AS TEXT))"
    return (
        f"CASE json_typeof{member} WHEN 'string' THEN '{TEXT}' || ({member} #>> '{{}}') "
        f"WHEN 'number' THEN CAST({member} AS TEXT) WHEN 'boolean' THEN CAST({member} AS TEXT) "
        f"WHEN 'null' THEN 'null' END"
    )


def read_scalar(stored: str | None, name: str) -> str | None:
    """Return what `JsonScalar` is for a stored text; the text is one that the service has written."""
    if stored is None:
        return None
    values = json.loads(stored)
    if not isinstance(values, dict) or name not in values or isinstance(values[name], dict | list):
        return None
    value = values[name]
    return TEXT + value if isinstance(value, str) else dumps(value)


def scalars_equal_to(text: str) -> list[str]:
    """Return the scalars, in the form of `JsonScalar`, that a person means by a text: it, and what it is as JSON.

    A number is meant in each way of writing it: `1`, `1.0` and `1e0` are one number.
    """
    found = [TEXT + text]
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return found
    if isinstance(value, str):
        found.append(TEXT + value)
    elif value is None or isinstance(value, bool):
        found.append(dumps(value))
    elif isinstance(value, int | float):
        found += _spellings(value)
    return list(dict.fromkeys(found))


def add_function(connection: sqlite3.Connection) -> None:
    """Add the function that `JsonScalar` calls to a connection of SQLite."""
    connection.create_function(_FUNCTION, 2, read_scalar, deterministic=True)


def _spellings(number: float) -> list[str]:
    """Return how `dumps` writes a finite number as an integer and as a float, if it can be both."""
    if number == 0:
        return ["0", "0.0", "-0.0"]
    found = [number]
    if isinstance(number, int):
        try:
            as_float = float(number)
        except OverflowError:
            return [dumps(number)]
        found += [as_float] if as_float == number else []
    elif number.is_integer():
        found.append(int(number))
    return [dumps(each) for each in found if abs(each) != float("inf")]


def _refuse(constant: str) -> float:
    raise ValueError(constant)
