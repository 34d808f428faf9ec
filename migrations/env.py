"""Run migrations: all of them in one transaction, one process at a time.

A second process waits for the first, and then finds nothing to do. A migration that fails leaves the schema as it was.
"""

from alembic import context
from sqlalchemy import Connection, Engine, text

from promptcrafter.database import revisions, sqlite
from promptcrafter.database.base import Base
from promptcrafter.database.session import get_engine

_LOCK = 0x50C0_AF7E  # the key of PostgreSQL's advisory lock: an arbitrary number
_WAIT_MS = 600_000


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
            connection.execute(text(f"SET LOCAL lock_timeout = {_WAIT_MS}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        context.run_migrations()
        if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise RuntimeError("A migration left rows whose parents are gone; nothing was changed.")


# `revisions.migrate` may name the engine of another database
engine: Engine = context.config.attributes.get("engine") or get_engine()
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
    _migrate(connection)
