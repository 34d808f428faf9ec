"""The SQLite file: how it is made and opened, who has it open and whose turn it is to write.

Everybody who has it open shares a lock on a file beside it, which a restore takes for itself alone. It is taken before
the database is opened and let go after it is closed, by the kernel if the process dies. A server holds it from its
start to its end, whether or not it has a connection at the moment.
"""

import fcntl
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection, event
from sqlalchemy.exc import TimeoutError

from config import Config
from promptcrafter.database.errors import translating_driver_errors

BEGIN, BEGIN_AS_WRITER = "BEGIN", "BEGIN IMMEDIATE"
OPEN_LOCK_SUFFIX = "-open"  # shared by everybody who has it open
BACKUP_LOCK_SUFFIX = "-backup"  # of whoever takes one
_QUEUE = "-queue"


class Restoring(sqlite3.OperationalError):
    """The database is being replaced at this moment."""


class InUse(Exception):
    """Somebody else has the lock, or the database open."""


class NoSpace(Exception):
    """A disk is too full for what is to be done; the text says what it takes and what there is."""


class Connection(sqlite3.Connection):
    """A connection that is counted among those who have the database open."""

    beginning = BEGIN  # what its next transaction begins with

    def __init__(self, database: str | Path, *args: Any, **kwargs: Any) -> None:
        self._lock: int | None = acquire_shared_lock(database)
        try:
            super().__init__(database, *args, **kwargs)
        except sqlite3.Error:
            self._leave()
            raise

    def close(self) -> None:
        """Close the connection, and count it no longer."""
        super().close()
        self._leave()

    def _leave(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def create(path: Path) -> None:
    """Make an empty database, which whoever comes second at the same time will find."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)  # it will hold password hashes; SQLite gives its neighbours the same mode
    try:
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # later this would take a VACUUM
            connection.execute("PRAGMA journal_mode=WAL")  # in this, several who start at once meet each other's lock
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def prepare(target: Engine, config: Config) -> None:
    """Set up each connection of an engine, and how its transactions begin."""

    @event.listens_for(target, "connect")
    def configure(connection: Any, record: Any) -> None:
        for pragma in (
            f"busy_timeout={config.database_timeout_ms}",
            "journal_mode=WAL",
            f"synchronous={config.sqlite_synchronous.upper()}",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    # The driver's own transactions are off (isolation_level None): it never begins before a read. Not by the event
    # "begin", since an engine with a listener gives each connection a set of events of its own
    target.dialect.do_begin = _begin  # type: ignore[assignment, method-assign]


def begin_next(connection: sqlalchemy.Connection, statement: str) -> None:
    """Let the next transaction of a connection begin with this statement; with none, its statements stand alone."""
    driver: Any = connection.connection.dbapi_connection
    driver.beginning = statement


def _begin(connection: PoolProxiedConnection) -> None:
    driver: Any = connection.dbapi_connection
    statement, driver.beginning = driver.beginning, BEGIN
    if statement:
        with translating_driver_errors():
            driver.execute(statement)


@contextmanager
def write_queue_lock(database: Path, seconds: float) -> Iterator[None]:
    """Wait in line for SQLite's write lock: writers that meet it taken sleep and retry, and the unlucky starve.

    A lock on a file beside the database is handed on in order, among threads and processes alike. It guards
    nothing: whoever writes without it meets SQLite's own lock. The path of the database has no symbolic link in it.
    Raises TimeoutError when the turn came too late.
    """
    started = time.monotonic()
    file = _open_beside(str(database), _QUEUE)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        if time.monotonic() - started > seconds:  # those ahead have waited for the lock in vain: so would this one
            raise TimeoutError("no turn to write")
        yield
    finally:
        os.close(file)


def acquire_shared_lock(database: str | Path) -> int:
    """Join those who have the database open, until the file descriptor returned is closed, here and in every fork.

    Raises sqlite3.OperationalError when the lock's file cannot be opened, Restoring while a restore is under way.
    """
    try:
        lock = open_beside(database, OPEN_LOCK_SUFFIX)
    except OSError as error:
        raise sqlite3.OperationalError(f"unable to open {database}{OPEN_LOCK_SUFFIX}") from error
    if not _lock(lock, fcntl.LOCK_SH):
        raise Restoring("a restore is under way")
    return lock


@contextmanager
def exclusive_lock(database: Path, lock: str) -> Iterator[None]:
    """Hold the lock of that suffix beside the database exclusively inside the block. Raises InUse when it is taken."""
    file = open_beside(database, lock)
    if not _lock(file, fcntl.LOCK_EX):
        raise InUse
    try:
        yield
    finally:
        os.close(file)


def is_open(database: Path) -> bool:
    """Tell whether anybody has the database open at this moment."""
    try:
        with exclusive_lock(database, OPEN_LOCK_SUFFIX):
            return False
    except InUse:
        return True


def open_beside(database: str | Path, suffix: str) -> int:
    """Open a file to lock, named as the database with a suffix; make it first, for whom the database belongs to."""
    return _open_beside(os.path.realpath(database), suffix)


def _open_beside(path: str, suffix: str) -> int:
    try:
        return os.open(path + suffix, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        file = os.open(path + suffix, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        chown_like(file, Path(path))
        return file


def chown_like(file: int | Path, like: Path) -> None:
    """Let a file belong to whom another belongs to: what root makes must not shut the service out."""
    if os.geteuid() == 0:
        with suppress(OSError):  # a root of a container's own may not
            owner = like.stat()
            os.chown(file, owner.st_uid, owner.st_gid)


def refuse_full_disk(folder: Path, needed: int) -> None:
    """Raise NoSpace when a folder's disk has not so many bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoSpace(f"it takes {needed:,} bytes in {folder}, where {free:,} are free")


def _lock(file: int, kind: int) -> bool:
    """Take a lock on an open file at once, or close it and say no."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    return True
