"""Traces from outside in the database: they grow by spans that arrive in any order, several times or in parallel.

All that arrives for a trace is written while its row is locked, so that two requests never store one span twice. Call
these functions inside `transactions.writing()`. They take and return columns by the names of the models' attributes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    String,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from promptcrafter import clock
from promptcrafter.database import young_tables
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledWrite, change_rows, from_arrays
from promptcrafter.database.deletions import is_present
from promptcrafter.database.session import is_sqlite, request_connection
from promptcrafter.ids import new_id
from promptcrafter.jsonio import dumps
from promptcrafter.logs.models import Log
from promptcrafter.traces.growth import COLUMNS_FROM_SPANS
from promptcrafter.traces.models import Span, Trace
from promptcrafter.traces.store import EMPTY_SPAN
from promptcrafter.workspaces import quota
from promptcrafter.workspaces.principal import Principal

_TRACES, _SPANS = Base.metadata.tables["traces"], Base.metadata.tables["spans"]
_LARGE = ("input", "output", "meta", "organization", "user")  # columns of traces that need not be read to grow them
_SOUGHT = ("workspace_id", "id", "source", "external_id")  # by the foreign keys of logs and spans, and by `_lock`
_READ = tuple(name for name in ("cost", *COLUMNS_FROM_SPANS) if name not in _LARGE)
SpanKey = tuple[str, str]  # the id of a trace here, and the client's id of a span


class LockedTrace(NamedTuple):
    """A trace from outside, locked until the commit.

    `values` are the columns that `growth.compute_changes` reads, and `cost`.
    """

    id: str
    seq: int
    is_new: bool
    values: Mapping[str, Any]


def _insert_unknown() -> CompiledWrite:
    """Return the statement that inserts traces from outside unless there are such."""
    names = ("id", "workspace_id", "author_id", "source", "external_id", "created_at", "cost", *COLUMNS_FROM_SPANS)
    columns = {name: _column(Trace, name) for name in names}
    arrays = from_arrays({name: column.type for name, column in columns.items()})
    conflict: dict[str, Any] = {
        "index_elements": (_TRACES.c.workspace_id, _TRACES.c.source, _TRACES.c.external_id),
        "index_where": _TRACES.c.external_id.is_not(None),
    }
    new = {each.name: bindparam(name, type_=each.type) for name, each in columns.items()}
    selected = select(*(arrays.c[name] for name in columns))
    return CompiledWrite(
        [sqlite.insert(_TRACES).values(new).on_conflict_do_nothing(**conflict)],
        postgresql.insert(_TRACES)
        .from_select([each.name for each in columns.values()], selected)
        .on_conflict_do_nothing(**conflict),
    )


def _insert_spans() -> CompiledWrite:
    columns = {name: _column(Span, name) for name in EMPTY_SPAN}
    arrays = from_arrays({name: column.type for name, column in columns.items()})
    new = {each.name: bindparam(name, type_=each.type) for name, each in columns.items()}
    into = insert(_SPANS).inline()
    return CompiledWrite(
        [into.values(new)],
        into.from_select([each.name for each in columns.values()], select(*(arrays.c[name] for name in columns))),
    )


def _column(model: type[Base], name: str) -> Any:
    return getattr(model, name).property.columns[0]


_INSERT_UNKNOWN, _INSERT_SPANS = _insert_unknown(), _insert_spans()


def lock_traces(principal: Principal, source: str, new: Mapping[str, Mapping[str, Any]]) -> dict[str, LockedTrace]:
    """Return the traces with these ids from outside, by that id, locked until the commit.

    `new` has the columns of each as it is to be made if there is none: `slug` and others of `COLUMNS_FROM_SPANS`, and
    `cost`. They are made and locked in one order, so that requests with several traces never wait for each other in a
    circle.
    """
    common = {
        **dict.fromkeys(("cost", *COLUMNS_FROM_SPANS)),
        **{"workspace_id": principal.workspace_id, "author_id": principal.user_id},
        **{"source": source, "created_at": clock.now()},
    }
    rows = [{**common, **new[each], "external_id": each, "id": new_id("trace")} for each in sorted(new)]
    _INSERT_UNKNOWN.execute(rows)
    quota.check_growth(principal.workspace_id)
    locked = _lock(principal, source, new.keys(), {row["id"] for row in rows})
    young_tables.note_growth(_TRACES, _SOUGHT, (trace.seq for trace in locked.values() if trace.is_new))
    return locked


def lock_known_traces(principal: Principal, source: str, external_ids: Collection[str]) -> dict[str, LockedTrace]:
    """Return those of the traces with these ids from outside that exist, by that id, locked until the commit."""
    return _lock(principal, source, external_ids, frozenset())


def have_arrived(principal: Principal, source: str, external_ids: Collection[str]) -> bool:
    """Return whether there are traces with all of these ids from outside."""
    arrived = select(func.count()).select_from(Trace).where(_is_own(principal, source, external_ids))
    return request_connection().scalar(arrived) == len(external_ids)


def _lock(
    principal: Principal, source: str, external_ids: Collection[str], made: Collection[str]
) -> dict[str, LockedTrace]:
    locked = (
        select(Trace.external_id, Trace.id, Trace.seq, *(getattr(Trace, name) for name in _READ))
        .where(_is_own(principal, source, external_ids))
        .order_by(Trace.external_id)
        .with_for_update()
    )
    return {
        row["external_id"]: LockedTrace(row["id"], row["seq"], row["id"] in made, dict(row))
        for row in request_connection().execute(locked).mappings()
    }


def _is_own(principal: Principal, source: str, external_ids: Collection[str]) -> ColumnElement[bool]:
    owned = (Trace.workspace_id == principal.workspace_id) & (Trace.source == source)
    return and_(owned, Trace.external_id.in_(list(external_ids)), Trace.external_id.is_not(None), is_present(Trace))


def change_traces(changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Set columns of locked traces, given by their sequence numbers."""
    change_rows(_TRACES, {seq: _by_column(Trace, values) for seq, values in changes.items()})


