"""The cost of a trace: the sum over its logs, stored with the trace so that traces can be sorted by it.

Whatever changes or removes logs of a trace notes that trace, in the same transaction. Before the commit, the costs of
all traces noted are computed at once. What only adds logs may add their costs itself instead, as it knows them.

Larger costs than `LARGEST` are left out, as statistics leave them out: a sum of much larger ones may not be finite.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, Float, String, Table, column, func, select, table

from promptcrafter.database import cascade
from promptcrafter.database.base import Base
from promptcrafter.database.deletions import PendingDeletion
from promptcrafter.database.session import is_sqlite, request_connection
from promptcrafter.database.transactions import collect_before_commit
from promptcrafter.logs.models import Log

_LOGS = Base.metadata.tables[Log.__tablename__]
_PENDING = Base.metadata.tables[PendingDeletion.__tablename__]
_TRACES = table("traces", column("id", String), column("external_id", String), column("cost", Float))
_KEY = "promptcrafter_trace_costs"  # of the ids of the traces noted in a transaction
LARGEST = 1e100  # dollars
_IDS_PER_STATEMENT = 1000  # SQLite allows 32,766 parameters in a statement


def add_up(costs: Iterable[float | None]) -> float | None:
    """Return the sum of the costs of logs; None if none is known."""
    counted = [cost for cost in costs if cost is not None and cost <= LARGEST]
    return sum(counted) if counted else None


def note_logs(condition: ColumnElement[bool]) -> None:
    """Note the traces of the logs that fulfil a condition on their columns. Call it before they are removed."""
    of_logs = select(_LOGS.c.trace_id).where(condition, _LOGS.c.trace_id.is_not(None))
    note_traces(set(request_connection().execute(of_logs).scalars()))


def note_traces(trace_ids: Collection[str]) -> None:
    """Let the costs of these traces be computed before the commit."""
    if trace_ids:
        collect_before_commit(_KEY, trace_ids, _compute)


@cascade.removing.connect
def _note_removed(_sender: object, *, table: Table, condition: ColumnElement[bool]) -> None:
    if table is _LOGS:
        note_logs(condition)


def _compute(trace_ids: Collection[str]) -> None:
    """Store the costs of traces, without those that are being deleted: each step of that would add up all the rest."""
    of_trace = (_LOGS.c.trace_id == _TRACES.c.id) & (_LOGS.c.cost <= LARGEST)
    total = select(func.sum(_LOGS.c.cost)).where(of_trace).scalar_subquery()
    ids = sorted(trace_ids)
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        is_one = _TRACES.c.id.in_(ids[start : start + _IDS_PER_STATEMENT])
        chosen = is_one & _TRACES.c.id.not_in(select(_PENDING.c.target_id))
        if not is_sqlite():  # in the order in which `growing_store` locks them, so that no two wait for each other
            request_connection().execute(
                select(_TRACES.c.id).where(chosen).order_by(_TRACES.c.external_id, _TRACES.c.id).with_for_update()
            )
        request_connection().execute(_TRACES.update().where(chosen).values(cost=total))
