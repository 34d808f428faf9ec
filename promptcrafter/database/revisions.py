"""The revisions of the schema: those of this release, and those applied to a database.

A server needs no Alembic for this: it takes megabytes of memory, and only commands that migrate load it.
"""

from pathlib import Path

from flask import Flask
from sqlalchemy import Connection, Engine, Select, column, inspect, select, table

from promptcrafter.database.session import get_engine

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
)  # oldest first
HEAD = "2f96d0a8b4e3"

_FOLDER = Path(__file__).parent.parent.parent / "migrations"
_APPLIED: Select[tuple[str]] = select(column("version_num")).select_from(table("alembic_version"))
# The full-text indices, which differ between the databases and are created by migrations, not from the models
_SEARCH_TABLES = ("prompt_trigrams", "prompt_grams", "log_search", "log_words")
_SEARCH_INDICES = ("ix_prompt_search_",)


def is_migrated() -> bool:
    """Return whether every migration of this release is applied; revisions of a later release count as newer.

    Raises DBAPIError when the database is unavailable.
    """
    with get_engine().connect() as connection:
        applied = applied_to(connection)
    return bool(applied) and applied.isdisjoint(OLDER)


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


def is_model_managed(name: str | None, kind: str) -> bool:
    """Return whether Alembic should compare a table or index with the models: not those of the full-text search.

    `kind` is Alembic's type of the object: "table", "index", "column" and so on.
    """
    return not str(name).startswith({"table": _SEARCH_TABLES, "index": _SEARCH_INDICES}.get(kind, ("-",)))
