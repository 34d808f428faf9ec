"""Traces in the database. Call the writing functions inside `transactions.writing()`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, insert, inspect, literal, not_, null, select

from promptcrafter import clock
from promptcrafter.database.base import Base
from promptcrafter.database.deletions import delete_or_defer
from promptcrafter.database.errors import translating
from promptcrafter.database.keyset import Order, each_batch
from promptcrafter.database.session import session
from promptcrafter.ids import new_id
from promptcrafter.logs.models import Log
from promptcrafter.logs.store import ParentDeleted, conditions, find_logs_of_trace
from promptcrafter.traces.models import Span, Trace
from promptcrafter.traces.tree import Link, Place
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.access import find_resources, get_resource
from promptcrafter.workspaces.principal import Principal


def _cut(column: Any, length: int) -> Any:
    return func.substr(column, 1, length).label(column.key)


_COMPUTED = ("seq", "duration_rank", "cost_rank")
_SEQS_PER_STATEMENT = 1000  # SQLite allows 32,766 parameters in a statement
_SHOWN_NAME, _SHOWN_ERROR = 200, 500  # characters of those in a tree
_OF_SPAN: Sequence[Any] = (
    *(Span.span_id, Span.parent_id, Span.type, Span.start_time, Span.end_time, Span.duration_ms, Span.status),
    *(_cut(Span.name, _SHOWN_NAME), _cut(Span.error, _SHOWN_ERROR), null().label("log_id")),
    *(null().label("model_used"), null().label("cost")),
)
_OF_LOG: Sequence[Any] = (
    *(Log.span_id, Log.parent_span_id.label("parent_id"), literal("generation").label("type"), Log.start_time),
    *(Log.end_time, Log.latency_ms.label("duration_ms"), Log.status, _cut(Log.name, _SHOWN_NAME)),
    *(_cut(Log.error, _SHOWN_ERROR), Log.id.label("log_id"), Log.model_used, Log.cost),
)
_FILTERS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "name": lambda name: Trace.name == name,
    "userId": lambda user_id: Trace.user_id == user_id,
    "sessionId": lambda session_id: Trace.session_id == session_id,
    "externalId": lambda external_id: and_(Trace.source == "otlp", Trace.external_id == external_id.lower()),
    "status": lambda status: Trace.status == status if status else Trace.status.is_(None),  # None: those that did not
    "source": lambda source: Trace.source == source,
    "since": lambda moment: Trace.created_at >= moment,
    "until": lambda moment: Trace.created_at < moment,
}


def _make_empty(model: type[Base]) -> dict[str, None]:
    """Return all attributes that the database does not fill in: the rows of one INSERT must have the same columns."""
    return {each.key: None for each in inspect(model).column_attrs if each.key not in _COMPUTED}


_EMPTY_TRACE, EMPTY_SPAN = _make_empty(Trace), _make_empty(Span)


def add_trace(principal: Principal, values: Mapping[str, Any]) -> Trace:
    """Insert a trace, with the columns of its `spans` if there are any.

    Raises ParentDeleted if its experiment was deleted since it was looked up.
    """
    spans = values.get("spans", ())
    trace = Trace(
        id=new_id("trace"),
        workspace_id=principal.workspace_id,
        author_id=principal.user_id,
        created_at=clock.now(),
        duration_ms=clock.measure_ms(values.get("start_time"), values.get("end_time")),
        **{name: value for name, value in values.items() if name != "spans"},
    )
    session.add(trace)
    quota.check_growth(trace.workspace_id)
    with translating({"fk_traces_workspace_id_experiment_id": ParentDeleted}):
        session.flush()
    _insert_spans({"workspace_id": trace.workspace_id, "trace_id": trace.id}, spans)
    return trace


def restore_traces(principal: Principal, traces: Sequence[Mapping[str, Any]]) -> None:
    """Insert traces of an import keeping their ids and times.

    Of two traces with one external id the first keeps it, and grows by what arrives later: the other one is a copy.
    """
    if not traces:
        return
    own = {"workspace_id": principal.workspace_id, "author_id": principal.user_id}
    taken = _get_external_ids(principal, [each["external_id"] for each in traces if "external_id" in each])
    rows = []
    for values in traces:
        row = {**_EMPTY_TRACE, **values, **own}
        row["duration_ms"] = clock.measure_ms(row["start_time"], row["end_time"])
        if row["external_id"] is not None and (row["source"], row["external_id"]) in taken:
            row["external_id"] = None
        taken.add((row["source"], row["external_id"]))
        rows.append(row)
    spans = [row.pop("spans", ()) for row in rows]
    session.execute(insert(Trace), rows)
    for row, of_trace in zip(rows, spans, strict=True):
        _insert_spans({"workspace_id": row["workspace_id"], "trace_id": row["id"]}, of_trace)
    quota.check_growth(principal.workspace_id)


def restore_spans(principal: Principal, spans: Sequence[Mapping[str, Any]]) -> None:
    """Insert spans of an import whose traces are stored."""
    if spans:
        own = {"workspace_id": principal.workspace_id, "ordinal": 0}
        session.execute(insert(Span), [{**EMPTY_SPAN, **values, **own} for values in spans])
        quota.check_growth(principal.workspace_id)


def _get_external_ids(principal: Principal, ids: Sequence[str]) -> set[tuple[str, str | None]]:
    """Return source and external id of those traces of the current workspace that have one of these ids."""
    found = select(Trace.source, Trace.external_id).where(Trace.workspace_id == principal.workspace_id)
    return {(row.source, row.external_id) for row in session.execute(found.where(Trace.external_id.in_(ids)))}


def _insert_spans(parents: Mapping[str, str], spans: Sequence[Mapping[str, Any]]) -> None:
    """Insert the spans of a trace in the order in which they came with it. Their ids may repeat."""
    if spans:
        rows = [{**EMPTY_SPAN, **span, **parents, "ordinal": place} for place, span in enumerate(spans)]
        session.execute(insert(Span), rows)


def find_traces(principal: Principal) -> Select[Trace]:
    """Return a select of the principal's traces."""
    return find_resources(principal, Trace)


