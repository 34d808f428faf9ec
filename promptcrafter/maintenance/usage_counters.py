"""The triggers that count how many bytes each workspace stores. They exist only while a workspace has a limit.

A row counts with the bytes of all its texts in UTF-8, as far as their length is not bounded by their column, and with
`quota.ROW_BYTES` for everything else. Triggers count whatever adds, changes or removes rows: each route and command,
cascades and purges, and commands without the setting. No code has to remember it.

SQLite has one writer at a time, and one row of counts for each workspace. On PostgreSQL a trigger runs once for each
statement and adds to a row that no other transaction has locked, or to a new one: writers never wait for each other.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache

from sqlalchemy import Column, Text, func, select, text
from sqlalchemy.schema import Table

from promptcrafter.database import usage
from promptcrafter.database.base import Base, JsonText
from promptcrafter.database.session import is_sqlite, request_connection
from promptcrafter.database.transactions import writing
from promptcrafter.experiments.models import Experiment, Variant
from promptcrafter.logs.models import Log, Score
from promptcrafter.prompts.models import VERSIONED, Prompt, Version
from promptcrafter.scores.models import ScoreConfig
from promptcrafter.traces.models import EarlyArrival, Span, Trace
from promptcrafter.workspaces import quota
from promptcrafter.workspaces.models import AuditEntry

_COUNTED: tuple[type[Base], ...] = (
    *(Prompt, Version, Experiment, Variant, Trace, Span, EarlyArrival, Log, Score, ScoreConfig, AuditEntry),
)
_COPIES: Mapping[type[Base], tuple[str, ...]] = {Prompt: VERSIONED}  # of the latest version's
_LOCK_KEY = 0x50C0_B17E  # of PostgreSQL's advisory lock: an arbitrary number
_ADD = f"{usage.PREFIX}add"
_CREATE_TABLE = {
    True: (f"CREATE TABLE IF NOT EXISTS {usage.NAME} (workspace_id TEXT PRIMARY KEY, bytes INTEGER NOT NULL)",),
    False: (
        f"CREATE TABLE IF NOT EXISTS {usage.NAME} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "workspace_id varchar(64) NOT NULL, bytes bigint NOT NULL) WITH (fillfactor = 50)",
        f"CREATE INDEX IF NOT EXISTS ix_{usage.NAME}_workspace_id ON {usage.NAME} (workspace_id)",
    ),
}
_CREATE_ADD = f"""
    CREATE FUNCTION {_ADD}(workspace varchar, difference bigint) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE {usage.NAME} SET bytes = bytes + difference WHERE id = (
            SELECT id FROM {usage.NAME} WHERE workspace_id = workspace LIMIT 1 FOR UPDATE SKIP LOCKED
        );
        IF NOT FOUND THEN
            INSERT INTO {usage.NAME} (workspace_id, bytes) SELECT id, difference FROM workspaces WHERE id = workspace;
        END IF;
    END $$
