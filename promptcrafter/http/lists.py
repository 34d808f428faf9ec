"""Responses that are lists: by default one JSON array, streamed; NDJSON or CSV by `Accept`, pages by the query.

Pages use keyset pagination: see `database.keyset`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from itertools import chain, islice
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import sqlalchemy
from flask import Response, current_app, request
from marshmallow import Schema, fields
from sqlalchemy import ColumnElement, LargeBinary, Result, Row, Select, SQLColumnExpression, cast, func, literal
from sqlalchemy.orm import Session
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_options_header
from werkzeug.urls import iri_to_uri

from promptcrafter import clock
from promptcrafter.database.keyset import Columns, Order, write_cursor
from promptcrafter.database.session import (
    STREAM_ROWS,
    ReadSession,
    is_sqlite,
    request_session,
    session,
    stream_session,
    stream_snapshot,
    weigh,
)
from promptcrafter.http.fields import is_relative_time
from promptcrafter.http.formats import BYTE_ORDER_MARK, CSV, NDJSON_TYPES, WRITERS, join_to_pieces, write_json
from promptcrafter.http.page_query import DEFAULT_PER_PAGE
from promptcrafter.http.row_serializer import RowSerializer, is_long
from promptcrafter.jsonio import dumps

_FEW_ROWS = 10  # of a page that is read whatever its size; each may have some megabytes
_PAGE_BYTES = 4 * 1024 * 1024  # of a page that is read as a whole; a larger one is streamed
_DEFAULT_MEDIA_TYPE = "application/json"


class _ModelRows:
    """Loads rows as model objects and serializes them with a schema; has the interface of RowSerializer.

    Unlike a RowSerializer it can show relationships, which need more than one table.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def execute(self, reader: Session, select: Select[Any], *others: SQLColumnExpression[Any]) -> Result[Any]:
        return reader.execute(select.add_columns(*others))

    def size_of(self, select: Select[Any]) -> ColumnElement[int]:
        long = [column for column in select.selected_columns if is_long(column)]
        sizes = [func.length(cast(text, LargeBinary)) if is_sqlite() else func.octet_length(text) for text in long]
        return sum((func.coalesce(size, 0) for size in sizes), literal(0))

    def weigh(self, row: Row[Any]) -> int:
        return weigh(row)

    def dump(self, row: Row[Any]) -> dict[str, Any]:
        dumped: dict[str, Any] = self.schema.dump(row[0])
        return dumped


class ColumnRows(_ModelRows):
    """Serializes rows of columns, such as those of an aggregation, whose names are the attributes of the schema."""

    def dump(self, row: Row[Any]) -> dict[str, Any]:
        dumped: dict[str, Any] = self.schema.dump(row)
        return dumped


_Serializer = RowSerializer | _ModelRows
_Respond = Callable[[Iterable[Row[Any]], _Serializer], Response]


def list_response(
    select: Select[Any],
    order: Order | Sequence[SQLColumnExpression[Any]],
    serializer: Schema | _Serializer,
    page: dict[str, Any],
    resolved: Mapping[str, Any] = MappingProxyType({}),
) -> Response:
    """Return the rows of `select` as JSON, NDJSON or CSV, whichever the request prefers.

    `order` is the sort order; columns alone sort in descending order. `serializer` is a schema, a RowSerializer for
    long lists whose fields all come from one table, or ColumnRows for a select of columns. `page` is a loaded PageQuery
    whose cursor has one number for each column of the order; without `per_page` and `cursor` the whole list is
    streamed. The link to the next page has the values in `resolved` instead of parameters whose meaning may change,
    such as a label, and lacks those that are None there; it has times instead of how long ago they were.
    """
    order = order if isinstance(order, Order) else Order(order)
    rows_serializer = _ModelRows(serializer) if isinstance(serializer, Schema) else serializer
    if "per_page" not in page and "cursor" not in page:
        return _stream_all(order.split(select), rows_serializer, _rows_response)
    per_page = page.get("per_page", DEFAULT_PER_PAGE)
    select, columns = order.page(order.sort(select), page.get("cursor"), per_page + 1)
    rows = _read_page(select, columns, rows_serializer, per_page)
    if rows is not None:
        keys: list[Sequence[Any]] = [row[-len(columns) :] for row in rows[per_page - 1 :]]
        response = _rows_response(rows[:per_page], rows_serializer)
    else:
        response, keys = _stream_page(select, columns, rows_serializer, per_page)
    if len(keys) > 1:
        cursor = write_cursor(keys[0], columns)
        named = {**request.args.to_dict(flat=False), **_resolve_times(page), **resolved}
        given = {name: value for name, value in named.items() if value is not None}
        arguments = {**given, "per_page": per_page, "cursor": cursor}
        response.headers["Link"] = f'<{_own_url()}?{urlencode(arguments, doseq=True)}>; rel="next"'
    return response


