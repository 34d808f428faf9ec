"""Days whose stored aggregates are not right any more, because a log of theirs or a score of it has changed.

Statistics of many logs are read from stored aggregates of days (decision 56). What changes a log that may be in one of
them marks its day, in the same transaction; until the day is computed again, its logs are read. A new log marks
nothing: its time is later than that up to which logs are in aggregates. Marks are only added here, so that no writer
ever waits for the mark of another.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Integer, Table, cast, delete, extract, func, insert, literal, or_, select

from promptcrafter.database import cascade
from promptcrafter.database.base import Base
from promptcrafter.database.session import is_sqlite, request_connection
from promptcrafter.ids import is_well_formed
from promptcrafter.logs.models import DETAILS, AggregateScope, ChangedDay, Log

_SCOPES = Base.metadata.tables[AggregateScope.__tablename__]
_MARKS = Base.metadata.tables[ChangedDay.__tablename__]
_LOGS = Base.metadata.tables[Log.__tablename__]
_IDS_PER_STATEMENT = 1000  # SQLite allows 32,766 parameters in a statement


def mark_logs(seqs: Iterable[int]) -> None:
    """Mark the days of logs, given by their sequence numbers. Call it before they are removed."""
    remaining = list(seqs)
    if not remaining or not _has_scopes():
        return
    for start in range(0, len(remaining), _IDS_PER_STATEMENT):
        _mark(_LOGS.c.seq.in_(remaining[start : start + _IDS_PER_STATEMENT]))


def mark_where(condition: ColumnElement[bool]) -> None:
    """Mark the days of the logs that fulfil a condition on their columns."""
    if _has_scopes():
        _mark(condition)


@cascade.removing.connect
def _mark_removed(_sender: object, *, table: Table, condition: ColumnElement[bool]) -> None:
    if table is _LOGS:
        mark_where(condition)


@cascade.removed.connect
def _remove_scopes(_sender: object, *, ids: Sequence[str]) -> None:
    """Remove what is stored about prompts that are removed. That of a workspace goes with it."""
    prompts = [each for each in ids if is_well_formed("prompt", each)]
    if prompts and _has_scopes():
        request_connection().execute(delete(_SCOPES).where(_SCOPES.c.scope_id.in_(prompts)))


def day_of(moment: ColumnElement[object]) -> ColumnElement[int]:
    """Return the expression for the number of a time's day in UTC, counted from 1970."""
    if is_sqlite():
        return cast(func.julianday(func.substr(moment, 1, 10)) - 2440587.5, Integer)
    return cast(func.floor(extract("epoch", moment) / 86400), Integer)


def _mark(condition: ColumnElement[bool]) -> None:
    changed = select(_LOGS.c.prompt_id, _LOGS.c.workspace_id, _LOGS.c.created_at).where(condition).cte("changed")
    workspace_id = changed.c.workspace_id
    ids = (changed.c.prompt_id, workspace_id, literal(DETAILS) + workspace_id)
    of_scope = or_(*(_SCOPES.c.scope_id == each for each in ids))
    is_covered = changed.c.created_at < _SCOPES.c.announced_until
    days = select(_SCOPES.c.scope_id, day_of(changed.c.created_at)).join_from(changed, _SCOPES, of_scope & is_covered)
    request_connection().execute(insert(_MARKS).from_select(["scope_id", "day"], days.distinct()))


def _has_scopes() -> bool:
    return bool(request_connection().scalar(select(select(_SCOPES.c.scope_id).exists())))
