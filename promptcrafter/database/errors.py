"""What the errors of the two databases' drivers mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

_SQLITE_UNAVAILABLE = tuple(
    f"SQLITE_{name}" for name in ["BUSY", "LOCKED", "CANTOPEN", "IOERR", "FULL", "READONLY", "CORRUPT", "NOTADB"]
)


def is_unavailable(error: DBAPIError) -> bool:
    """Tell whether a driver's error says that the database is busy, away or broken rather than the statement wrong."""
    if error.connection_invalidated:
        return True
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    if name:
        return name.startswith(_SQLITE_UNAVAILABLE)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError | InterfaceError)  # the connection itself failed
    # 08 connection, 53 resources, 57 operator intervention, 55P03 lock not available, 40 serialization, 25006 standby
    return str(state).startswith(("08", "53", "57", "55P03", "40", "25006"))


def violates(error: DBAPIError, constraint: str) -> bool:
    """Tell whether a driver's error is about the constraint of that name, such as `uq_users_email_key`.

    SQLite names the columns of a unique constraint and no foreign key at all: there any foreign key answers.
    """
    text = str(error.orig)
    if "UNIQUE constraint failed: " in text:
        columns = [name.split(".") for name in text.rpartition(": ")[2].split(", ")]
        return constraint == "_".join(["uq", columns[0][0], *(column for _, column in columns)])
    if "FOREIGN KEY constraint failed" in text:
        return constraint.startswith("fk_")
    return constraint in text


@contextmanager
def translating_driver_errors() -> Iterator[None]:
    """Raise SQLite's errors as SQLAlchemy does, where the driver is called without it; they quote no values."""
    try:
        yield
    except sqlite3.Error as error:
        raise DBAPIError.instance(None, None, error, sqlite3.Error, hide_parameters=True) from error