def _resolve_times(page: Mapping[str, Any]) -> dict[str, str]:
    """Return the times that relative ones among the query parameters stood for, so that pages do not shift."""
    return {
        name: clock.to_text(page[name])
        for name, text in request.args.items()
        if isinstance(page.get(name), datetime) and is_relative_time(text)
    }


def _read_page(select: Select[Any], columns: Columns, serializer: _Serializer, per_page: int) -> list[Row[Any]] | None:
    """Return the rows of a page and the next one, each followed by its sort values; None if they are too large.

    A few rows are always read. Of more, the size is known while SQLite reads them one by one. PostgreSQL sends all at
    once, so it leaves out those that are too large. Objects are loaded at once, so the database is asked for the size
    first.
    """
    request = request_session()
    if per_page <= _FEW_ROWS:
        return list(serializer.execute(request, select, *columns))
    if isinstance(serializer, _ModelRows):
        is_large = _weigh_in_database(select, serializer) > _PAGE_BYTES
        return None if is_large else list(serializer.execute(request, select, *columns))
    if not is_sqlite():
        return serializer.read_small(request, select, columns, _PAGE_BYTES)
    rows: list[Row[Any]] = []
    weight = 0
    result = serializer.execute(request, select, *columns)
    for batch in request.each_batch(result, weigh_row=serializer.weigh):
        rows += batch
        weight += sum(map(serializer.weigh, batch))
        if weight > _PAGE_BYTES:
            return None
    return rows


def _stream_page(
    select: Select[Any], columns: Columns, serializer: _Serializer, per_page: int
) -> tuple[Response, list[Sequence[Any]]]:
    """Return the streamed response with a page, and the sort values of its last row, with those of the next if any."""
    reader = stream_snapshot()  # in which both queries have the same rows
    try:
        keys = reader.execute(select.with_only_columns(*columns)).all()
        response = _stream(reader, [select.limit(per_page)], serializer, _rows_response)
    except BaseException:
        reader.close()
        raise
    return response, list(keys[per_page - 1 :])


def _weigh_in_database(select: Select[Any], serializer: _ModelRows) -> int:
    """Return how many bytes of text the rows have. PostgreSQL need not read the texts for that."""
    sizes = select.with_only_columns(serializer.size_of(select).label("size")).subquery()
    return int(session.connection().execute(sqlalchemy.select(func.coalesce(func.sum(sizes.c.size), 0))).scalar_one())


def object_response(head: Mapping[str, Any], lists: Mapping[str, tuple[Select[Any], RowSerializer]]) -> Response:
    """Return a JSON object with the fields of `head` and, last, lists of rows, streamed.

    `lists` has the select of the rows of each list, and their serializer.
    """
    reader = stream_snapshot()  # in which all lists are of one time

    def text() -> Iterator[str]:
        yield dumps(head)[:-1]
        for name, (select, serializer) in lists.items():
            yield f",{dumps(name)}:"
            yield from write_json(map(serializer.dump, _each_row(reader, select, serializer)), ())
        yield "}"
        reader.close()

    try:
        response = _text_response(text(), _DEFAULT_MEDIA_TYPE)
    except BaseException:
        reader.close()
        raise
    response.call_on_close(reader.close)
    return response


