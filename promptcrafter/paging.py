"""Lists: a bare JSON array, whole and streamed by default, in pages or in another form when asked.

Pages are found by keyset: a cursor holds the sort values of the last row shown, so page 1,000 costs what page 1
does and rows added meanwhile shift nothing.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from itertools import chain, islice
from typing import Any
from urllib.parse import urlencode

from flask import Response, current_app, request
from marshmallow import Schema, fields, validate
from sqlalchemy import ColumnElement, Result, Row, Select, SQLColumnExpression, literal, tuple_
from sqlalchemy.orm import Session
from werkzeug.datastructures import MIMEAccept
from werkzeug.urls import iri_to_uri

from promptcrafter import clock
from promptcrafter.db import Reader, engine, session
from promptcrafter.fields import Text, WholeDigits
from promptcrafter.formats import WRITERS, join_to_pieces
from promptcrafter.projection import Projection

MAX_PER_PAGE = 1000
_DEFAULT_PER_PAGE = 100  # for a cursor that comes without per_page
_ROWS_AT_ONCE = 20  # each may hold a mebibyte of text
RANK = "[0-9]{1,19}"
_LARGEST_RANK = 0x7FEF_FFFF_FFFF_FFFF  # of the largest finite double
TIME, SEQUENCE = "[0-9]{1,14}", "[0-9]{1,18}"  # a cursor's numbers: up to the year 5138, up to what a BIGINT holds
_MIMETYPE = "application/json"
Columns = Sequence[SQLColumnExpression[Any]]


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


@dataclass(frozen=True)
class Order:
    """What a list is sorted by: columns, the last of them unique, all of them in one direction."""

    columns: Columns
    is_ascending: bool = False

    def sort(self, select: Select[Any]) -> Select[Any]:
        """Return the select, sorted."""
        return select.order_by(*(column.asc() if self.is_ascending else column.desc() for column in self.columns))

    def begin_after(self, select: Select[Any], cursor: str) -> Select[Any]:
        """Return the select from behind the row that the cursor names."""
        here, there = tuple_(*self.columns), tuple_(*_read_cursor(cursor, self.columns))
        return select.where(here > there if self.is_ascending else here < there)

    def page(self, select: Select[Any], cursor: str | None, count: int) -> tuple[Select[Any], Columns]:
        """Return the select, which is sorted, bounded to so many rows from behind the one that the cursor names.

        With it come the columns whose values make the cursor of a row.
        """
        return (select if cursor is None else self.begin_after(select, cursor)).limit(count), self.columns


class _Objects:
    """Does what a Projection does by objects of the model, in which more than one table may have a part."""

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
    shown: Schema | Projection,
    page: dict[str, Any],
) -> Response:
    """Answer a list of what `select` finds, as JSON, NDJSON or CSV, whichever the request accepts best.

    It is sorted by `order`, descending if these are columns alone. What is shown of a row is a schema's business, or a
    projection's where lists are long and one table has it all. `page` is a loaded PageQuery whose cursor has a number
    for each of the columns of the order.
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
        cursor = _write_cursor(rows[per_page - 1][-len(columns) :], columns)
        arguments = {**request.args.to_dict(), "per_page": per_page, "cursor": cursor}
        response.headers["Link"] = f'<{_own_url()}?{urlencode(arguments)}>; rel="next"'
    return response


def each_batch(
    select: Select[Any], columns: Sequence[SQLColumnExpression[Any]], size: int
) -> Iterator[Sequence[Row[Any]]]:
    """Yield the sort values of what `select` finds, `size` rows at a time, in the ascending order of `columns`.

    Each batch is found by a query and a transaction of its own, so that others may come between.
    """
    order = Order(columns, is_ascending=True)
    following = batch = order.sort(select.with_only_columns(*columns)).limit(size)
    while rows := session.execute(following).all():
        session.close()
        yield rows
        following = order.begin_after(batch, _write_cursor(rows[-1], columns))


def _whole(select: Select[Any], items: Projection | _Objects) -> Response:
    session.close()
    reader = Reader(engine())  # lives as long as the answer, longer than the request
    try:
        rows = items.execute(reader, select.execution_options(yield_per=_ROWS_AT_ONCE)).partitions()
        response = _respond(chain.from_iterable(rows), items)  # begins to read: a failure can still be told
    except BaseException:
        reader.close()
        raise

    response.call_on_close(reader.close)
    return response


def _respond(rows: Iterable[Row[Any]], items: Projection | _Objects) -> Response:
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


def _write_cursor(values: Sequence[Any], sort: Sequence[SQLColumnExpression[Any]]) -> str:
    return "-".join(str(_number(column, value)) for column, value in zip(sort, values, strict=True))


def _number(column: Any, value: Any) -> int:
    writers: dict[type, Callable[[Any], int]] = {datetime: clock.to_number, float: _to_rank}
    return writers.get(column.type.python_type, int)(value)


def _read_cursor(cursor: str, sort: Sequence[SQLColumnExpression[Any]]) -> list[ColumnElement[Any]]:
    """Make parameters of the columns' own types, which plain values would lose in a row comparison."""
    return [_bind(column, int(number)) for column, number in zip(sort, cursor.split("-"), strict=True)]


def _bind(column: Any, number: int) -> ColumnElement[Any]:
    read = {datetime: clock.from_number, float: _from_rank}.get(column.type.python_type, int)
    return literal(read(number), column.type)


def _to_rank(value: float) -> int:
    """Return a whole number in whose order floats from 0 on stand; 0 for a negative one, which means none.

    The bits of an IEEE 754 double of that sign, read as an integer, have the order of the numbers.
    """
    return 0 if value < 0 else int(struct.unpack(">q", struct.pack(">d", value))[0]) + 1


def _from_rank(rank: int) -> float:
    """Return the float of that rank, -1 for 0."""
    bits = min(rank - 1, _LARGEST_RANK)
    return float(struct.unpack(">d", struct.pack(">q", bits))[0]) if rank else -1.0
