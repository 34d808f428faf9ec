"""Traces in the database. What writes here belongs inside `transactions.writing()`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, and_, delete, func, insert, inspect, not_, select

from promptcrafter import clock
from promptcrafter.auth.access import find_owned, get_owned
from promptcrafter.auth.principal import Principal
from promptcrafter.database.errors import translating
from promptcrafter.database.keyset import each_batch
from promptcrafter.database.session import session
from promptcrafter.ids import new_id
from promptcrafter.logs.models import Log
from promptcrafter.logs.store import ParentGone, conditions, find_logs_in
from promptcrafter.traces.models import Trace

# Rows of one statement have the same columns
_NOTHING = {attribute.key: None for attribute in inspect(Trace).column_attrs if attribute.key != "seq"}


def add_trace(principal: Principal, values: Mapping[str, Any]) -> Trace:
    """Insert a trace. Raises ParentGone when its experiment has gone since it was looked up."""
    trace = Trace(id=new_id("trace"), owner_id=principal.user_id, created_at=clock.now(), **values)
    session.add(trace)
    with translating({"fk_traces_experiment_id": ParentGone}):
        session.flush()
    return trace


def restore_traces(principal: Principal, traces: Sequence[Mapping[str, Any]]) -> None:
    """Insert traces as they were elsewhere, with their ids and times."""
    if traces:
        session.execute(insert(Trace), [{**_NOTHING, **values, "owner_id": principal.user_id} for values in traces])


def find_traces(principal: Principal) -> Select[Trace]:
    """Return the principal's traces."""
    return find_owned(principal, Trace)


def get_trace(principal: Principal, trace_id: str) -> Trace:
    """Return the principal's trace. Raises as `get_owned` does."""
    return get_owned(principal, Trace, trace_id)


def get_logs(trace: Trace) -> list[Log]:
    """Return a trace's logs in the order they came."""
    return list(session.scalars(find_logs_in(trace.id).order_by(Log.seq)))


def count_old(principal: Principal, filters: Mapping[str, Any]) -> int:
    """Return how many of the owner's traces `each_old` finds."""
    return session.scalars(_find_old(principal, filters).with_only_columns(func.count())).one()


def each_old(principal: Principal, filters: Mapping[str, Any], size: int) -> Iterator[list[int]]:
    """Yield the sequence numbers of the owner's traces that are left when the logs that filters find are gone.

    Those are the traces from before the filter `until` in which no other log is, oldest first, `size` at a time.
    """
    for rows in each_batch(_find_old(principal, filters), (Trace.created_at, Trace.seq), size):
        yield [row[-1] for row in rows]


def remove_old(principal: Principal, filters: Mapping[str, Any], rows: Sequence[int]) -> int:
    """Delete those of the traces with these sequence numbers that `each_old` still finds; return how many."""
    old = _find_old(principal, filters).where(Trace.seq.in_(rows)).with_only_columns(Trace.seq)
    return len(session.scalars(delete(Trace).where(Trace.seq.in_(old)).returning(Trace.seq)).all())


def _find_old(principal: Principal, filters: Mapping[str, Any]) -> Select[Trace]:
    stays = select(Log.seq).where(Log.trace_id == Trace.id, not_(and_(*conditions(filters))))
    return find_traces(principal).where(Trace.created_at < filters["until"], ~stays.exists())


def remove_trace(trace: Trace) -> None:
    """Delete a trace; the database's foreign keys take its logs along."""
    session.execute(delete(Trace).where(Trace.id == trace.id))
