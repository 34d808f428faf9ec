"""How many bytes each workspace stores, as triggers of the database count them: see `maintenance/usage_counters.py`.

There are neither triggers nor rows while `MAX_WORKSPACE_BYTES` is off (decision 47).
"""

from flask import current_app
from sqlalchemy import Connection, String, bindparam, column, func, inspect, select, table, text

from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.database.session import request_connection

NAME = "workspace_usage"
PREFIX = f"{NAME}_"  # of the names of triggers and functions
TABLE = table(NAME, column("workspace_id", String), column("bytes"))
_EXTENSION = "promptcrafter-usage"
_SELECT_BYTES = CompiledQuery(
    select(func.coalesce(func.sum(TABLE.c.bytes), 0)).where(TABLE.c.workspace_id == bindparam("workspace_id"))
)


def get_bytes(workspace_id: str) -> int | None:
    """Return how many bytes a workspace stores; None if nothing has ever been counted. Raises DBAPIError."""
    if not _has_table():
        return None
    found = _SELECT_BYTES.first(workspace_id=workspace_id)
    assert found is not None
    return max(0, int(found[0]))


def list_bytes() -> dict[str, int]:
    """Return how many bytes each workspace stores, by its id, as far as they are counted. Raises DBAPIError."""
    if not _has_table():
        return {}
    sums = select(TABLE.c.workspace_id, func.sum(TABLE.c.bytes)).group_by(TABLE.c.workspace_id)
    return {workspace_id: max(0, int(size)) for workspace_id, size in request_connection().execute(sums)}


def list_counters(connection: Connection) -> set[str]:
    """Return the names of the triggers that count."""
    return set(connection.scalars(_SELECT_TRIGGERS[connection.dialect.name], {"prefix": f"{PREFIX}%"}))


def drop_counters(connection: Connection) -> None:
    """Drop the triggers that count, and their functions. What is stored from now on is not counted.

    The table stays, because a service that runs reads it.
    """
    if connection.dialect.name == "sqlite":
        for name in list_counters(connection):
            connection.execute(text(f'DROP TRIGGER "{name}"'))
        return
    for signature in connection.scalars(_SELECT_FUNCTIONS, {"prefix": f"{PREFIX}%"}).all():
        connection.execute(text(f"DROP FUNCTION {signature} CASCADE"))


_SELECT_TRIGGERS = {
    "sqlite": text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE :prefix"),
    "postgresql": text(
        "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
        "WHERE relnamespace = current_schema()::regnamespace AND tgname LIKE :prefix"
    ),
}
_SELECT_FUNCTIONS = text(
    "SELECT oid::regprocedure::text FROM pg_proc "
    "WHERE pronamespace = current_schema()::regnamespace AND proname LIKE :prefix"
)


def _has_table() -> bool:
    """Return whether the table exists; a service for which it did once goes on reading it."""
    if not current_app.extensions.get(_EXTENSION):
        current_app.extensions[_EXTENSION] = inspect(request_connection()).has_table(NAME)
    return bool(current_app.extensions[_EXTENSION])
