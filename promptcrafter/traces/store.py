"""Traces in the database. What writes here belongs inside `transactions.writing()`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, and_, delete, func, insert, inspect, not_, select

from promptcrafter import clock
from promptcrafter.database.errors import translating
from promptcrafter.database.keyset import each_batch
from promptcrafter.database.session import session
from promptcrafter.ids import is_well_formed, new_id
from promptcrafter.logs.models import Log
from promptcrafter.logs.store import ParentGone, conditions, find_logs_in
from promptcrafter.problems import Problem
from promptcrafter.traces.models import Trace

# Rows of one statement have the same columns
_NOTHING = {attribute.key: None for attribute in inspect(Trace).column_attrs if attribute.key != "seq"}


def add_trace(owner_id: str, values: Mapping[str, Any]) -> Trace:
    """Insert a trace. Raises ParentGone when its experiment has gone since it was looked up."""
    trace = Trace(id=new_id("trace"), owner_id=owner_id, created_at=clock.now(), **values)
    session.add(trace)
    with translating({"fk_traces_experiment_id": ParentGone}):
        session.flush()
    return trace


def restore_traces(owner_id: str, traces: Sequence[Mapping[str, Any]]) -> None:
    """Insert traces as they were elsewhere, with their ids and times."""
    if traces:
        session.execute(insert(Trace), [{**_NOTHING, **values, "owner_id": owner_id} for values in traces])


def find_traces(owner_id: str) -> Select[Trace]:
    """Return the owner's traces."""
    return select(Trace).where(Trace.owner_id == owner_id)


def get_trace(trace_id: str, owner_id: str) -> Trace:
    """Return the owner's trace. Raises 400 for a malformed id, 404 for an unknown one, 403 for another's."""
    if not is_well_formed("trace", trace_id):
        raise Problem(400, "The trace ID format is invalid.", "invalid_trace_id")
    trace = session.scalar(select(Trace).where(Trace.id == trace_id))
    if trace is None:
        raise Problem(404, "Trace not found", "trace_not_found")
    if trace.owner_id != owner_id:
        raise Problem(403, "You do not own this trace", "trace_not_owned")
    return trace


def get_logs(trace: Trace) -> list[Log]:
    """Return a trace's logs in the order they came."""
    return list(session.scalars(find_logs_in(trace.id).order_by(Log.seq)))


def count_old(owner_id: str, filters: Mapping[str, Any]) -> int:
    """Return how many of the owner's traces `each_old` finds."""
    return session.scalars(_find_old(owner_id, filters).with_only_columns(func.count())).one()


def each_old(owner_id: str, filters: Mapping[str, Any], size: int) -> Iterator[list[int]]:
    """Yield the sequence numbers of the owner's traces that are left when the logs that filters find are gone.

    Those are the traces from before the filter `until` in which no other log is, oldest first, `size` at a time.
    """
    for rows in each_batch(_find_old(owner_id, filters), (Trace.created_at, Trace.seq), size):
        yield [row[-1] for row in rows]


def remove_old(owner_id: str, filters: Mapping[str, Any], rows: Sequence[int]) -> int:
    """Delete those of the traces with these sequence numbers that `each_old` still finds; return how many."""
    old = _find_old(owner_id, filters).where(Trace.seq.in_(rows)).with_only_columns(Trace.seq)
    return len(session.scalars(delete(Trace).where(Trace.seq.in_(old)).returning(Trace.seq)).all())


def _find_old(owner_id: str, filters: Mapping[str, Any]) -> Select[Trace]:
    stays = select(Log.seq).where(Log.trace_id == Trace.id, not_(and_(*conditions(filters))))
    return select(Trace).where(Trace.owner_id == owner_id, Trace.created_at < filters["until"], ~stays.exists())


def remove_trace(trace: Trace) -> None:
    """Delete a trace; the database's foreign keys take its logs along."""
    session.execute(delete(Trace).where(Trace.id == trace.id))
