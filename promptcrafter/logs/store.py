"""Logs in the database. What writes here belongs inside `transactions.writing()`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from blinker import Signal
from sqlalchemy import ColumnElement, Select, bindparam, delete, func, insert, inspect, or_, select

from promptcrafter import clock
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledWrite, from_arrays
from promptcrafter.database.errors import translating
from promptcrafter.database.keyset import Order, each_batch
from promptcrafter.database.session import is_sqlite, session, unindexed
from promptcrafter.database.transactions import on_commit
from promptcrafter.ids import is_well_formed, new_id
from promptcrafter.logs import search
from promptcrafter.logs.models import Log
from promptcrafter.problems import Problem

_TABLE = Base.metadata.tables["logs"]
# What a log consists of, by the names of its attributes: nothing of it is known at first
_UNKNOWN: dict[str, Any] = {
    attribute.key: None for attribute in inspect(Log).column_attrs if attribute.key not in ("seq", "rank")
}
_JUDGED = or_(Log.score.is_not(None), func.coalesce(Log.notes, "") != "")
_FILTERS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "promptVersion": lambda number: Log.prompt_version == number,
    "model": lambda name: Log.model_used == name,
    "minScore": lambda score: Log.score >= score,
    "maxScore": lambda score: Log.score <= score,
    "since": lambda moment: Log.created_at >= moment,
    "until": lambda moment: Log.created_at < moment,
    "source": lambda name: Log.source == name,  # None finds those of the native API
    "judged": lambda wanted: _JUDGED if wanted else ~_JUDGED,
}
recorded = Signal("Logs have been committed; `sources` has the source of each.")


class ParentGone(Problem):
    """404: the prompt of an output, or what else it belongs to, has gone since it was looked up."""

    def __init__(self) -> None:
        super().__init__(404, "Prompt not found", "prompt_not_found")


_GONE_PARENTS = {str(constraint.name): ParentGone for constraint in _TABLE.foreign_key_constraints}


def prepare(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a log with its id and the words to find it by.

    It is what `record` and `restore_all` take, made before they hold a lock.
    """
    words = search.words_of(values.get("output"), values.get("notes"))
    return {**values, "id": values.get("id") or new_id("log"), "words": words}


