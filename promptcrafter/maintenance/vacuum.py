"""The room that the database takes on the disk, and giving back what deleted rows have left.

A SQLite file gives back its free pages a few at a time, in its turn among the writers. That needs pointers inside it
which older files have not; such a file is written anew once, while nobody else writes. PostgreSQL keeps the room for
the rows to come.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from promptcrafter.database import sqlite
from promptcrafter.database.base import Base
from promptcrafter.database.session import sqlite_path
from promptcrafter.database.transactions import autocommit_connection

_PAGES_AT_ONCE = 500
_ATTEMPTS, _PAUSE_S, _WAIT_MS = 10, 0.1, 100
_TEMPORARY = ("/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108 - where SQLite looks, https://sqlite.org/tempfiles.html §5
_Told = Callable[[int, int], None]


def reclaim(told: _Told) -> None:
    """Give the room of deleted rows back, to the disk or to the rows to come. `told` hears how much of it is done.

    Raises sqlite.NoSpace when a SQLite file must be written anew first and cannot be.
    """
    path = sqlite_path()
    if path is None:
        with autocommit_connection() as connection:
            # the words of logs are in a table that no model has
            connection.exec_driver_sql(f"VACUUM (ANALYZE) {', '.join([*Base.metadata.tables, 'log_search'])}")
    else:
        _shrink(path, told)


def _shrink(path: Path, told: _Told) -> None:
    with autocommit_connection() as connection:
        if not _pragma(connection, "auto_vacuum"):
            _refuse_full_disk(path, connection)
            connection.exec_driver_sql("PRAGMA auto_vacuum=INCREMENTAL")
            connection.exec_driver_sql("VACUUM")
        free = _pragma(connection, "freelist_count")
    for done in range(0, free, _PAGES_AT_ONCE):
        told(done, free)
        with autocommit_connection() as connection:
            driver: Any = connection.connection.driver_connection
            # the driver would free one page and call it done, but for a script
            driver.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
    for _ in range(_ATTEMPTS):
        if _fold_log():
            break
        time.sleep(_PAUSE_S)  # somebody is reading what the log has replaced


def _fold_log() -> bool:
    """Fold SQLite's log into the file, which cuts both, unless somebody still reads an older state. Tell whether."""
    with autocommit_connection() as connection:
        usual = _pragma(connection, "busy_timeout")
        _pragma(connection, f"busy_timeout={_WAIT_MS}")  # it keeps writers waiting as long as it waits for readers
        try:
            return _pragma(connection, "wal_checkpoint(TRUNCATE)") == 0
        finally:
            _pragma(connection, f"busy_timeout={usual}")


def _refuse_full_disk(path: Path, connection: Connection) -> None:
    """Raise sqlite.NoSpace unless all rows find room twice: in a temporary file, and in the log on their way back."""
    used = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    size = used * _pragma(connection, "page_size")
    folders = [path.parent, _temporary_folder()]
    disks = [folder.stat().st_dev for folder in folders]
    for folder, disk in zip(folders, disks, strict=True):
        sqlite.refuse_full_disk(folder, size * disks.count(disk))


def _temporary_folder() -> Path:
    wanted = [os.environ.get("SQLITE_TMPDIR", ""), os.environ.get("TMPDIR", ""), *_TEMPORARY]
    return next((Path(name) for name in wanted if name and os.access(name, os.W_OK | os.X_OK)), Path())


def _pragma(connection: Connection, text: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {text}").scalar_one())
