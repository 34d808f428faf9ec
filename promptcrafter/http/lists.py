"""Lists: a bare JSON array, whole and streamed by default, in pages or in another form when asked.

Pages are found by keyset: see `keyset`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import chain, islice
from typing import Any
from urllib.parse import urlencode

from flask import Response, current_app, request
from marshmallow import Schema, fields
from sqlalchemy import Result, Row, Select, SQLColumnExpression
from sqlalchemy.orm import Session
from werkzeug.datastructures import MIMEAccept
from werkzeug.urls import iri_to_uri

from promptcrafter.database.keyset import Order, write_cursor
from promptcrafter.database.session import ReadSession, get_engine, session
from promptcrafter.http.formats import WRITERS, join_to_pieces
from promptcrafter.http.row_serializer import RowSerializer

_DEFAULT_PER_PAGE = 100  # for a cursor that comes without per_page
_ROWS_AT_ONCE = 20  # each may hold a mebibyte of text
_MIMETYPE = "application/json"


class _Objects:
    """Does what a RowSerializer does with objects of the model, which may be made of several tables."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def execute(self, reader: Session, found: Select[Any], *others: SQLColumnExpression[Any]) -> Result[Any]:
        return reader.execute(found.add_columns(*others))

    def dump(self, row: Row[Any]) -> dict[str, Any]:
        dumped: dict[str, Any] = self.schema.dump(row[0])
        return dumped


def listing(
    select: Select[Any],
    order: Order | Sequence[SQLColumnExpression[Any]],
    shown: Schema | RowSerializer,
    page: dict[str, Any],
) -> Response:
    """Answer a list of what `select` finds, as JSON, NDJSON or CSV, whichever the request accepts best.

    It is sorted by `order`, descending if these are columns alone. What is shown of a row is defined by a schema, or by
    a RowSerializer where lists are long and one table has it all. `page` is a loaded PageQuery whose cursor has a
    number for each of the columns of the order.
    """
    order = order if isinstance(order, Order) else Order(order)
    items = _Objects(shown) if isinstance(shown, Schema) else shown
    select = order.sort(select)
    if "per_page" not in page and "cursor" not in page:
        return _whole(select, items)
    per_page = page.get("per_page", _DEFAULT_PER_PAGE)
    select, columns = order.page(select, page.get("cursor"), per_page + 1)
    rows = items.execute(session(), select, *columns).all()
    response = _respond(rows[:per_page], items)
    if len(rows) > per_page:
        cursor = write_cursor(rows[per_page - 1][-len(columns) :], columns)
        arguments = {**request.args.to_dict(), "per_page": per_page, "cursor": cursor}
        response.headers["Link"] = f'<{_own_url()}?{urlencode(arguments)}>; rel="next"'
    return response


def _whole(select: Select[Any], items: RowSerializer | _Objects) -> Response:
    session.close()
    reader = ReadSession(get_engine())  # lives as long as the answer, longer than the request
    try:
        rows = items.execute(reader, select.execution_options(yield_per=_ROWS_AT_ONCE)).partitions()
        response = _respond(chain.from_iterable(rows), items)  # begins to read: a failure can still be told
    except BaseException:
        reader.close()
        raise

    response.call_on_close(reader.close)
    return response


def _respond(rows: Iterable[Row[Any]], items: RowSerializer | _Objects) -> Response:
    dumped = map(items.dump, rows)
    columns = columns_of(items.schema)
    return respond({form: partial(write, dumped, columns) for form, write in WRITERS.items()})


def respond(forms: Mapping[str, Callable[[], Iterable[str]]]) -> Response:
    """Answer in the form that the request accepts best, JSON if it accepts none of them."""
    # without parameters such as a charset, which no form is told apart by
    accepted = MIMEAccept([(form.partition(";")[0].strip(), quality) for form, quality in request.accept_mimetypes])
    mimetype = accepted.best_match(forms, default=_MIMETYPE)
    pieces = join_to_pieces(forms[mimetype]())
    begin = list(islice(pieces, 2))
    # of a single piece the length is known: it is sent at once, and not in chunks
    body = chain(begin, pieces) if len(begin) > 1 else begin[0]
    return current_app.response_class(body, mimetype=mimetype, headers={"Vary": "Accept"})


@cache
def columns_of(schema: Schema) -> list[str]:
    """Return the names of a table's columns, those of nested objects behind a dot: `score.mean`."""
    columns = []
    for name, field in schema.fields.items():
        own = field.data_key or name
        nested = columns_of(field.schema) if isinstance(field, fields.Nested) else []
        columns += [f"{own}.{inner}" for inner in nested] or [own]
    return columns


def _own_url() -> str:
    """Return the URL of this call without its query, in ASCII; only its path when the Host header is no host."""
    return iri_to_uri(request.base_url) if request.host else request.path
