"""Reclaim the disk space of deleted rows.

A SQLite file is shrunk a few hundred free pages at a time, each time in the queue of writers. That needs
`auto_vacuum=INCREMENTAL`; a file created without it is rebuilt once by a full VACUUM, which blocks writers. PostgreSQL
makes the space available for new rows.
"""

import os
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from promptcrafter.database import checkpoints, sqlite
from promptcrafter.database.base import Base
from promptcrafter.database.session import sqlite_path
from promptcrafter.database.transactions import autocommit_connection
from promptcrafter.maintenance import Progress

_PAGES_AT_ONCE = 500
_ATTEMPTS, _PAUSE_S = 10, 0.1
_TEMPORARY_FOLDERS = ("/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108 - where SQLite looks, https://sqlite.org/tempfiles.html §5


def reclaim(on_progress: Progress) -> None:
    """Reclaim the disk space of deleted rows; on SQLite, call `on_progress` with the pages done and their total.

    Raises sqlite.NoSpace when a SQLite file needs a full VACUUM and the disk has no space for it.
    """
    path = sqlite_path()
    if path is None:
        with autocommit_connection() as connection:
            # `log_search`, the words of logs, has no model
            connection.exec_driver_sql(f"VACUUM (ANALYZE) {', '.join([*Base.metadata.tables, 'log_search'])}")
    else:
        _shrink(path, on_progress)


def erase() -> None:
    """Write the database's files anew, without the remains of deleted rows; others wait meanwhile.

    The free space of a file still has the texts of deleted rows, and so have the segments of a search index until it
    is rebuilt, which must be done before. Raises sqlite.NoSpace when the disk has no space for it.
    """
    path = sqlite_path()
    with autocommit_connection() as connection:
        if path is None:
            connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {', '.join([*Base.metadata.tables, 'log_search'])}")
            return
        _refuse_full_disk(path, connection)
        connection.exec_driver_sql("VACUUM")
    _truncate_log(path)


def _shrink(path: Path, on_progress: Progress) -> None:
    with autocommit_connection() as connection:
        if not _pragma(connection, "auto_vacuum"):
            _refuse_full_disk(path, connection)
            connection.exec_driver_sql("PRAGMA auto_vacuum=INCREMENTAL")
            connection.exec_driver_sql("VACUUM")
        free = _pragma(connection, "freelist_count")
    for done in range(0, free, _PAGES_AT_ONCE):
        on_progress(done, free)
        with autocommit_connection() as connection:
            driver: Any = connection.connection.driver_connection
            # execute() would free one page only, since it stops at the first row
            driver.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
    _truncate_log(path)


def _truncate_log(path: Path) -> None:
    for _ in range(_ATTEMPTS):
        if checkpoints.truncate_log(path):
            break
        time.sleep(_PAUSE_S)  # a reader still needs the log


def _refuse_full_disk(path: Path, connection: Connection) -> None:
    """Raise sqlite.NoSpace unless the disks have space for all rows twice: in a temporary file and in the log."""
    used = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    size = used * _pragma(connection, "page_size")
    folders = [path.parent, _temporary_folder()]
    disks = [folder.stat().st_dev for folder in folders]
    for folder, disk in zip(folders, disks, strict=True):
        sqlite.refuse_full_disk(folder, size * disks.count(disk))


def _temporary_folder() -> Path:
    """Return the folder in which SQLite creates its temporary files."""
    candidates = [os.environ.get("SQLITE_TMPDIR", ""), os.environ.get("TMPDIR", ""), *_TEMPORARY_FOLDERS]
    return next((Path(name) for name in candidates if name and os.access(name, os.W_OK | os.X_OK)), Path())


def _pragma(connection: Connection, text: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {text}").scalar_one())
