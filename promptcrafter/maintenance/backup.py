"""Copies of a SQLite file, made while the database is in use and checked afterwards.

A copy is made page by page inside one read transaction of the source. It blocks no writers, because SQLite uses a
write-ahead log. Without that transaction each commit of a writer would make the copy start again. Until the transaction
ends, the log cannot be checkpointed and grows with each write.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from promptcrafter.database import sqlite
from promptcrafter.files import fsync_path
from promptcrafter.maintenance import Progress

_PAGES_AT_ONCE = 512
_SEARCHED = (("logs", "log_search"), ("prompts", "prompt_search"))
# FTS5's command that compares an index with its table; it has commands in the place of a column's value
CHECK_INDEX = "INSERT INTO {0} ({0}, rank) VALUES ('integrity-check', 1)"


class InvalidBackup(Exception):
    """A file is not an intact database of this service; the message says why."""


@dataclass(frozen=True)
class Contents:
    """The contents of a database: its revision, the number of rows by table, and which search indices are damaged.

    An index is damaged if FTS5 says so, or if a log or prompt has no entry in it.
    """

    revision: str
    rows: Mapping[str, int]
    damaged_indices: Sequence[str] = ()


def copy_database(source: sqlite3.Connection, target: Path, on_progress: Progress) -> Contents:
    """Copy a database, as it is now, to the file `target` of mode 0600, check the copy and return its contents.

    When this returns, the copy is a single file without a log, synced to the disk. `target` is overwritten.
    `on_progress` is called with the number of pages copied and their total. Raises sqlite.NoSpace before it begins,
    InvalidBackup, sqlite3.Error and OSError.
    """
    source.execute("BEGIN")
    ((pages, size),) = source.execute("SELECT page_count, page_size FROM pragma_page_count, pragma_page_size")
    sqlite.refuse_full_disk(target.parent, pages * size)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    with closing(sqlite3.connect(target, isolation_level=None)) as writer:
        writer.execute("PRAGMA locking_mode=EXCLUSIVE")  # keeps the log's index in memory, not in a file
        source.backup(writer, pages=_PAGES_AT_ONCE, progress=lambda _, left, total: on_progress(total - left, total))
        damaged = _find_damaged_indices(writer)
        writer.execute("PRAGMA journal_mode=DELETE")  # without a log it can be read on a read-only disk
    fsync_path(target)
    contents = examine(target)
    if contents.rows != _count_rows(source):
        raise InvalidBackup("it has not the rows of what it was copied from")
    damaged += [search for table, search in _SEARCHED if _lacks_entries(contents.rows, table, search)]
    return replace(contents, damaged_indices=damaged)


@contextmanager
def watch_for_writes(path: Path) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether the database has been written to since the block began.

    It may also return True after a mere checkpoint.
    """
    with closing(sqlite3.connect(path, factory=sqlite.Connection, isolation_level=None)) as watcher:

        def read_version() -> int:
            return int(watcher.execute("PRAGMA data_version").fetchone()[0])

        before = read_version()
        yield lambda: read_version() != before


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a database read-only. One without a log or journal is opened as immutable, which needs no lock files."""
    has_log = any(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-journal"))
    options = "mode=ro" if has_log else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, isolation_level=None)


def examine(path: Path) -> Contents:
    """Check a database from end to end and return its contents. Raises InvalidBackup."""
    with closing(open_read_only(path)) as connection:
        try:
            (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if result != "ok":
                raise InvalidBackup(f"it is damaged ({' '.join(result.split())})")
            if connection.execute("PRAGMA foreign_key_check").fetchone():
                raise InvalidBackup("it has rows whose parents are missing")
            return Contents(_read_revision(connection), _count_rows(connection))
        except sqlite3.DatabaseError as error:
            raise InvalidBackup(f"it is damaged ({error})") from error


def _find_damaged_indices(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the full-text indices that differ from their tables. Needs a copy: others cannot write."""
    names = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE % USING fts5(%' ORDER BY name"
    return [name for (name,) in connection.execute(names).fetchall() if not _is_intact(connection, name)]


def _is_intact(connection: sqlite3.Connection, name: str) -> bool:
    try:
        connection.execute(CHECK_INDEX.format(name))
    except sqlite3.DatabaseError as error:
        if not error.sqlite_errorname.startswith("SQLITE_CORRUPT"):
            raise
        return False
    return True


def _lacks_entries(rows: Mapping[str, int], table: str, search: str) -> bool:
    return search in rows and rows[search] != rows[table]


def _read_revision(connection: sqlite3.Connection) -> str:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        raise InvalidBackup("it is no database of this service, or was never migrated")
    revisions = [str(revision) for (revision,) in connection.execute("SELECT version_num FROM alembic_version")]
    if len(revisions) != 1:
        raise InvalidBackup("it does not say which migrations it has had")
    return revisions[0]


def _count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of rows by table, except virtual tables, whose rows are in their shadow tables."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL %' ORDER BY name"
    names = [name for (name,) in connection.execute(tables).fetchall()]
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608
