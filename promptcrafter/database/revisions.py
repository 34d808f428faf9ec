"""The revisions of the schema: those of this release, those applied to a database, and whether this release may write.

A release writes to a database of its own newest revision. To one of a newer revision it writes only if the table
`schema_writers` allows it: `flask db upgrade` lists there the releases for which the migrations since are harmless.
Every write transaction checks this at its beginning (`transactions.writing`), so that neither a service that was
started before a migration nor one that was started without it can store what the other release does not expect.

A server needs no Alembic for this: it takes megabytes of memory, and only commands that migrate load it.
"""

from collections.abc import Iterable, Set
from pathlib import Path

from flask import Flask
from sqlalchemy import Connection, Engine, Select, column, inspect, select, table

from promptcrafter.database import usage
from promptcrafter.database.session import get_engine
from promptcrafter.problems import NewerSchema, NotMigrated

# Extend these with each new migration; tests/migrations compare them with the scripts
OLDER = (
    "9416f7a20451",
    "c2f0d18a7b64",
    "5b1e8d37c960",
    "e07c45a1b2f8",
    "d16f7a3b9c05",
    "b84e2c5d1a97",
    "3f9c61d2ab47",
    "7c40b9e2f6a1",
    "a95d07c3e1f4",
    "e83c5f17a2d4",
    "1d7b90e4c2a6",
    "4d81b6e0c93f",
    "b7e41c9d5a20",
    "2f96d0a8b4e3",
    "5e0c83a1d7f6",
    "8c3f5a9e1b72",
    "c41a9e6d07b8",
    "c94e17d0b382",
    "7b2d91f4c6e0",
    "a6f3c8d15e29",
    "d52b7f09c3a8",
    "1f6e84c2b9d7",
    "e90c3b57a124",
    "f07d3a91c5b2",
)  # oldest first
HEAD = "b6e2f48d1a73"

_FOLDER = Path(__file__).parent.parent.parent / "migrations"
_APPLIED: Select[tuple[str]] = select(column("version_num")).select_from(table("alembic_version"))
_WRITERS = table("schema_writers", column("schema_revision"), column("release_revision"))
# The full-text indices, which differ between the databases and are created by migrations, not from the models
_SEARCH_TABLES = ("prompt_trigrams", "prompt_grams", "log_search", "log_words")
BOOKKEEPING_TABLES = ("alembic_version", _WRITERS.name)  # rows of them are about the schema, not about accounts
_SEARCH_INDICES = ("ix_prompt_search_",)


def find_mismatch(
    connection: Connection | None = None, applied: Iterable[str] | None = None
) -> NotMigrated | NewerSchema | None:
    """Return why this release may not write to a database, by default the current application's; None if it may.

    `applied` are its revisions, if they have been read already. Raises DBAPIError when the database is unavailable.
    """
    if connection is None:
        with get_engine().connect() as connection:
            return find_mismatch(connection, applied)
    return _find_mismatch(connection, applied_to(connection) if applied is None else set(applied))


def refuse_mismatch(connection: Connection | None = None, applied: Iterable[str] | None = None) -> None:
    """Raise NotMigrated or NewerSchema if `find_mismatch` returns it."""
    problem = find_mismatch(connection, applied)
    if problem is not None:
        raise problem


def _find_mismatch(connection: Connection, applied: Set[str]) -> NotMigrated | NewerSchema | None:
    if applied == {HEAD}:
        return None
    if not applied or not applied.isdisjoint(OLDER):
        return NotMigrated()
    if inspect(connection).has_table(_WRITERS.name):
        writers = select(_WRITERS.c.release_revision).where(_WRITERS.c.schema_revision.in_(applied))
        if HEAD in connection.scalars(writers).all():
            return None
    return NewerSchema()


def applied_to(connection: Connection) -> set[str]:
    """Return the revision of a database; the empty set if it was never migrated, several if its history branched."""
    return set(connection.scalars(_APPLIED)) if inspect(connection).has_table("alembic_version") else set()


def is_older(revision: str) -> bool:
    """Return whether this release has migrations that come after `revision`."""
    return revision in OLDER


def is_newest(revision: str) -> bool:
    """Return whether `revision` is the last one of this release."""
    return revision == HEAD


def add_commands(app: Flask) -> None:
    """Add the `flask db` commands to an application."""
    from flask_migrate import Migrate  # loads Alembic

    Migrate(app, app.extensions["sqlalchemy"], directory=str(_FOLDER))


def migrate(engine: Engine | None = None) -> None:
    """Apply the migrations of this release that are missing, by default to the current application's database.

    Raises DBAPIError.
    """
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"engine": engine})  # which migrations/env.py reads
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    command.upgrade(config, "head")


def list_undone(target: str) -> list[str]:
    """Return the revisions that a downgrade of the current application's database to `target` undoes, newest first.

    It is empty if Alembic refuses the target, which may be relative, such as `-1`. Raises DBAPIError.
    """
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    with get_engine().connect() as connection:
        applied = applied_to(connection)
    scripts = ScriptDirectory(str(_FOLDER))
    try:
        return [
            script.revision for script in scripts.iterate_revisions(tuple(applied), target, select_for_downgrade=True)
        ]
    except CommandError:
        return []


def is_model_managed(name: str | None, kind: str) -> bool:
    """Return whether Alembic should compare a table or index with the models.

    Not those of the full-text search, not the tables about the schema itself, and not what is counted.

    `kind` is Alembic's type of the object: "table", "index", "column" and so on.
    """
    prefixes = {"table": (*_SEARCH_TABLES, *BOOKKEEPING_TABLES, usage.NAME), "index": _SEARCH_INDICES}
    return not str(name).startswith(prefixes.get(kind, ("-",)))