def _stream_all(selects: Sequence[Select[Any]], serializer: _Serializer, respond: _Respond) -> Response:
    reader = stream_session() if len(selects) == 1 else stream_snapshot()  # in which all have the same rows
    try:
        response = _stream(reader, selects, serializer, respond)
    except BaseException:
        reader.close()
        raise
    return response


def _stream(
    reader: ReadSession, selects: Sequence[Select[Any]], serializer: _Serializer, respond: _Respond
) -> Response:
    """Return the response with all rows of the selects, one after the other.

    It closes the reader when they are read or it is sent.
    """

    def rows() -> Iterator[Row[Any]]:
        for select in selects:
            yield from _each_row(reader, select, serializer)
        reader.close()

    # reads the first rows, so that a failing query still becomes an error response
    response = respond(rows(), serializer)
    response.call_on_close(reader.close)
    return response


def _each_row(reader: ReadSession, select: Select[Any], serializer: _Serializer) -> Iterator[Row[Any]]:
    result = serializer.execute(reader, select.execution_options(yield_per=STREAM_ROWS))
    yield from chain.from_iterable(reader.each_batch(result, weigh_row=serializer.weigh))


def _rows_response(rows: Iterable[Row[Any]], serializer: _Serializer) -> Response:
    dumped = map(serializer.dump, rows)
    columns = columns_of(serializer.schema)
    return negotiated_response({media_type: partial(write, dumped, columns) for media_type, write in WRITERS.items()})


def negotiated_response(writers: Mapping[str, Callable[[], Iterable[str]]]) -> Response:
    """Return a response in the media type that the request's `Accept` prefers, JSON if it accepts none of them.

    `writers` maps media types, JSON among them, to functions that return the text of the body in parts. Only that of
    the chosen type is called. NDJSON may be asked for by any of its names. CSV begins with a byte order mark if the
    request asks for one.
    """
    if NDJSON_TYPES[0] in writers:
        writers = {**writers, **dict.fromkeys(NDJSON_TYPES, writers[NDJSON_TYPES[0]])}
    # of the parameters only `bom` has a meaning; a charset is ignored
    accepted = MIMEAccept([(parse_options_header(value)[0], quality) for value, quality in request.accept_mimetypes])
    media_type = accepted.best_match(writers, default=_DEFAULT_MEDIA_TYPE)
    text = writers[media_type]()
    if media_type == CSV and _wants_bom():
        text = chain([BYTE_ORDER_MARK], text)
    response = _text_response(text, media_type)
    response.headers["Vary"] = "Accept"
    return response


def _text_response(text: Iterable[str], media_type: str) -> Response:
    """Return a response whose text is read while it is sent, after the first two pieces."""
    pieces = join_to_pieces(text)
    first_pieces = list(islice(pieces, 2))
    # a body of one piece is sent with a Content-Length, a longer one in chunks
    body = chain(first_pieces, pieces) if len(first_pieces) > 1 else first_pieces[0]
    return current_app.response_class(body, mimetype=media_type)


def _wants_bom() -> bool:
    """Return whether CSV is to begin with a byte order mark: by the query, or else by the parameter of `text/csv`."""
    asked = request.args.get("bom")
    if asked is None:
        parsed = (parse_options_header(value) for value, _ in request.accept_mimetypes)
        asked = next((parameters.get("bom") for media_type, parameters in parsed if media_type == CSV), None)
    return asked == "1"


@cache
def columns_of(schema: Schema) -> list[str]:
    """Return the column names of a schema's table; a nested object has one for each of its fields: `score.mean`."""
    columns = []
    for name, field in schema.fields.items():
        own = field.data_key or name
        nested = columns_of(field.schema) if isinstance(field, fields.Nested) else []
        columns += [f"{own}.{inner}" for inner in nested] or [own]
    return columns


def _own_url() -> str:
    """Return the URL of this request without its query, in ASCII; only the path if the Host header is invalid."""
    return iri_to_uri(request.base_url) if request.host else request.root_path + request.path
