"""Classification of the errors of the two database drivers, and their translation into other exceptions."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from promptcrafter.database.base import Base

_SQLITE_UNAVAILABLE = tuple(
    f"SQLITE_{name}"
    for name in ["BUSY", "LOCKED", "CANTOPEN", "IOERR", "FULL", "READONLY", "CORRUPT", "NOTADB", "PERM", "PROTOCOL"]
)
# What PostgreSQL or its client library says about connections that no waiting mends
_PERMANENT = re.compile(
    "authentication failed|no password supplied|does not exist|no pg_hba.conf entry|not permitted to log in|invalid "
)
_INSUFFICIENT_PRIVILEGE = "42501"
_SQLITE_UNUSABLE = tuple(f"SQLITE_{name}" for name in ["CANTOPEN", "READONLY", "CORRUPT", "NOTADB", "PERM"])


class FileUnusable(sqlite3.OperationalError):
    """The SQLite file, or a lock file beside it, is gone, has been replaced or cannot be opened; the text says which.

    `summary` says it to clients, who must not see paths. `errno` is that of the system, if it has refused something.
    """

    def __init__(self, text: str, summary: str, errno: int | None = None) -> None:
        super().__init__(text)
        self.summary = summary
        self.errno = errno


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


def is_deadlock(error: DBAPIError) -> bool:
    """Return whether PostgreSQL has ended the transaction, because it and another one waited for each other."""
    return getattr(error.orig, "sqlstate", None) == "40P01"


def is_of_ended_workspace(error: DBAPIError) -> bool:
    """Return whether a row refers to a workspace that was deleted, or to a membership that ended, since a look-up.

    SQLite does not report which foreign key failed: there any one counts that no `translating` was for.
    """
    return isinstance(error, IntegrityError) and any(_violates(error, name) for name in _references_to_workspaces())


def find_code(error: DBAPIError) -> str:
    """Return the driver's own code of an error: SQLite's name or PostgreSQL's SQLSTATE; else its class."""
    code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
    return str(code or type(error.orig).__name__)


def describe_cause(error: DBAPIError) -> str:
    """Return, in one line for the log, why a statement has failed: the driver's code and, if it quotes no values, text.

    SQLite's texts are fixed. PostgreSQL's may quote a value, unlike those of its client library about the connection.
    """
    code, orig = find_code(error), error.orig
    if isinstance(orig, sqlite3.Error):
        text = str(orig)
    elif getattr(orig, "sqlstate", None):
        text = type(orig).__name__
    else:
        text = " ".join((find_refusal(error) or str(orig)).split()) if is_unavailable(error) else ""
    return f"{code} ({text})" if text else code


def find_refusal(error: DBAPIError) -> str | None:
    """Return, in one line, why the database itself cannot be used; None if it can, or is only busy.

    It is damaged, may not be written, or could not be connected to. The text quotes no values and no password.
    """
    if isinstance(error.orig, sqlite3.Error):
        name = str(getattr(error.orig, "sqlite_errorname", ""))
        is_unusable = name.startswith(_SQLITE_UNUSABLE) or isinstance(error.orig, FileUnusable)
        return str(error.orig) if is_unusable else None
    if error.statement is None and getattr(error.orig, "sqlstate", None) is None:  # while connecting
        text = re.sub(r"\s*Is the server running [^?]*\?", "", str(error.orig))
        return " ".join(text.split()).rstrip(".")
    return None


def find_denial(error: DBAPIError) -> str | None:
    """Return, in one line, which permission the role lacks by the words of PostgreSQL; None for other errors.

    The text names tables and schemas, and quotes no values.
    """
    if getattr(error.orig, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
        return None
    diagnostics: Any = getattr(error.orig, "diag", None)
    return " ".join(str(diagnostics.message_primary).split())


def find_lasting_refusal(error: DBAPIError) -> str | None:
    """Return what `find_refusal` returns, if it lasts until a person changes something; None if waiting may help.

    PostgreSQL may be away for a while. Of several hosts, each must have refused for good.
    """
    refusal = find_refusal(error)
    if refusal is None or isinstance(error.orig, sqlite3.Error):
        return refusal
    attempts = [
        part for part in re.split("(?=connection to server)", refusal) if part.startswith("connection to server")
    ]
    return refusal if all(map(_PERMANENT.search, attempts or [refusal])) else None


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


@cache
def _references_to_workspaces() -> list[str]:
    """Return the names of the foreign keys to workspaces and to their members."""
    return [
        str(constraint.name)
        for table in Base.metadata.sorted_tables
        for constraint in table.foreign_key_constraints
        if constraint.referred_table.name in ("workspaces", "members")
    ]


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
