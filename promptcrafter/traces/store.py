"""Traces in the database. Call the writing functions inside `transactions.writing()`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, and_, delete, func, insert, inspect, not_, select

from promptcrafter import clock
from promptcrafter.database.base import Base
from promptcrafter.database.deletions import delete_or_defer
from promptcrafter.database.errors import translating
from promptcrafter.database.keyset import each_batch
from promptcrafter.database.session import session
from promptcrafter.ids import new_id
from promptcrafter.logs.models import Log
from promptcrafter.logs.store import ParentDeleted, conditions, find_logs_of_trace
from promptcrafter.traces.models import Span, Trace
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.access import find_resources, get_resource
from promptcrafter.workspaces.principal import Principal

_COMPUTED = ("seq", "duration_rank", "cost_rank")


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
        **{name: value for name, value in values.items() if name != "spans"},
    )
    session.add(trace)
    quota.check_growth(trace.workspace_id)
    with translating({"fk_traces_workspace_id_experiment_id": ParentDeleted}):
        session.flush()
    _insert_spans({"workspace_id": trace.workspace_id, "trace_id": trace.id}, spans)
    return trace


def restore_traces(principal: Principal, traces: Sequence[Mapping[str, Any]]) -> None:
    """Insert traces of an import keeping their ids and times."""
    if traces:
        own = {"workspace_id": principal.workspace_id, "author_id": principal.user_id}
        rows = [{**_EMPTY_TRACE, **values, **own} for values in traces]
        spans = [row.pop("spans", ()) for row in rows]
        session.execute(insert(Trace), rows)
        for row, of_trace in zip(rows, spans, strict=True):
            _insert_spans({"workspace_id": row["workspace_id"], "trace_id": row["id"]}, of_trace)
        quota.check_growth(principal.workspace_id)


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


def get_spans(trace: Trace) -> Sequence[Span]:
    """Return a trace's spans in the order in which they arrived."""
    return session.scalars(select(Span).where(Span.trace_id == trace.id).order_by(Span.seq)).all()


def find_logs(trace: Trace) -> Select[Log]:
    """Return a select of a trace's logs in the order they were recorded."""
    return find_logs_of_trace(trace.id).order_by(Log.seq)


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
    delete_or_defer(trace)
