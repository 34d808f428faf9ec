"""`move-to`: copy the SQLite database into PostgreSQL."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import Connection

from config import read_database_url
from promptcrafter.cli.commands import Command, Refusal, describe_rows, progress, say
from promptcrafter.database import sqlite
from promptcrafter.database.session import read_snapshot, sqlite_path
from promptcrafter.maintenance.backup import watch_for_writes
from promptcrafter.maintenance.sqlite_to_postgresql import move


@click.command("move-to", cls=Command)
@click.argument("url", metavar="URL")
@click.option("--live", is_flag=True, help="Move even if the file is written to meanwhile, without those changes.")
def move_to(url: str, live: bool) -> None:
    """Copy the SQLite database into an empty database of PostgreSQL, and compare the two.

    URL is what DATABASE_URL is to be: postgresql://user:password@host:5432/name. For - it is read from standard input.
    The SQLite file stays as it is. If it is written to meanwhile, nothing is moved, unless --live is given.
    """
    path = sqlite_path()
    if path is None:
        raise Refusal("The database is PostgreSQL's already: pg_dump and pg_restore move it.")
    database_url = _read_url(url)
    if sqlite.is_open(path):
        say("The database is in use. What is written to it from now on is not moved: better stop the service first.")
    with watch_for_writes(path) as is_changed, read_snapshot() as reader, _translating_errors():
        source = reader.connection()
        move.refuse_other_release(source)
        with move.open_target(database_url) as target:
            copied = _copy(source, target)
            has_missed_writes = is_changed()
            if has_missed_writes and not live:
                raise Refusal(
                    "Somebody has written to the SQLite file meanwhile, and PostgreSQL would be without that. Nothing "
                    "was moved: stop the service and move again, or leave that behind with --live."
                )
    say(f"Moved and compared: {describe_rows({name: checksum.rows for name, checksum in copied.checksums.items()})}.")
    if has_missed_writes:
        say("Somebody has written to the SQLite file meanwhile. That is not in PostgreSQL.")
    say("Now set DATABASE_URL to that address and start the service with it. JWT_SECRET_KEY must stay what it is.")


COMMANDS = (move_to,)


def _copy(source: Connection, target: Connection) -> move.Copy:
    with progress("Copying") as on_progress:
        copied = move.copy(source, target, on_progress)
    with progress("Indexing") as on_progress:
        move.index(target, copied, on_progress)
    with progress("Comparing") as on_progress:
        move.compare(target, copied, on_progress)
    return copied


@contextmanager
def _translating_errors() -> Iterator[None]:
    try:
        yield
    except move.MoveError as error:
        raise Refusal(str(error)) from error


def _read_url(argument: str) -> str:
    """Return the URL of a PostgreSQL database, in SQLAlchemy's form, from the argument or, for `-`, standard input.

    Raises Refusal for any other URL. Messages never show the URL, because it has a password.
    """
    try:
        url = read_database_url(sys.stdin.readline().strip() if argument == "-" else argument)
    except ValueError as error:
        if str(error).startswith("is malformed"):
            raise Refusal(f"The URL {error}.") from error
        url = ""
    if not url.startswith("postgresql"):
        raise Refusal("The URL must be one of PostgreSQL: postgresql://user:password@host:5432/name.")
    return url
