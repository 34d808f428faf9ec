"""Which SQLite file this process has open, to notice when another one, or none, is at its path.

A file that is deleted or replaced stays open: what is written to it is lost when the process ends. Each transaction
looks at its path first, and a write also at the log and its index, which SQLite keeps beside the file. It is refused
until the file is back, or until the process is restarted, which is the operator's statement that the file at the path
is the right one. A restore by this service is not affected, because it needs that no process has the database open.
"""

import os
from dataclasses import dataclass
from threading import RLock

from promptcrafter.database.errors import FileUnusable

_BESIDE = ("-wal", "-shm")  # they exist while any connection is open
_Identity = tuple[int, int]


@dataclass
class _OpenFile:
    """What was at a path when the first connection of this process was opened."""

    file: _Identity
    is_empty: bool
    beside: list[_Identity | None] | None = None
    connections: int = 0
    is_kept: bool = False  # by a server, also without a connection


_open_files: dict[str, _OpenFile] = {}
_lock = RLock()  # a connection may be closed by the garbage collector at any time


def keep_known(path: str) -> None:
    """Remember the file at a path until the process ends, in its forks, too. Raises FileUnusable."""
    with _lock:
        _look(path).is_kept = True


def add_connection(path: str) -> None:
    """Count a new connection. Raises FileUnusable, also if the file is not the one that others are connected to."""
    with _lock:
        known = _look(path)
        _compare(path, known)
        known.connections += 1


def remove_connection(path: str) -> None:
    """Count a connection that is closed. After the last one, any file may be at the path."""
    with _lock:
        known = _open_files[path]
        known.connections -= 1
        if known.connections == 0:
            known.beside = None
            if not known.is_kept:
                del _open_files[path]


def check(path: str) -> None:
    """Raise FileUnusable if the file at the path is not the one that this process is connected to, or is empty now."""
    _compare(path, _open_files[path])


def check_all(path: str) -> None:
    """Raise FileUnusable as `check` does, and if the log or its index is not the one of the connections."""
    known = _open_files.get(path)
    if known is None:
        return
    _compare(path, known)
    beside = [_find_identity(path + suffix) for suffix in _BESIDE]
    if known.beside is None or None in known.beside:
        known.beside = beside
    elif beside != known.beside:
        name = next(path + suffix for suffix, now, was in zip(_BESIDE, beside, known.beside, strict=True) if now != was)
        text = f"{name} has been deleted or replaced: put it back, or restart the service"
        raise FileUnusable(text, "A file beside the database file was deleted or replaced.")


def _look(path: str) -> _OpenFile:
    known = _open_files.get(path)
    if known is None:
        found = _stat(path)
        known = _open_files[path] = _OpenFile((found.st_dev, found.st_ino), not found.st_size)
    return known


def _compare(path: str, known: _OpenFile) -> None:
    found = _stat(path)
    if (found.st_dev, found.st_ino) != known.file:
        text = f"another file has taken the place of {path}: put it back, or restart the service"
        raise FileUnusable(text, "The database file was replaced.")
    if not found.st_size and not known.is_empty:
        text = f"{path} has been emptied: stop the service and restore a backup"
        raise FileUnusable(text, "The database file was emptied.")


def _find_identity(path: str) -> _Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        text = f"{path} cannot be found: {error.strerror}"
        raise FileUnusable(text, "The database file is missing.", error.errno) from error