def get_trace(principal: Principal, trace_id: str) -> Trace:
    """Return the principal's trace. Raises as `get_resource` does."""
    return get_resource(principal, Trace, trace_id)


def find_matching(principal: Principal, filters: Mapping[str, Any]) -> Select[Trace]:
    """Return a select of the principal's traces that match the filters of a TraceQuery."""
    return find_traces(principal).where(*(_FILTERS[name](filters[name]) for name in _FILTERS if name in filters))


def order_traces(sort: str) -> Order:
    """Return the order that the `sort` of a TraceQuery names."""
    newest = (Trace.created_at, Trace.seq)
    ranks = {"duration": (Trace.duration_rank,), "cost": (Trace.cost_rank,)}
    return Order((*ranks.get(sort.removeprefix("-"), ()), *newest), is_ascending=not sort.startswith("-"))


def find_spans(trace: Trace) -> Select[Span]:
    """Return a select of a trace's spans in the order in which they arrived."""
    return select(Span).where(Span.trace_id == trace.id).order_by(Span.seq)


def find_logs(trace: Trace) -> Select[Log]:
    """Return a select of a trace's logs in the order they were recorded."""
    return find_logs_of_trace(trace.id).order_by(Log.seq)


def count_nodes(trace: Trace) -> int:
    """Return how many spans and logs a trace has."""
    return sum(session.scalars(each.order_by(None).with_only_columns(func.count())).one() for each in _parts(trace))


def get_links(trace: Trace, most: int) -> list[Link]:
    """Return the spans and logs of a trace as `tree.arrange` takes them, at most `most`.

    Spans come first, in the order in which they arrived. Logs are only returned as far as there is room left.
    """
    spans, logs = _parts(trace)
    of_spans = spans.with_only_columns(Span.seq, Span.span_id, Span.parent_id, Span.start_time)
    of_logs = logs.with_only_columns(Log.seq, Log.span_id, Log.parent_span_id, Log.start_time)
    read = [(False, of_spans), (True, of_logs)]
    return [Link(is_log, *row) for is_log, each in read for row in session.execute(each.limit(most))][:most]