def record(owner_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Insert a prepared output and return its attributes. Raises ParentGone."""
    (log,) = record_all(owner_id, [values])
    return {**_UNKNOWN, **log}


def record_all(owner_id: str, outputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Insert prepared outputs in their order, all at the same time, and return their attributes. Raises ParentGone."""
    now = clock.now()
    made = {"owner_id": owner_id, "created_at": now, "updated_at": now}
    return _insert([{**made, **values} for values in outputs])


def restore_all(owner_id: str, logs: Sequence[Mapping[str, Any]]) -> None:
    """Insert prepared logs as they were elsewhere, with their ids and times, in their order. Raises ParentGone."""
    _insert([{**values, "owner_id": owner_id} for values in logs])


def find_logs(owner_id: str, filters: Mapping[str, Any]) -> Select[Log]:
    """Return the owner's logs for which all filters of a LogQuery hold."""
    # a prompt's logs are its owner's: with both conditions the database might choose the wrong index
    column, value = (
        (_TABLE.c.prompt_id, filters["promptId"]) if "promptId" in filters else (_TABLE.c.owner_id, owner_id)
    )
    found = select(Log).where(*conditions(filters))
    if "q" in filters:
        return search.find_matching(found.where(unindexed(column) == value), filters["q"], filters)
    return found.where(column == value)


def conditions(filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Return what must hold of a log for all filters to hold but that of the prompt."""
    return [_FILTERS[name](value) for name, value in filters.items() if name in _FILTERS]


def order_logs(filters: Mapping[str, Any]) -> Order:
    """Return the order that a LogQuery names."""
    is_ascending = not filters["sort"].startswith("-")
    newest = (Log.created_at, Log.seq)
    if filters["sort"].endswith("score"):
        return Order((Log.rank, *newest), is_ascending)
    return (search.IndexOrder if "q" in filters and is_sqlite() else Order)(newest, is_ascending)


def find_logs_in(trace_id: str) -> Select[Log]:
    """Return a trace's logs."""
    return select(Log).where(Log.trace_id == trace_id)


def get_log(log_id: str, owner_id: str) -> Log:
    """Return the owner's log. Raises 400 for a malformed id, 404 for an unknown one, 403 for another's."""
    return _owned(select(Log), log_id, owner_id)


def get_logs(log_ids: Sequence[str], owner_id: str) -> list[Log]:
    """Return the owner's logs in this order. Raises 404 for an unknown one and 403 for another's, by its id."""
    found = {log.id: log for log in session.scalars(select(Log).where(Log.id.in_(log_ids)))}
    for log_id in log_ids:
        if log_id not in found:
            raise Problem(404, f"Log not found: {log_id}", "log_not_found")
        if found[log_id].owner_id != owner_id:
            raise Problem(403, f"You do not own this log: {log_id}", "log_not_owned")
    return [found[log_id] for log_id in log_ids]


def lock_log(log_id: str, owner_id: str) -> Log:
    """Return the owner's log as `get_log` does, and let nobody else change it until the commit."""
    return _owned(select(Log).with_for_update(), log_id, owner_id)


def change_log(log: Log, changes: Mapping[str, Any]) -> None:
    """Set notes or score, or clear them with None."""
    for name in changes:
        setattr(log, name, changes[name])
    log.updated_at = clock.now()
    if "notes" in changes:
        session.execute(search.update_words(), {"key": log.seq, "words": search.words_of(log.output, log.notes)})


def remove_log(log: Log) -> None:
    """Delete a log."""
    session.execute(delete(Log).where(Log.id == log.id))


def count_old(owner_id: str, filters: Mapping[str, Any]) -> int:
    """Return how many of the owner's logs the filters find."""
    return session.scalars(find_logs(owner_id, filters).with_only_columns(func.count())).one()


def each_old(owner_id: str, filters: Mapping[str, Any], size: int) -> Iterator[list[int]]:
    """Yield the sequence numbers of the owner's logs that the filters find, oldest first, `size` at a time."""
    for rows in each_batch(find_logs(owner_id, filters), (Log.created_at, Log.seq), size):
        yield [row[-1] for row in rows]


def remove_old(owner_id: str, filters: Mapping[str, Any], rows: Sequence[int]) -> int:
    """Delete those of the logs with these sequence numbers that the filters still find; return how many."""
    whose = (Log.owner_id == owner_id) & Log.seq.in_(rows)
    return len(session.scalars(delete(Log).where(whose, *conditions(filters)).returning(Log.seq)).all())


def _insert(logs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Insert prepared logs and return their attributes. Raises ParentGone."""
    if not logs:
        return []
    # not by the unit of work, which would hold the write lock three times as long
    found = {name for log in logs for name, value in log.items() if value is not None}
    known = tuple(name for name in _UNKNOWN if name in found)
    rows = [{name: log.get(name) for name in known} for log in logs]
    words = [
        {"id": log["id"], "milliseconds": search.time_of(log["created_at"]), "words": log["words"]} for log in logs
    ]
    with translating(_GONE_PARENTS):
        _insert_of(known).execute(rows)
        search.INDEX_WORDS.execute(words)
    if recorded.receivers:
        on_commit(lambda: recorded.send(sources=[log.get("source") for log in logs]))
    return rows


@lru_cache(maxsize=256)
def _insert_of(names: tuple[str, ...]) -> CompiledWrite:
    """Return what inserts logs of which these attributes are known: few are, of more than thirty."""
    columns = {name: getattr(Log, name) for name in names}
    arrays = from_arrays({name: column.type for name, column in columns.items()})
    into = insert(_TABLE).inline()
    return CompiledWrite(
        [into.values({column: bindparam(name) for name, column in columns.items()})],
        into.from_select(list(columns.values()), select(*arrays.c)),
    )


def _owned(found: Select[Log], log_id: str, owner_id: str) -> Log:
    if not is_well_formed("log", log_id):
        raise Problem(400, "The log ID format is invalid.", "invalid_log_id")
    log = session.scalar(found.where(Log.id == log_id))
    if log is None:
        raise Problem(404, "Log not found", "log_not_found")
    if log.owner_id != owner_id:
        raise Problem(403, "You do not own this log", "log_not_owned")
    return log
