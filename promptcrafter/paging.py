"""Lists: a bare JSON array, whole and streamed by default, in pages when asked.

Pages are found by keyset: a cursor holds the sort values of the last row shown, so page 1,000 costs what page 1
does and rows added meanwhile shift nothing.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Response, current_app, request, stream_with_context
from marshmallow import Schema
from sqlalchemy import Row, Select, SQLColumnExpression, tuple_

from promptcrafter import clock
from promptcrafter.db import session
from promptcrafter.errors import Invalid
from promptcrafter.fields import Text, WholeDigits
from promptcrafter.jsonio import dumps

MAX_PER_PAGE = 1000
_DEFAULT_PER_PAGE = 100  # for a cursor that comes without per_page
_ROWS_AT_ONCE = 200
_MIMETYPE = "application/json"


class PageQuery(Schema):
    """The query parameters of every list."""

    per_page = WholeDigits(
        minimum=1, maximum=MAX_PER_PAGE, metadata={"description": "Rows of a page; without it the list comes whole."}
    )
    cursor = Text(metadata={"description": "Where the page begins: taken from the `Link` header of the one before."})


def listing(
    select: Select[Any], sort: Sequence[SQLColumnExpression[Any]], schema: Schema, page: dict[str, Any]
) -> Response:
    """Answer a list of what `select` finds, sorted descending by the columns `sort`, the last of them unique.

    `page` is a loaded PageQuery. Raises Invalid for a cursor that is not of this list.
    """
    select = select.add_columns(*sort).order_by(*(column.desc() for column in sort))
    if "per_page" not in page and "cursor" not in page:
        return _whole(select, schema)
    per_page = page.get("per_page", _DEFAULT_PER_PAGE)
    if "cursor" in page:
        select = select.where(tuple_(*sort) < tuple_(*_read_cursor(page["cursor"], sort)))
    rows = session.execute(select.limit(per_page + 1)).all()
    response = current_app.response_class(dumps([schema.dump(row[0]) for row in rows[:per_page]]), mimetype=_MIMETYPE)
    if len(rows) > per_page:
        arguments = {**request.args.to_dict(), "per_page": per_page, "cursor": _write_cursor(rows[per_page - 1][1:])}
        response.headers["Link"] = f'<{request.base_url}?{urlencode(arguments)}>; rel="next"'
    return response


def _whole(select: Select[Any], schema: Schema) -> Response:
    rows = session.execute(select.execution_options(yield_per=_ROWS_AT_ONCE)).partitions()
    first = next(rows, [])  # before the answer begins, so that a failure can still be told

    def body() -> Iterator[str]:
        yield "["
        yield _joined(first, schema)
        for partition in rows:
            yield "," + _joined(partition, schema)
        yield "]"

    return current_app.response_class(stream_with_context(body()), mimetype=_MIMETYPE)


def _joined(rows: Sequence[Row[Any]], schema: Schema) -> str:
    return ",".join(dumps(schema.dump(row[0])) for row in rows)


def _write_cursor(values: Sequence[Any]) -> str:
    plain = [clock.to_text(value) if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(dumps(plain).encode()).decode().rstrip("=")


def _read_cursor(cursor: str, sort: Sequence[SQLColumnExpression[Any]]) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(values, list):
            raise ValueError("not a list")
        return [_like(column, value) for column, value in zip(sort, values, strict=True)]
    except (ValueError, binascii.Error, RecursionError) as error:
        raise Invalid({"cursor": ["is not one that this list gave"]}) from error


def _like(column: Any, value: Any) -> Any:
    wanted = column.type.python_type
    if wanted is datetime and isinstance(value, str):
        return clock.from_text(value)
    if type(value) is not wanted or (wanted is int and abs(value) >= 2**63):
        raise ValueError("not a value of this column")
    return value