def get_nodes(trace: Trace, places: Sequence[Place]) -> list[dict[str, Any]]:
    """Return the columns of a NodeOut for spans and logs of a trace, in their order."""
    found: dict[tuple[bool, int], Any] = {}
    for is_log, model, columns in ((False, Span, _OF_SPAN), (True, Log, _OF_LOG)):
        seqs = [place.seq for place in places if place.is_log == is_log]
        for start in range(0, len(seqs), _SEQS_PER_STATEMENT):
            chosen = select(model.seq, *columns).where(model.seq.in_(seqs[start : start + _SEQS_PER_STATEMENT]))
            found |= {(is_log, row["seq"]): row for row in session.execute(chosen).mappings()}
    nodes = []
    for place in places:
        row = found.get((place.is_log, place.seq))
        if row is not None:  # else it was deleted meanwhile
            duration = row["duration_ms"]
            if duration is None:
                duration = clock.measure_ms(row["start_time"], row["end_time"])
            nodes.append({**row, "depth": place.depth, "duration_ms": duration})
    return nodes


def get_span(trace: Trace, span_id: str) -> Span | None:
    """Return the first span of a trace with this client's id, None if there is none."""
    named = find_spans(trace).where(Span.span_id == span_id)
    return session.scalars(named.order_by(Span.seq).limit(1)).first()


def _parts(trace: Trace) -> tuple[Select[Span], Select[Log]]:
    return find_spans(trace), find_logs(trace)


def count_expired(principal: Principal, filters: Mapping[str, Any]) -> int:
    """Return how many of the principal's traces are expired: see `each_expired`."""
    return session.scalars(_find_expired(principal, filters).with_only_columns(func.count())).one()


def each_expired(principal: Principal, filters: Mapping[str, Any], size: int) -> Iterator[list[int]]:
    """Yield the sequence numbers of the principal's expired traces, oldest first, `size` at a time.

    A trace is expired if it was created before the filter `until` and each of its logs matches the filters.
    """
    for rows in each_batch(_find_expired(principal, filters), (Trace.created_at, Trace.seq), size):
        yield [row[-1] for row in rows]


def remove_expired(principal: Principal, filters: Mapping[str, Any], sequence_numbers: Sequence[int]) -> int:
    """Delete the traces with these sequence numbers that are still expired; return how many."""
    expired = _find_expired(principal, filters).where(Trace.seq.in_(sequence_numbers)).with_only_columns(Trace.id)
    log_ids = session.scalars(select(Log.id).where(Log.trace_id.in_(expired))).all()  # which the database deletes, too
    ids = session.scalars(delete(Trace).where(Trace.id.in_(expired)).returning(Trace.id)).all()
    audit.forget(*ids, *log_ids)
    return len(ids)


def _find_expired(principal: Principal, filters: Mapping[str, Any]) -> Select[Trace]:
    remaining_log = select(Log.seq).where(Log.trace_id == Trace.id, not_(and_(*conditions(filters))))
    return find_traces(principal).where(Trace.created_at < filters["until"], ~remaining_log.exists())


def lock_trace(principal: Principal, trace_id: str) -> Trace:
    """Return the principal's trace, locked until the commit. Raises as `get_resource` does."""
    return get_resource(principal, Trace, trace_id, lock=True)


def remove_trace(principal: Principal, trace: Trace) -> None:
    """Delete a locked trace with its logs; many are left to a purge."""
    audit.forget(trace.id)
    audit.note(principal, trace.workspace_id, "trace.delete", "trace", trace.id)
    if not delete_or_defer(trace):
        trace.external_id = None  # spans that arrive before it is removed make a new trace
