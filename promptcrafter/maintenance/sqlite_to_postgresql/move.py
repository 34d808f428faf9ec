"""The steps of a move: check the source and the target, copy, create the indices, compare.

They write in one transaction of the target. If it ends before its commit, the target has no rows, so the move can be
repeated.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import psycopg
from psycopg import sql
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from promptcrafter.database import revisions, usage
from promptcrafter.database.base import Base
from promptcrafter.database.postgresql import find_encoding_fault
from promptcrafter.database.session import open_postgresql
from promptcrafter.database.transactions import writing_to
from promptcrafter.maintenance import Progress
from promptcrafter.maintenance.sqlite_to_postgresql.tables import (
    Table,
    TableChecksum,
    derived_tables,
    each_row,
    every_table,
)

_TIMEOUT_MS = 30_000  # more than a request's: a busy disk may delay PostgreSQL for long
_ROWS_PER_PROGRESS = 500
_EMPTY = "Create another database and move to that one."
_COPY_LINE = re.compile(r"COPY \D*(\d+)")  # the number of the faulty row, in any language of the server
_INDICES = text(
    "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
    "JOIN pg_class ON pg_class.oid = indexrelid "
    "WHERE NOT indisunique AND relnamespace = current_schema()::regnamespace ORDER BY indexrelid"
)
# A definition of an index has no such settings
_STATISTICS_TARGETS = text(
    "SELECT format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', attrelid::regclass, attnum, attstattarget) "
    "FROM pg_attribute WHERE attrelid = CAST(:name AS regclass) AND attstattarget >= 0"
)


class MoveError(Exception):
    """The move failed, and nothing was moved; the message says why."""


@dataclass(frozen=True)
class Copy:
    """The checksums of what was copied, by table, and the statements that create the dropped indices again."""

    checksums: Mapping[str, TableChecksum]
    deferred_indices: Sequence[str]


def refuse_other_release(source: Connection) -> None:
    """Raise MoveError unless the source has the newest revision of this release."""
    applied = revisions.applied_to(source)
    if not applied or any(map(revisions.is_older, applied)):
        raise MoveError("The database is not up to date. Before it is moved: flask --app wsgi db upgrade")
    if not all(map(revisions.is_newest, applied)):
        raise MoveError("The database is of a newer release than this one: move it with that release.")


@contextmanager
def open_target(url: str) -> Iterator[Connection]:
    """Yield a transaction of an empty PostgreSQL database, migrated to this release; commit it at the block's end.

    Raises MoveError when the database is not empty, before anything in it is changed, and when PostgreSQL fails.
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
        raise MoveError(_explain(error.orig)) from error
    except psycopg.Error as error:
        raise MoveError(_explain(error)) from error


