"""The revisions of the schema: which this release has, and which of them were applied to a database.

A server knows of them without Alembic, which takes megabytes and is for the commands that migrate.
"""

import re
from pathlib import Path

from flask import Flask
from sqlalchemy import Connection, Engine, Select, column, inspect, select, table

from promptcrafter.database.session import get_engine

_FOLDER = Path(__file__).parent.parent.parent / "migrations"
_APPLIED: Select[tuple[str]] = select(column("version_num")).select_from(table("alembic_version"))
_SEARCH_TABLES = ("prompt_trigrams", "prompt_grams", "log_search", "log_words")
_SEARCH_INDICES = ("ix_prompt_search_",)


def _read(name: str) -> set[str]:
    """Return what the migrations name so, those of the code that is loaded and not of what may lie there later."""
    code = "".join(path.read_text(encoding="utf-8") for path in (_FOLDER / "versions").glob("*.py"))
    return set(re.findall(f"^{name} = [\"'](\\w+)", code, re.M))


_OLDER = _read("down_revision")  # another one follows them
_NEWEST = _read("revision") - _OLDER


def is_migrated() -> bool:
    """Tell whether every migration of this release has been applied, and perhaps some of the next.

    Raises DBAPIError when the database is away.
    """
    with get_engine().connect() as connection:
        applied = applied_to(connection)
    return bool(applied) and not applied & _OLDER


def applied_to(connection: Connection) -> set[str]:
    """Return the newest migrations that were applied to a database: one, or none if it was never migrated."""
    return set(connection.scalars(_APPLIED)) if inspect(connection).has_table("alembic_version") else set()


def is_older(revision: str) -> bool:
    """Tell whether this release has newer migrations than this one."""
    return revision in _OLDER


def is_newest(revision: str) -> bool:
    """Tell whether this release has no newer migration than this one, which it has."""
    return revision in _NEWEST


def add_commands(app: Flask) -> None:
    """Give an application `flask db …`."""
    from flask_migrate import Migrate  # loads Alembic

    Migrate(app, app.extensions["sqlalchemy"], directory=str(_FOLDER))


def migrate(engine: Engine | None = None) -> None:
    """Apply the migrations of this release that are missing, by default to the current application's database.

    Raises DBAPIError.
    """
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"engine": engine})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    command.upgrade(config, "head")


def is_model_managed(name: str | None, kind: str) -> bool:
    """Tell Alembic whether a table or index is in the models: those of the search are in the migrations alone."""
    return not str(name).startswith({"table": _SEARCH_TABLES, "index": _SEARCH_INDICES}.get(kind, ("-",)))
