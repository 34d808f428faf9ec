"""The way from one database into another: what may be moved where, the copy, and the comparison of the two.

All of a copy is written in one transaction of PostgreSQL. Whatever ends it before its commit leaves a target without a
row, which is what a move begins with.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import psycopg
from psycopg import sql
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from promptcrafter.database import revisions
from promptcrafter.database.base import Base
from promptcrafter.database.session import open_postgresql
from promptcrafter.database.transactions import writing_to
from promptcrafter.maintenance.sqlite_to_postgresql.tables import Content, Table, each_row, every_table

_TIMEOUT_MS = 30_000  # a busy disk may keep PostgreSQL from taking rows for longer than a request would wait
_TELL_EVERY = 500  # rows
_COPY_LINE = re.compile(r"COPY \D*(\d+)")  # where PostgreSQL saw the fault, in whatever language it says so
_INDICES = text(
    "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
    "JOIN pg_class ON pg_class.oid = indexrelid "
    "WHERE NOT indisunique AND relnamespace = current_schema()::regnamespace ORDER BY indexrelid"
)
Told = Callable[[int, int], None]


class NotMoved(Exception):
    """Nothing was moved; the text says why."""


@dataclass(frozen=True)
class Copy:
    """What was copied, by table, and the statements that make the indices which the target is still without."""

    contents: Mapping[str, Content]
    put_off: Sequence[str]


def refuse_other_release(source: Connection) -> None:
    """Raise NotMoved unless a database has had just the migrations of this release."""
    applied = revisions.applied_to(source)
    if not applied or any(map(revisions.is_older, applied)):
        raise NotMoved("The database is not up to date. Before it is moved: flask --app wsgi db upgrade")
    if not all(map(revisions.is_newest, applied)):
        raise NotMoved("The database is of a newer release than this one: move it with that release.")


@contextmanager
def open_target(url: str) -> Iterator[Connection]:
    """Yield a transaction of an empty PostgreSQL database, migrated to this release; commit it at the block's end.

    Raises NotMoved when the database is not empty, before anything in it is changed, and when PostgreSQL fails.
    """
    try:
        with open_postgresql(url, _TIMEOUT_MS) as engine:
            with engine.connect() as connection:
                _refuse_used(connection)
            revisions.migrate(engine)
            with writing_to(engine) as target:
                yield target
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.Error):
            raise
        raise NotMoved(_explain(error.orig)) from error
    except psycopg.Error as error:
        raise NotMoved(_explain(error)) from error


def copy(source: Connection, target: Connection, told: Told) -> Copy:
    """Write all rows that a snapshot has to the target, within its transaction.

    Nobody else sees the target until the transaction ends. `told` hears how many rows are done, and of how many.
    """
    tables = every_table()
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        target.execute(text(f"SET LOCAL {setting} = 0"))
    names = [table.name for table in tables]
    target.execute(text(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE"))
    _refuse_rows(target, names)  # again, since only now nobody can add any
    put_off = _put_off(target)
    expected = sum(source.scalars(select(func.count()).select_from(table.rows.subquery())).one() for table in tables)
    contents: dict[str, Content] = {}
    for table in tables:
        contents[table.name] = content = Content()
        for _ in _fill(source, target, table, content):
            told(sum(each.rows for each in contents.values()), expected)
    return Copy(contents, put_off)


def index(target: Connection, copied: Copy, told: Told) -> None:
    """Make the indices that were put off, and let the target count on from the numbers that were copied.

    `told` hears how many of them are done, and of how many.
    """
    for done, statement in enumerate(copied.put_off, 1):
        target.exec_driver_sql(statement)
        told(done, len(copied.put_off))
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if column.identity is not None:
                following = target.scalar(select(func.coalesce(func.max(column), 0) + 1))
                # not setval(), which no rollback takes back
                target.execute(text(f"ALTER TABLE {table.name} ALTER COLUMN {column.name} RESTART WITH {following}"))
    target.execute(text(f"ANALYZE {', '.join(copied.contents)}"))


def compare(target: Connection, copied: Copy, told: Told) -> None:
    """Read the target from end to end, and raise NotMoved unless each table has the rows that it was to have.

    `told` hears how many rows are done, and of how many.
    """
    expected, done = sum(content.rows for content in copied.contents.values()), 0
    for table in every_table():
        found, wanted = Content(), copied.contents[table.name]
        for row in each_row(target, table):
            found.add(row)
            if found.rows % _TELL_EVERY == 0:
                told(done + found.rows, expected)
        if found.rows != wanted.rows:
            raise NotMoved(f"Of {wanted.rows:,} rows of {table.name}, {found.rows:,} arrived. Nothing was moved.")
        if found != wanted:
            raise NotMoved(f"The rows of {table.name} did not arrive as they were. Nothing was moved.")
        done += found.rows
        told(done, expected)


def _refuse_used(connection: Connection) -> None:
    """Raise NotMoved unless a database has UTF-8, and no table but ours, without rows."""
    if connection.scalar(text("SHOW server_encoding")) != "UTF8":
        raise NotMoved("The database to move to must have the encoding UTF8.")
    applied = revisions.applied_to(connection)
    there = set(inspect(connection).get_table_names()) - {"alembic_version"}
    ours = {table.name for table in every_table()} if applied else set()
    if strange := sorted(there - ours):
        raise NotMoved(f"The database to move to is not empty: it has a table {strange[0]}, which is not ours.")
    if not all(revisions.is_newest(revision) or revisions.is_older(revision) for revision in applied):
        raise NotMoved("The database to move to is of a newer release than this one, or of another program.")
    _refuse_rows(connection, there)


def _refuse_rows(connection: Connection, names: Iterable[str]) -> None:
    for name in names:
        if connection.scalar(text(f"SELECT EXISTS (SELECT FROM {name})")):  # noqa: S608
            raise NotMoved(f"The database to move to is not empty: there are rows in its table {name}.")


def _put_off(connection: Connection) -> list[str]:
    """Drop the indices that nothing but speed depends on; return the statements that make them as they were."""
    indices = connection.execute(_INDICES).all()
    for name, _ in indices:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    return [definition for _, definition in indices]


def _fill(source: Connection, target: Connection, table: Table, content: Content) -> Iterator[None]:
    """Copy a table and count what is copied; yield now and then. Raises NotMoved."""
    driver = target.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    names = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), names)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as stream:
            for row in each_row(source, table):
                content.add(row)
                stream.write_row(row)
                if content.rows % _TELL_EVERY == 0:
                    yield
    except psycopg.Error as error:
        number = _find_refused(error, content.rows)
        if number is None:
            raise
        row = next(islice(each_row(source, table), number - 1, None))
        named = ", ".join(f"{name} {row[table.columns.index(name)]}" for name in table.key)
        raise NotMoved(f"{_explain(error)} That is about the row of {table.name} with {named}.") from error
    yield


def _find_refused(error: psycopg.Error, sent: int) -> int | None:
    """Return the number of the row that an error is about, the first being 1; None when it is about none."""
    if error.diag.sqlstate is None:
        return sent if isinstance(error, psycopg.DataError) else None  # the driver refuses a row before it is sent
    line = _COPY_LINE.match(error.diag.context or "")
    return int(line[1]) if line else None


def _explain(error: psycopg.Error) -> str:
    """Say in one line what PostgreSQL has said."""
    said = error.diag.message_primary
    if said is None:
        return f"The database to move to cannot be used: {str(error).splitlines()[0]}."
    detail = f" ({error.diag.message_detail.rstrip('.')})" if error.diag.message_detail else ""
    return f"PostgreSQL says: {' '.join(said.split())}{detail}."
