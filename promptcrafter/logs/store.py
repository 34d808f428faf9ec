"""Logs in the database. What writes here belongs inside `db.writing()`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, insert, inspect, select
from sqlalchemy.exc import IntegrityError

from promptcrafter import clock, db
from promptcrafter.db import Base, session
from promptcrafter.errors import Problem
from promptcrafter.ids import is_well_formed, new_id
from promptcrafter.logs.models import Log
from promptcrafter.paging import Order

# Columns and the attributes they come from
_COLUMNS = {
    attribute.columns[0].name: attribute.key
    for attribute in inspect(Log).column_attrs
    if attribute.key not in ("seq", "rank")
}
_INSERT = insert(Base.metadata.tables["logs"])
_FILTERS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "promptVersion": lambda number: Log.prompt_version == number,
    "model": lambda name: Log.model_used == name,
    "minScore": lambda score: Log.score >= score,
    "maxScore": lambda score: Log.score <= score,
    "since": lambda moment: Log.created_at >= moment,
    "until": lambda moment: Log.created_at < moment,
    "source": lambda name: Log.source == name,  # None finds those of the native API
}
_PARENTS = [str(constraint.name) for constraint in Base.metadata.tables["logs"].foreign_key_constraints]


class ParentGone(Problem):
    """404: the prompt of an output, or what else it belongs to, has gone since it was looked up."""

    def __init__(self) -> None:
        super().__init__(404, "Prompt not found", "prompt_not_found")


def record(owner_id: str, values: Mapping[str, Any]) -> Log:
    """Insert an output. Raises ParentGone."""
    (log,) = record_all(owner_id, [values])
    return log


def record_all(owner_id: str, outputs: Sequence[Mapping[str, Any]]) -> list[Log]:
    """Insert outputs in their order, all at the same time. Raises ParentGone."""
    now = clock.now()
    logs = [Log(id=new_id("log"), owner_id=owner_id, created_at=now, updated_at=now, **values) for values in outputs]
    # not by the unit of work, which would hold the write lock three times as long
    rows = [{column: getattr(log, key) for column, key in _COLUMNS.items()} for log in logs]
    if not rows:
        return []
    try:
        session.execute(_INSERT, rows)
    except IntegrityError as error:
        if any(db.violates(error, parent) for parent in _PARENTS):
            raise ParentGone from error
        raise
    return logs


def find_logs(owner_id: str, filters: Mapping[str, Any]) -> Select[Log]:
    """Return the owner's logs for which all filters of a LogQuery hold."""
    # a prompt's logs are its owner's: with both conditions the database might choose the wrong index
    whose = Log.prompt_id == filters["promptId"] if "promptId" in filters else Log.owner_id == owner_id
    return select(Log).where(whose, *(_FILTERS[name](value) for name, value in filters.items() if name in _FILTERS))


def order_logs(sort: str) -> Order:
    """Return the order that a LogQuery names."""
    newest = (Log.created_at, Log.seq)
    return Order((Log.rank, *newest) if sort.endswith("score") else newest, not sort.startswith("-"))


def find_logs_in(trace_id: str) -> Select[Log]:
    """Return a trace's logs."""
    return select(Log).where(Log.trace_id == trace_id)


def get_log(log_id: str, owner_id: str) -> Log:
    """Return the owner's log. Raises 400 for a malformed id, 404 for an unknown one, 403 for another's."""
    return _owned(select(Log), log_id, owner_id)


def lock_log(log_id: str, owner_id: str) -> Log:
    """Return the owner's log as `get_log` does, and let nobody else change it until the commit."""
    return _owned(select(Log).with_for_update(), log_id, owner_id)


def change_log(log: Log, changes: Mapping[str, Any]) -> None:
    """Set notes or score, or clear them with None."""
    for name in changes:
        setattr(log, name, changes[name])
    log.updated_at = clock.now()


def remove_log(log: Log) -> None:
    """Delete a log."""
    session.execute(delete(Log).where(Log.id == log.id))


def _owned(found: Select[Log], log_id: str, owner_id: str) -> Log:
    if not is_well_formed("log", log_id):
        raise Problem(400, "The log ID format is invalid.", "invalid_log_id")
    log = session.scalar(found.where(Log.id == log_id))
    if log is None:
        raise Problem(404, "Log not found", "log_not_found")
    if log.owner_id != owner_id:
        raise Problem(403, "You do not own this log", "log_not_owned")
    return log
