"""Classification of the errors of the two database drivers, and their translation into other exceptions."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from promptcrafter.database.base import Base

_SQLITE_UNAVAILABLE = tuple(
    f"SQLITE_{name}" for name in ["BUSY", "LOCKED", "CANTOPEN", "IOERR", "FULL", "READONLY", "CORRUPT", "NOTADB"]
)


def is_unavailable(error: DBAPIError) -> bool:
    """Return whether the database is busy, unreachable or damaged, rather than the statement wrong."""
    if error.connection_invalidated:
        return True
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    if name:
        return name.startswith(_SQLITE_UNAVAILABLE)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError | InterfaceError)  # the connection failed
    # 08 connection, 53 resources, 57 operator intervention, 55P03 lock not available, 40 serialization, 25006 standby
    return str(state).startswith(("08", "53", "57", "55P03", "40", "25006"))


@contextmanager
def ignoring_unavailable() -> Iterator[None]:
    """Suppress errors for which `is_unavailable` holds, because closing a lost connection must not fail."""
    try:
        yield
    except DBAPIError as error:
        if not is_unavailable(error):
            raise


@contextmanager
def translating(exceptions: Mapping[str, Callable[[], Exception]]) -> Iterator[None]:
    """Replace an IntegrityError of the block by the exception that `exceptions` makes for the violated constraint.

    The keys are names of constraints, such as `uq_users_email_key`; the first one that matches is used. SQLite does not
    report which foreign key failed, so there every name of a foreign key matches. An IntegrityError of any other
    constraint is raised unchanged.
    """
    try:
        yield
    except IntegrityError as error:
        for constraint, make_exception in exceptions.items():
            if _violates(error, constraint):
                raise make_exception() from error
        raise


@contextmanager
def translating_driver_errors() -> Iterator[None]:
    """Raise errors of SQLite's driver as SQLAlchemy would, for calls that bypass it. They quote no parameter values."""
    try:
        yield
    except sqlite3.Error as error:
        raise DBAPIError.instance(None, None, error, sqlite3.Error, hide_parameters=True) from error


def _violates(error: IntegrityError, constraint: str) -> bool:
    """Return whether this constraint is the one that the error is about; for SQLite see `translating`."""
    if not isinstance(error.orig, sqlite3.Error):
        diagnostics: Any = getattr(error.orig, "diag", None)
        return bool(diagnostics and diagnostics.constraint_name == constraint)
    # "FOREIGN KEY constraint failed", or "UNIQUE constraint failed: users.email_key" (also for a primary key)
    kind, _, columns = str(error.orig).partition(" constraint failed")
    if kind == "FOREIGN KEY":
        return constraint.startswith("fk_")
    return kind == "UNIQUE" and constraint in _find_names(columns.removeprefix(": ").split(", "))


def _find_names(columns: Sequence[str]) -> set[str]:
    """Return the names of the primary keys and unique constraints and indices over these columns: `table.column`."""
    return {
        str(unique.name)
        for table in Base.metadata.tables.values()
        for unique in (*table.constraints, *table.indexes)
        if (
            isinstance(unique, UniqueConstraint | PrimaryKeyConstraint) or (isinstance(unique, Index) and unique.unique)
        )
        and [str(column) for column in unique.columns] == columns
    }
