"""Run migrations: all of them in one transaction, one process at a time, while no service writes.

A second process waits for the first, and then finds nothing to do. A migration that fails leaves the schema as it was.
"""

import sys
from collections.abc import Sequence

import click
from alembic import context
from sqlalchemy import Connection, Engine, column, inspect, select, table, text
from sqlalchemy.exc import OperationalError

from config import ConfigError
from promptcrafter.database import revisions, sqlite, usage
from promptcrafter.database.base import Base
from promptcrafter.database.session import ensure_database, get_engine

_LOCK = 0x50C0_AF7E  # the key of PostgreSQL's advisory lock: an arbitrary number
_WAIT_MS = 600_000
_ATTEMPTS = 5
_DEADLOCK = "40P01"
_WRITERS = table("schema_writers", column("schema_revision"), column("release_revision"))


def _migrate_repeatedly(connection: Connection) -> None:
    """Migrate; begin again when PostgreSQL ends the transaction, because a request locks tables in another order."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            _migrate(connection)
            return
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _DEADLOCK or not attempts_left:
                raise


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=lambda name, kind, parents: revisions.is_model_managed(name, kind),
        render_as_batch=True,
        transactional_ddl=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            from promptcrafter.database import postgresql  # loads the driver

            if fault := postgresql.find_encoding_fault(connection):
                raise ConfigError(f"DATABASE_URL names a database that cannot be used: {fault}.")
            connection.execute(text(f"SET LOCAL lock_timeout = {_WAIT_MS}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            if inspect(connection).has_table("alembic_version"):
                # against writers, see database/postgresql.py, but not against those who only read it
                connection.execute(text("LOCK TABLE alembic_version IN EXCLUSIVE MODE"))
        is_new = not inspect(connection).has_table("alembic_version")
        before = context.get_context().get_current_heads()
        if _has_steps():
            usage.drop_counters(connection)  # they read tables that a migration rebuilds; the service creates them anew
        context.run_migrations()
        if not inspect(connection).has_table("workspaces"):
            connection.execute(text(f"DROP TABLE IF EXISTS {usage.NAME}"))
        after = context.get_context().get_current_heads()
        _update_writers(connection)
        if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise RuntimeError("A migration left rows whose parents are gone; nothing was changed.")
    if is_new and after:  # a mistyped path would otherwise go unnoticed
        print(f"A new database: {connection.engine.url.render_as_string()}", file=sys.stderr)
    else:
        _report(before, after)


def _report(before: Sequence[str], after: Sequence[str]) -> None:
    """Say what a command that migrates has done. Others, and callers without a command, say it themselves."""
    command = click.get_current_context(silent=True)
    if command is None or command.info_name not in ("upgrade", "downgrade"):
        return
    now = " and ".join(after) or "base"
    if before != after:
        print(f"Migrated from {' and '.join(before) or 'base'} to {now}.", file=sys.stderr)
    elif all(map(revisions.is_newest, after)):
        print("The database is up to date.", file=sys.stderr)
    else:
        print(f"The database has the revision {now} already.", file=sys.stderr)


def _has_steps() -> bool:
    """Return whether this command may change the schema: it is an upgrade of one that is not the newest, or no upgrade.

    Raises nothing for a command without a revision to go to, such as `current`.
    """
    try:
        wanted = context.get_revision_argument()
    except KeyError:
        return False
    return wanted not in (context.get_context().get_current_heads(), *context.get_context().get_current_heads())


def _update_writers(connection: Connection) -> None:
    """Let the releases write for which the present schema is harmless: see CONTRIBUTING.md, "A migration"."""
    if not inspect(connection).has_table(_WRITERS.name):
        return
    wanted = {(head, revision) for head in context.get_context().get_current_heads() for revision in _writers_of(head)}
    present = {tuple(row) for row in connection.execute(select(_WRITERS))}
    if wanted != present:
        connection.execute(_WRITERS.delete())
        connection.execute(
            _WRITERS.insert(), [dict(zip(_WRITERS.c.keys(), row, strict=True)) for row in sorted(wanted)]
        )


def _writers_of(head: str) -> list[str]:
    """Return a revision and those before it whose releases may write to its schema."""
    writers = [head]
    while getattr((script := context.script.get_revision(writers[-1])).module, "previous_release_may_write", False):
        assert isinstance(script.down_revision, str), "a branch, or a first migration with one before it"
        writers.append(script.down_revision)
    return writers


# `revisions.migrate` may name the engine of another database
engine: Engine = context.config.attributes.get("engine") or get_engine()
if engine.dialect.name == "sqlite":
    ensure_database()
else:
    from promptcrafter.database import postgresql  # loads the driver

    postgresql.leave_request()
with engine.connect() as connection:
    if connection.dialect.name == "sqlite":
        # Rebuilding a table drops the old one, which with foreign keys on deletes every row that points to it.
        # The pragma does nothing inside a transaction, so it goes to the driver before one begins.
        driver = connection.connection.dbapi_connection
        assert driver is not None
        connection.detach()  # the pool must not hand out a connection without foreign keys
        driver.execute("PRAGMA foreign_keys=OFF")
        driver.execute(f"PRAGMA busy_timeout={_WAIT_MS}")
        sqlite.begin_next(connection, sqlite.BEGIN_AS_WRITER)
    _migrate_repeatedly(connection)
