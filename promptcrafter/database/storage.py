"""Whether the database has room to write: which errors of the drivers mean a full disk, and whether it is still full.

All workers share what they know about a full disk: the memory map is made before they are forked.
"""

import errno
import fcntl
import mmap
import os
import resource
import struct
import tempfile
import time
from pathlib import Path

from flask import Flask, current_app
from sqlalchemy.exc import DBAPIError

from promptcrafter.database import file_identity, sqlite
from promptcrafter.database.errors import translating_driver_errors
from promptcrafter.database.session import sqlite_path

_EXTENSION = "promptcrafter-storage"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROBE_BYTES = 256 * 1024  # what a prompt of 40 KB writes, with its search index
_REMEMBERED_S = 10
_POSTGRESQL_DISK_FULL = "53100"
_STATE = struct.Struct("d")  # when the database has last reported a full disk; 0 for never


def init_app(app: Flask) -> None:
    """Prepare what the workers share."""
    app.extensions[_EXTENSION] = mmap.mmap(-1, _STATE.size)


def is_full(error: DBAPIError) -> bool:
    """Return whether a statement has failed because a disk, a quota or the database is full.

    SQLite reports a full disk as SQLITE_FULL, but an exhausted quota or a limited file size, or a full disk at the
    creation of one of its files, as an error that may also have other causes: then a file is written to find out.
    """
    if getattr(error.orig, "errno", None) in _NO_ROOM:  # a lock file could not be created
        return True
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")):
        return _find_obstacle(Path(tempfile.gettempdir())) in _NO_ROOM or find_obstacle() in _NO_ROOM
    found = name.startswith("SQLITE_FULL") or getattr(error.orig, "sqlstate", None) == _POSTGRESQL_DISK_FULL
    if found:
        _STATE.pack_into(_state(), 0, time.monotonic())
    return found


def check_files() -> None:
    """Raise DBAPIError if another SQLite file, log or index is at its path, or if the lock of writers is unusable."""
    path = sqlite_path()
    if path is None:
        return
    with translating_driver_errors():
        file_identity.check_all(str(path))
        try:
            file = sqlite.open_locked(str(path), sqlite.WRITE_QUEUE_SUFFIX, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise sqlite.lock_file_error(error) from error
        if file is not None:
            os.close(file)


def find_obstacle() -> int | None:
    """Return why nothing can be written beside the SQLite file, as an errno; None if it can, and on PostgreSQL."""
    path = sqlite_path()
    if path is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and sqlite.largest_file(path) + _PROBE_BYTES > limit:
        return errno.EFBIG
    return _find_obstacle(path.parent)


def is_no_room(obstacle: int) -> bool:
    """Return whether `find_obstacle` has found a full disk, rather than one that may not be written."""
    return obstacle in _NO_ROOM


def was_full_lately() -> bool:
    """Return whether the database has reported a full disk within the last seconds, to any worker.

    For what `find_obstacle` does not see: the disk of PostgreSQL, and one with room for its file but not for a write.
    """
    (at,) = _STATE.unpack_from(_state())
    return bool(at) and time.monotonic() - at < _REMEMBERED_S


def _find_obstacle(folder: Path) -> int | None:
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            _write(file.fileno(), _PROBE_BYTES)
    except OSError as error:
        return error.errno or errno.EIO
    return None


def _write(file: int, size: int) -> None:
    """Write that many bytes. Raises OSError: the system may write a part before it reports that no more has room."""
    while size > 0:
        size -= os.write(file, bytes(size))


def _state() -> mmap.mmap:
    state: mmap.mmap = current_app.extensions[_EXTENSION]
    return state