def get_spans(keys: Collection[SpanKey]) -> list[Mapping[str, Any]]:
    """Return the rows of the stored spans with these keys."""
    return _read(keys, _SPANS_NEAR)


def get_calls_inside(keys: Collection[SpanKey]) -> list[Mapping[str, Any]]:
    """Return the rows of the spans that are calls directly inside of these spans."""
    return _read(keys, _CALLS_INSIDE)


def get_logs(keys: Collection[SpanKey]) -> list[Mapping[str, Any]]:
    """Return the rows of the logs of these spans, locked until the commit: nobody can review them meanwhile."""
    return _read(keys, _LOGS_NEAR)


def get_logs_inside(keys: Collection[SpanKey]) -> list[Mapping[str, Any]]:
    """Return the rows of the logs of calls directly inside of these spans, locked as those of `get_logs`."""
    return _read(keys, _LOGS_INSIDE)


def get_log_ids(keys: Collection[SpanKey]) -> dict[SpanKey, str]:
    """Return the ids of the logs of these spans, without those that are deleted, by their keys."""
    return {(row["trace_id"], row["span_id"]): row["id"] for row in _read(keys, _IDS_OF_LOGS)}


def get_known_spans(keys: Collection[SpanKey]) -> set[SpanKey]:
    """Return those of the keys for which there is a span."""
    return {(row["trace_id"], row["span_id"]) for row in _read(keys, _IDS_OF_SPANS)}


def add_spans(spans: Sequence[Mapping[str, Any]]) -> None:
    """Insert spans of traces from outside, with the ids of workspace and trace among their columns."""
    if spans:
        _INSERT_SPANS.execute([{**EMPTY_SPAN, **span, "ordinal": 0} for span in spans])


def change_spans(changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Set columns of spans, given by their sequence numbers."""
    change_rows(_SPANS, {seq: _by_column(Span, values) for seq, values in changes.items()})


def remove_spans(seqs: Collection[int]) -> None:
    """Delete spans: what was known of them has become a log."""
    if seqs:
        request_connection().execute(delete(_SPANS).where(_SPANS.c.seq.in_(seqs)))


def _read(keys: Collection[SpanKey], make_select: Callable[[bool], Select[Any]]) -> list[Mapping[str, Any]]:
    """Return the rows that the select has for these keys. Its text is always the same, so it is compiled once."""
    if not keys:
        return []
    ordered = sorted(keys)
    trace_ids, span_ids = zip(*ordered, strict=True)
    parameters = {"keys": dumps(ordered)} if is_sqlite() else {"trace_id": list(trace_ids), "span_id": list(span_ids)}
    return [dict(row) for row in request_connection().execute(make_select(is_sqlite()), parameters).mappings()]


def _select_near(
    model: type[Log | Span], span_id: SQLColumnExpression[Any], condition: ColumnElement[bool], *names: str
) -> Callable[[bool], Select[Any]]:
    """Return a function to the select, on SQLite or PostgreSQL, of the rows whose `span_id` is in the keys.

    It reads the columns with these names; without any, all of them, and locks the rows until the commit.
    """
    columns = [getattr(model, name).label(name) for name in names or model.__mapper__.column_attrs.keys()]

    @cache
    def make(on_sqlite: bool) -> Select[Any]:
        if on_sqlite:
            wanted: Any = func.json_each(bindparam("keys", type_=String)).table_valued("value", name="wanted")
            trace, span = (func.json_extract(wanted.c.value, f"$[{place}]") for place in (0, 1))
        else:
            wanted = from_arrays({"trace_id": String(), "span_id": String()})
            trace, span = wanted.c.trace_id, wanted.c.span_id
        is_wanted = (model.trace_id == trace) & (span_id == span)
        found = select(*columns).select_from(wanted).join(model, is_wanted).where(condition)
        return found if names else found.with_for_update(of=model)

    return make


# With the value in the text, because SQLite uses a partial index only then
_BY_OTLP = Log.source == literal_column("'otlp'")
_SPANS_NEAR = _select_near(Span, Span.span_id, Span.ordinal == 0)
_CALLS_INSIDE = _select_near(Span, Span.parent_id, Span.call.is_not(None))
_IDS_OF_SPANS = _select_near(Span, Span.span_id, Span.ordinal == 0, "trace_id", "span_id")
_IDS_OF_LOGS = _select_near(Log, Log.span_id, and_(_BY_OTLP, is_present(Log)), "trace_id", "span_id", "id")
_LOGS_NEAR = _select_near(Log, Log.span_id, _BY_OTLP)
_LOGS_INSIDE = _select_near(Log, Log.parent_span_id, _BY_OTLP)


def _by_column(model: type[Base], by_attribute: Mapping[str, Any]) -> dict[str, Any]:
    return {_column(model, name).name: value for name, value in by_attribute.items()}
