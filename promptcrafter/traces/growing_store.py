"""Traces from outside in the database: they grow by spans that arrive in any order, several times or in parallel.

All that arrives for a trace is written while its row is locked, so that two requests never store one span twice. Call
these functions inside `transactions.writing()`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from promptcrafter import clock
from promptcrafter.database.base import Base
from promptcrafter.database.deletions import is_present
from promptcrafter.database.session import is_sqlite, request_connection, session
from promptcrafter.ids import new_id
from promptcrafter.traces.models import Span, Trace
from promptcrafter.traces.store import EMPTY_SPAN
from promptcrafter.workspaces import quota
from promptcrafter.workspaces.principal import Principal

_TRACES = Base.metadata.tables["traces"]
_KEY = (_TRACES.c.workspace_id, _TRACES.c.source, _TRACES.c.external_id)
_FROM_OUTSIDE = _TRACES.c.external_id.is_not(None)


def lock_traces(principal: Principal, source: str, new: Mapping[str, Mapping[str, Any]]) -> dict[str, Trace]:
    """Return the traces with these ids from outside, by that id, locked until the commit.

    `new` has the columns of each as it is to be made if there is none. They are made and locked in one order, so that
    requests with several traces never wait for each other in a circle.
    """
    now = clock.now()
    common = {"workspace_id": principal.workspace_id, "author_id": principal.user_id, "source": source}
    rows = [
        {
            "id": new_id("trace"),
            "external_id": external_id,
            "created_at": now,
            "slug": new[external_id]["slug"],
            **common,
        }
        for external_id in sorted(new)
    ]
    insert_new = (sqlite if is_sqlite() else postgresql).insert(_TRACES)
    skip_known = insert_new.on_conflict_do_nothing(index_elements=_KEY, index_where=_FROM_OUTSIDE)
    request_connection().execute(skip_known, rows)
    quota.check_growth(principal.workspace_id)
    owned = (Trace.workspace_id == principal.workspace_id) & (Trace.source == source)
    locked = select(Trace).where(owned, Trace.external_id.in_(new), is_present(Trace)).order_by(Trace.external_id)
    return {str(trace.external_id): trace for trace in session.scalars(locked.with_for_update())}


def get_spans(keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Span]:
    """Return the stored spans of these trace ids and client's span ids, by these two."""
    if not keys:
        return {}
    found = session.scalars(select(Span).where(tuple_(Span.trace_id, Span.span_id).in_(keys), Span.ordinal == 0))
    return {(span.trace_id, span.span_id): span for span in found}


def add_spans(spans: Sequence[Mapping[str, Any]]) -> None:
    """Insert spans of traces from outside, with the ids of workspace and trace among their columns."""
    if spans:
        session.execute(insert(Span), [{**EMPTY_SPAN, **span, "ordinal": 0} for span in spans])


def change_span(span: Span, columns: Mapping[str, Any]) -> None:
    """Set what a span that has arrived again says; what it does not say stays."""
    for name, value in columns.items():
        if value is not None:
            setattr(span, name, value)


def remove_spans(spans: Collection[Span]) -> None:
    """Delete spans: what was known of them has become a log."""
    if spans:
        session.execute(delete(Span).where(Span.seq.in_([span.seq for span in spans])))


def grow(trace: Trace, said: Mapping[str, Any], cost: float) -> None:
    """Add to a locked trace what a span says about it, and the cost of its logs.

    What is said later counts, but the run began with its first span and ended with its last one, and its root alone
    decides whether it failed, if it has arrived.
    """
    is_of_root = said.get("root_span_id") is not None
    for name in ("slug", "name", "user_id", "session_id", "input", "output", "meta", "organization", "user"):
        if said.get(name) is not None:
            setattr(trace, name, said[name])
    starts = [time for time in (trace.start_time, said.get("start_time")) if time is not None]
    ends = [time for time in (trace.end_time, said.get("end_time")) if time is not None]
    trace.start_time, trace.end_time = min(starts, default=None), max(ends, default=None)
    if trace.start_time is not None and trace.end_time is not None:
        trace.duration_ms = max(0.0, (trace.end_time - trace.start_time).total_seconds() * 1000)
    if is_of_root:
        trace.root_span_id, trace.status = said["root_span_id"], said.get("status")
    elif trace.root_span_id is None and said.get("status") is not None:
        trace.status = said["status"]
    if cost:
        trace.cost = (trace.cost or 0) + cost
