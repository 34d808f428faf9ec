"""PostgreSQL's arrays as literals, the text of which the server parses itself.

The driver would look up for every element how to write it, and takes ten times as long.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Dialect, Float, Integer, String
from sqlalchemy.types import TypeEngine, UserDefinedType

from promptcrafter.database.base import JsonText, UtcTime
from promptcrafter.jsonio import dumps


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quote_json(value: Any) -> str:
    return _quote(dumps(value))


def _quote_time(time: datetime) -> str:
    return f'"{time.isoformat()}"'


# How an element is written, and the type of the array in SQL, by the types of columns
_FORMS: tuple[tuple[type[TypeEngine[Any]], Callable[[Any], str], str], ...] = (
    (UtcTime, _quote_time, "TIMESTAMPTZ[]"),
    (JsonText, _quote_json, "TEXT[]"),
    (String, _quote, "TEXT[]"),
    (Integer, repr, "BIGINT[]"),
    (Float, repr, "FLOAT8[]"),
)


class ArrayLiteral(UserDefinedType[Any]):
    """The type of a parameter that is a list of values of a column; None stands for NULL.

    Raises TypeError for a type of column that it cannot write.
    """

    cache_ok = True
    render_bind_cast = True

    def __init__(self, of: TypeEngine[Any]) -> None:
        form = next(((write, name) for type_, write, name in _FORMS if isinstance(of, type_)), None)
        if form is None:
            raise TypeError(f"no literal for {of!r}")
        self.of = of  # SQLAlchemy copies the type with it
        self._write, self._name = form

    def get_col_spec(self, **_: Any) -> str:
        """Return the name of the type in SQL."""
        return self._name

    def bind_processor(self, dialect: Dialect) -> Callable[[Sequence[Any] | None], str | None]:
        """Return the function from the list to the literal."""
        return self._to_literal

    def _to_literal(self, values: Sequence[Any] | None) -> str | None:
        if values is None:
            return None
        write = self._write
        return "{" + ",".join(["NULL" if value is None else write(value) for value in values]) + "}"
