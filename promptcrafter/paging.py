"""Lists: a bare JSON array, whole and streamed by default, in pages when asked.

Pages are found by keyset: a cursor holds the sort values of the last row shown, so page 1,000 costs what page 1
does and rows added meanwhile shift nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from flask import Response, current_app, request
from marshmallow import Schema, validate
from sqlalchemy import ColumnElement, Row, Select, SQLColumnExpression, literal, tuple_
from sqlalchemy.orm import Session
from werkzeug.urls import iri_to_uri

from promptcrafter import clock
from promptcrafter.db import engine, session
from promptcrafter.fields import Text, WholeDigits
from promptcrafter.jsonio import dumps

MAX_PER_PAGE = 1000
_DEFAULT_PER_PAGE = 100  # for a cursor that comes without per_page
_ROWS_AT_ONCE = 20  # each may hold a mebibyte of text
TIME, SEQUENCE = "[0-9]{1,14}", "[0-9]{1,18}"  # a cursor's numbers: up to the year 5138, up to what a BIGINT holds
_PIECE_CHARACTERS = 64 * 1024
_MIMETYPE = "application/json"


class Cursor(Text):
    """The sort values of the last row shown: whole numbers joined by hyphens, times in milliseconds since 1970."""

    def __init__(self, numbers: str) -> None:
        description = "Where the page begins: taken from the `Link` header of the one before."
        super().__init__(metadata={"pattern": f"^{numbers}$", "description": description})
        self.validators.append(validate.Regexp(rf"{numbers}\Z", error="is not one that this list gave"))


class PageQuery(Schema):
    """The query parameters of every list; the cursor is of one sorted by time and sequence."""

    per_page = WholeDigits(
        minimum=1, maximum=MAX_PER_PAGE, metadata={"description": "Rows of a page; without it the list comes whole."}
    )
    cursor = Cursor(f"{TIME}-{SEQUENCE}")


def listing(
    select: Select[Any], sort: Sequence[SQLColumnExpression[Any]], schema: Schema, page: dict[str, Any]
) -> Response:
    """Answer a list of what `select` finds, sorted descending by the columns `sort`, the last of them unique.

    `page` is a loaded PageQuery whose cursor has a number for each of these columns.
    """
    select = select.add_columns(*sort).order_by(*(column.desc() for column in sort))
    if "per_page" not in page and "cursor" not in page:
        return _whole(select, schema)
    per_page = page.get("per_page", _DEFAULT_PER_PAGE)
    if "cursor" in page:
        select = select.where(tuple_(*sort) < tuple_(*_read_cursor(page["cursor"], sort)))
    rows = session.execute(select.limit(per_page + 1)).all()
    response = current_app.response_class(_array(rows[:per_page], schema), mimetype=_MIMETYPE)
    if len(rows) > per_page:
        arguments = {**request.args.to_dict(), "per_page": per_page, "cursor": _write_cursor(rows[per_page - 1][1:])}
        response.headers["Link"] = f'<{_own_url()}?{urlencode(arguments)}>; rel="next"'
    return response


def _whole(select: Select[Any], schema: Schema) -> Response:
    session.close()
    reader = Session(engine())  # lives as long as the answer, longer than the request
    try:
        rows = reader.execute(select.execution_options(yield_per=_ROWS_AT_ONCE)).partitions()
        first = next(rows, [])  # before the answer begins, so that a failure can still be told
    except BaseException:
        reader.close()
        raise

    all_rows = chain(first, chain.from_iterable(rows))
    response = current_app.response_class(_array(all_rows, schema), mimetype=_MIMETYPE)
    response.call_on_close(reader.close)
    return response


def _array(rows: Iterable[Row[Any]], schema: Schema) -> Iterator[str]:
    """Write rows as a JSON array, in pieces of some tens of kilobytes or one row."""
    piece, size, separator = ["["], 0, ""
    for row in rows:
        text = separator + dumps(schema.dump(row[0]))
        piece.append(text)
        size += len(text)
        separator = ","
        if size >= _PIECE_CHARACTERS:
            yield "".join(piece)
            piece, size = [], 0
    yield "".join([*piece, "]"])


def _own_url() -> str:
    """Return the URL of this call without its query, in ASCII; only its path when the Host header is no host."""
    return iri_to_uri(request.base_url) if request.host else request.path


def _write_cursor(values: Sequence[Any]) -> str:
    return "-".join(str(clock.to_number(value) if isinstance(value, datetime) else value) for value in values)


def _read_cursor(cursor: str, sort: Sequence[SQLColumnExpression[Any]]) -> list[ColumnElement[Any]]:
    """Make parameters of the columns' own types, which plain values would lose in a row comparison."""
    return [_bind(column, int(number)) for column, number in zip(sort, cursor.split("-"), strict=True)]


def _bind(column: Any, number: int) -> ColumnElement[Any]:
    is_time = column.type.python_type is datetime
    return literal(clock.from_number(number) if is_time else number, column.type)