"""


def prepare() -> bool:
    """Let the database count if workspaces have a limit, and stop it if they have none; return whether that is done.

    It is not done while another process does it. What is stored already is counted once, during which writers wait. If
    everything is as it should be, this is one query. Raises DBAPIError, Problem and SQLAlchemy's TimeoutError.
    """
    expected: Mapping[str, str] = {} if quota.limit() is None else _triggers(is_sqlite())
    if usage.list_counters(request_connection()) == expected.keys():
        return True
    with writing():
        if not _lock():
            return False
        connection = request_connection()
        if usage.list_counters(connection) == expected.keys():
            return True
        usage.drop_counters(connection)
        for statement in _CREATE_TABLE[is_sqlite()]:
            connection.execute(text(statement))
        connection.execute(usage.TABLE.delete())
        if expected:
            if not is_sqlite():
                connection.execute(text(_CREATE_ADD))
            for statement in expected.values():
                connection.exec_driver_sql(statement)
            connection.execute(text(_count_all(is_sqlite())))
    return True


def _lock() -> bool:
    """Keep other writers away until the commit; return False if another process prepares the same."""
    if is_sqlite():
        return True
    connection = request_connection()
    if not connection.scalar(select(func.pg_try_advisory_xact_lock(_LOCK_KEY))):
        return False
    connection.execute(text("LOCK TABLE alembic_version IN EXCLUSIVE MODE"))  # as a migration does
    return True


@cache
def _triggers(on_sqlite: bool) -> dict[str, str]:
    """Return the statements that create the triggers, by the names of these.

    A name ends with a digest of all statements. So those of another release, which counts otherwise, are replaced.
    """
    make = _make_sqlite_triggers if on_sqlite else _make_postgresql_triggers
    made = [part for model in _COUNTED for part in make(model)] + [_make_cleaner(on_sqlite)]
    digest = hashlib.sha256(repr((made, _CREATE_ADD)).encode()).hexdigest()[:8]
    names = {name: f"{usage.PREFIX}{name}_{digest}" for name, _ in made}
    return {names[name]: statement.replace("{name}", names[name]) for name, statement in made}


def _make_sqlite_triggers(model: type[Base]) -> Iterator[tuple[str, str]]:
    table = _table(model)
    new, old = (_size(model, row, on_sqlite=True) for row in ("NEW", "OLD"))
    changed = ", ".join(f'"{column.name}"' for column in _texts(model))
    add = f"UPDATE {usage.NAME} SET bytes = bytes"
    yield (
        f"{table.name}_insert",
        f'CREATE TRIGGER "{{name}}" AFTER INSERT ON {table.name} BEGIN '
        f"INSERT INTO {usage.NAME} (workspace_id, bytes) SELECT {_place(model, 'NEW')}, {new} WHERE true "
        f"ON CONFLICT (workspace_id) DO UPDATE SET bytes = bytes + excluded.bytes; END",
    )
    yield (
        f"{table.name}_update",
        f'CREATE TRIGGER "{{name}}" AFTER UPDATE OF {changed} ON {table.name} BEGIN '
        f"{add} + {new} - {old} WHERE workspace_id = {_place(model, 'NEW')}; END",
    )
    yield (
        f"{table.name}_delete",
        f'CREATE TRIGGER "{{name}}" AFTER DELETE ON {table.name} BEGIN '
        f"{add} - {old} WHERE workspace_id = {_place(model, 'OLD')}; END",
    )


def _make_postgresql_triggers(model: type[Base]) -> Iterator[tuple[str, str]]:
    table = _table(model)
    place = _place(model, "rows")
    new = f"SELECT {place} AS place, {_size(model, 'rows', on_sqlite=False)} AS size FROM new_rows AS rows"
    old = f"SELECT {place} AS place, -{_size(model, 'rows', on_sqlite=False)} AS size FROM old_rows AS rows"
    for event, tables, rows in (
        ("insert", "NEW TABLE AS new_rows", new),
        ("update", "OLD TABLE AS old_rows NEW TABLE AS new_rows", f"{new} UNION ALL {old}"),
        ("delete", "OLD TABLE AS old_rows", old),
    ):
        yield (
            f"{table.name}_{event}",
            f"""
            CREATE FUNCTION {{name}}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM {_ADD}(place, total) FROM (
                    SELECT place, sum(size)::bigint AS total FROM ({rows}) AS sizes
                    WHERE place IS NOT NULL GROUP BY place HAVING sum(size) <> 0 ORDER BY place
                ) AS sums;
                RETURN NULL;
            END $$;
            CREATE TRIGGER {{name}} AFTER {event} ON {table.name} REFERENCING {tables}
            FOR EACH STATEMENT EXECUTE FUNCTION {{name}}()
            """,
        )


def _make_cleaner(on_sqlite: bool) -> tuple[str, str]:
    """Return the trigger that removes the counts of a workspace that is removed."""
    remove = f"DELETE FROM {usage.NAME} WHERE workspace_id = OLD.id;"
    if on_sqlite:
        return "clean", f'CREATE TRIGGER "{{name}}" AFTER DELETE ON workspaces BEGIN {remove} END'
    return (
        "clean",
        f"CREATE FUNCTION {{name}}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {remove} RETURN NULL; END $$; "
        "CREATE TRIGGER {name} AFTER DELETE ON workspaces FOR EACH ROW EXECUTE FUNCTION {name}()",
    )


def _count_all(on_sqlite: bool) -> str:
    """Return the statement that counts everything that is stored."""
    rows = " UNION ALL ".join(
        f"SELECT {_place(model, 'counted')} AS place, {_size(model, 'counted', on_sqlite=on_sqlite)} AS size "
        f"FROM {_table(model).name} AS counted"
        for model in _COUNTED
    )
    return (
        f"INSERT INTO {usage.NAME} (workspace_id, bytes) SELECT place, sum(size) FROM ({rows}) AS sizes GROUP BY place"
    )


def _size(model: type[Base], row: str, *, on_sqlite: bool) -> str:
    """Return the expression for how many bytes a row counts."""
    # `octet_length` came with SQLite 3.43; `length` alone counts characters
    form = "length(CAST({} AS BLOB))" if on_sqlite else "octet_length({})"
    sizes = (form.format(f'{row}."{column.name}"') for column in _texts(model))
    return " + ".join([f"({quota.ROW_BYTES}", *(f"coalesce({size}, 0)" for size in sizes)]) + ")"


def _place(model: type[Base], row: str) -> str:
    """Return the expression for the id of the workspace that a row belongs to."""
    if "workspace_id" in _table(model).columns:
        return f"{row}.workspace_id"
    return f"(SELECT prompts.workspace_id FROM prompts WHERE prompts.id = {row}.prompt_id)"


def _texts(model: type[Base]) -> list[Column[object]]:
    """Return the columns whose texts are counted."""
    copies = _COPIES.get(model, ())
    return [
        column
        for column in _table(model).columns
        if isinstance(column.type, Text | JsonText) and column.name not in copies
    ]


def _table(model: type[Base]) -> Table:
    return Base.metadata.tables[str(model.__tablename__)]