def copy(source: Connection, target: Connection, on_progress: Progress) -> Copy:
    """Copy all rows of the source, a snapshot, into the target, within its transaction.

    The target's tables stay locked until the transaction ends. `on_progress` is called with the number of rows done and
    their total. Raises MoveError.
    """
    tables = every_table()
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        target.execute(text(f"SET LOCAL {setting} = 0"))
    names = [table.name for table in tables]
    target.execute(text(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE"))
    _refuse_rows(target, names)  # again, since rows could be added until the lock
    deferred = _drop_indices(target)
    expected = sum(source.scalars(select(func.count()).select_from(table.rows.subquery())).one() for table in tables)
    checksums: dict[str, TableChecksum] = {}
    for table in tables:
        checksums[table.name] = checksum = TableChecksum()
        for _ in _fill(source, target, table, checksum):
            on_progress(sum(checksum.rows for checksum in checksums.values()), expected)
    return Copy(checksums, deferred)


def index(target: Connection, copied: Copy, on_progress: Progress) -> None:
    """Create the deferred indices, set the next values of identity columns, and ANALYZE.

    `on_progress` is called with the number of indices done and their total.
    """
    for done, statement in enumerate(copied.deferred_indices, 1):
        target.exec_driver_sql(statement)
        on_progress(done, len(copied.deferred_indices))
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if column.identity is not None:
                next_value = target.scalar(select(func.coalesce(func.max(column), 0) + 1))
                # unlike setval(), it is rolled back with the transaction
                target.execute(text(f"ALTER TABLE {table.name} ALTER COLUMN {column.name} RESTART WITH {next_value}"))
    target.execute(text(f"ANALYZE {', '.join(copied.checksums)}"))


def compare(target: Connection, copied: Copy, on_progress: Progress) -> None:
    """Read all rows of the target, and raise MoveError unless each table has the checksum of its source.

    `on_progress` is called with the number of rows done and their total.
    """
    expected, done = sum(checksum.rows for checksum in copied.checksums.values()), 0
    for table in every_table():
        actual, copied_checksum = TableChecksum(), copied.checksums[table.name]
        for row in each_row(target, table):
            actual.add(row)
            if actual.rows % _ROWS_PER_PROGRESS == 0:
                on_progress(done + actual.rows, expected)
        if actual.rows != copied_checksum.rows:
            raise MoveError(
                f"Of {copied_checksum.rows:,} rows of {table.name}, {actual.rows:,} arrived. Nothing was moved."
            )
        if actual != copied_checksum:
            raise MoveError(f"The rows of {table.name} did not arrive as they were. Nothing was moved.")
        done += actual.rows
        on_progress(done, expected)


def _refuse_used(connection: Connection) -> None:
    """Raise MoveError unless the database has the encoding UTF-8 and no tables except this service's, without rows."""
    if fault := find_encoding_fault(connection):
        raise MoveError(f"The database to move to cannot be used: {fault}.")
    applied = revisions.applied_to(connection)
    present = set(inspect(connection).get_table_names()) - {*revisions.BOOKKEEPING_TABLES, usage.NAME}
    ours = {*(table.name for table in every_table()), *derived_tables()} if applied else set()
    if unknown := sorted(present - ours):
        raise MoveError(
            f"The database to move to is not empty: it has a table {unknown[0]}, which is not ours. {_EMPTY}"
        )
    if not all(revisions.is_newest(revision) or revisions.is_older(revision) for revision in applied):
        raise MoveError("The database to move to is of a newer release than this one, or of another program.")
    _refuse_rows(connection, present)


def _refuse_rows(connection: Connection, names: Iterable[str]) -> None:
    for name in sorted(names):
        if connection.scalar(text(f"SELECT EXISTS (SELECT FROM {name})")):  # noqa: S608
            raise MoveError(f"The database to move to is not empty: there are rows in its table {name}. {_EMPTY}")


def _drop_indices(connection: Connection) -> list[str]:
    """Drop the indices that are not unique; return the statements that create them again."""
    statements: list[str] = []
    for name, definition in connection.execute(_INDICES).all():
        statements += [definition, *connection.scalars(_STATISTICS_TARGETS, {"name": name})]
        connection.exec_driver_sql(f"DROP INDEX {name}")
    return statements


def _fill(source: Connection, target: Connection, table: Table, checksum: TableChecksum) -> Iterator[None]:
    """Copy a table and add its rows to the checksum; yield now and then, to report progress. Raises MoveError."""
    driver = target.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    names = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), names)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as stream:
            for row in each_row(source, table):
                checksum.add(row)
                stream.write_row(row)
                if checksum.rows % _ROWS_PER_PROGRESS == 0:
                    yield
    except psycopg.Error as error:
        number = _find_refused(error, checksum.rows)
        if number is None:
            raise
        row = next(islice(each_row(source, table), number - 1, None))
        key = ", ".join(f"{name} {row[table.columns.index(name)]}" for name in table.key)
        raise MoveError(f"{_explain(error)} That is about the row of {table.name} with {key}.") from error
    yield


def _find_refused(error: psycopg.Error, sent: int) -> int | None:
    """Return the number of the row that an error is about, counted from 1; None when it is about no row."""
    if error.diag.sqlstate is None:
        return sent if isinstance(error, psycopg.DataError) else None  # raised by the driver before the row was sent
    line = _COPY_LINE.match(error.diag.context or "")
    return int(line[1]) if line else None


def _explain(error: psycopg.Error) -> str:
    """Return a one-line message for an error of PostgreSQL or of the connection to it."""
    primary = error.diag.message_primary
    if primary is None:
        return f"The database to move to cannot be used: {str(error).splitlines()[0]}."
    detail = f" ({error.diag.message_detail.rstrip('.')})" if error.diag.message_detail else ""
    return f"PostgreSQL says: {' '.join(primary.split())}{detail}."
