"""Deletions of what has many rows: it is gone at once for all readers, and its rows are removed later, by a purge.

A row in `pending_deletions` names what was deleted. Every query for prompts, traces, experiments or logs has the
condition `is_present`, which leaves out what was deleted and all that belongs to it. The table is empty most of the
time, and then the condition costs next to nothing (decision 38).
"""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

from blinker import Signal
from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    String,
    Table,
    TextClause,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from promptcrafter import clock
from promptcrafter.database import cascade
from promptcrafter.database.base import Base, Deletable, UtcTime
from promptcrafter.database.session import request_connection, session
from promptcrafter.database.transactions import on_commit
from promptcrafter.ids import Kind

_IN_REQUEST_S = 0.03  # of the transaction that deletes: what can be removed in this time does not wait for the purge
purged = Signal("Sent after each transaction of a purge; `rows` is how many it removed.")
deferred = Signal("Sent after a transaction that has left something to a purge.")


class PendingDeletion(Base):
    """Something that is deleted, but whose rows are not all removed yet."""

    __tablename__ = "pending_deletions"

    target_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[Kind] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcTime)


_TABLE = Base.metadata.tables[PendingDeletion.__tablename__]
_DELETED_IDS = select(_TABLE.c.target_id)


def delete_or_defer(resource: Deletable) -> bool:
    """Delete a resource with all that belongs to it, and return True; or `defer` it and return False.

    Call it inside `transactions.writing()`, with the row locked.
    """
    table = _table_of(resource.kind)
    session.flush()
    if cascade.remove_some(table, resource.id, _IN_REQUEST_S, cascade.Progress()):
        return True
    defer(resource)
    return False


def defer(resource: Deletable) -> None:
    """Leave a resource with all that belongs to it to a purge.

    It is present no more, but its row still is: the caller must change what is unique in it. Call it inside
    `transactions.writing()`, with the row locked.
    """
    row = {"target_id": resource.id, "kind": resource.kind, "created_at": clock.now()}
    request_connection().execute(insert(_TABLE).values(row))
    on_commit(lambda: deferred.send())


@cache
def is_present(model: type[Deletable]) -> TextClause:
    """Return the condition that a row of this model is not deleted, and belongs to nothing that is.

    Its first part is evaluated once for each statement, the others for each row while anything is pending. They are no
    joins, so that neither database changes its plan. It is text, since a statement's key in SQLAlchemy's cache is made
    of all its parts at each execution; an alias of the model cannot be used.
    """
    return _to_text(or_(~exists(_DELETED_IDS), ~_is_deleted(model)))


@cache
def is_deleted(model: type[Deletable]) -> TextClause:
    """Return the opposite of `is_present`."""
    return _to_text(_is_deleted(model))


def is_pending(resource_id: str) -> bool:
    """Return whether this was deleted and its rows are not all removed yet. A log belongs to what was deleted."""
    return session.scalar(_DELETED_IDS.where(_TABLE.c.target_id == resource_id)) is not None


def has_pending(reader: Session | None = None) -> bool:
    """Return whether any deletion is pending, as `reader` sees it, by default the request's session."""
    return bool((reader or session()).scalar(select(exists(_DELETED_IDS))))


def count_pending() -> dict[str, int]:
    """Return how many deletions are pending, by kind."""
    counted = select(_TABLE.c.kind, func.count().label("pending")).group_by(_TABLE.c.kind)
    return {row.kind: row.pending for row in session.execute(counted)}


def purge_some(seconds: float, progress: dict[str, cascade.Progress]) -> int | None:
    """Remove rows of the oldest pending deletion, within about `seconds`; return how many, None if none is pending.

    `progress` is kept between the calls. Call it inside `transactions.writing()`.
    """
    oldest = select(_TABLE.c.target_id, _TABLE.c.kind).order_by(_TABLE.c.created_at, _TABLE.c.target_id).limit(1)
    pending = request_connection().execute(oldest).first()
    if pending is None:
        return None
    target_id, kind = pending
    own = progress.setdefault(target_id, cascade.Progress())
    before = own.rows
    if cascade.remove_some(_table_of(kind), target_id, seconds, own):
        request_connection().execute(delete(_TABLE).where(_TABLE.c.target_id == target_id))
        del progress[target_id]
    return own.rows - before


@cache
def _table_of(kind: Kind) -> Table:
    (model,) = (model for model in Deletable.each_model() if model.kind == kind)
    return Base.metadata.tables[str(model.__tablename__)]


def _is_deleted(model: type[Deletable]) -> ColumnElement[bool]:
    table = _table_of(model.kind)
    conditions = [table.c.id.in_(_DELETED_IDS)] if model.has_parts else []
    for column in _each_parent(table):
        # NOT IN would be neither true nor false for NULL
        conditions += [func.coalesce(column, "").in_(ids) for ids in _find_deleted(_parent_of(column))]
    return or_(*conditions)


def _to_text(condition: ColumnElement[bool]) -> TextClause:
    return text(f"({condition.compile(compile_kwargs={'literal_binds': True})})")


def _find_deleted(table: Table) -> list[Select[str]]:
    """Return selects of the ids of a table's rows that are deleted, and of those that belong to what is."""
    rows = table.alias()  # the statement may read the same table
    found = [_DELETED_IDS]
    for column in _each_parent(table):
        if column.name == "workspace_id":
            continue  # the same as that of the rows for which this is asked, where it is a condition of its own
        found += [select(rows.c.id).where(rows.c[column.name].in_(ids)) for ids in _find_deleted(_parent_of(column))]
    return found


def _each_parent(table: Table) -> Iterator[Column[Any]]:
    """Yield the columns that say to what a table's rows belong, as far as its deletion may be pending."""
    for constraint in sorted(table.foreign_key_constraints, key=lambda constraint: str(constraint.name)):
        key = constraint.elements[-1]  # before it, there may be the workspace
        if key.column.name == "id" and constraint.ondelete == "CASCADE" and _is_parent(key.column.table):
            yield key.parent


def _parent_of(column: Column[Any]) -> Table:
    (key,) = (key for key in column.foreign_keys if key.column.name == "id")
    return key.column.table


def _is_parent(table: Table) -> bool:
    """Return whether deletions of the table's rows may be pending."""
    return any(model.__tablename__ == table.name and model.has_parts for model in Deletable.each_model())
