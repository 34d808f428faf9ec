"""Write transactions of PostgreSQL."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

# One round trip, as BEGIN alone would be. `migrations/env.py` locks the table in a mode that conflicts with this one: a
# migration waits for the writers before it, and those after it wait and then read its revision. SELECT alone would lock
# too little, and a row lock would write to the disk.
_BEGIN_AS_WRITER = "BEGIN; LOCK TABLE alembic_version IN ROW SHARE MODE; SELECT version_num FROM alembic_version"


def prepare_to_write(connection: Connection) -> None:
    """Let `read_revisions` begin the connection's transaction, until it is closed: psycopg adds no BEGIN of its own."""
    connection.execution_options(isolation_level="AUTOCOMMIT")


def read_revisions(connection: Connection) -> list[str]:
    """Begin the transaction; return the revisions of the schema, which stay until its end.

    Raises DBAPIError, also if the database has no table of revisions.
    """
    driver: Any = connection.connection.driver_connection
    error_class = connection.dialect.loaded_dbapi.Error
    try:
        cursor = driver.execute(_BEGIN_AS_WRITER)
        while cursor.nextset():
            pass
        return [revision for (revision,) in cursor]
    except error_class as error:
        raise DBAPIError.instance(None, None, error, error_class, hide_parameters=True) from error
