"""The SQLite file: its creation, its connections, and the lock files beside it.

The "open" lock is shared by all processes that have the database open; a restore takes it exclusively. It is taken
before the database is opened and released after it is closed, by the kernel if the process dies. A server holds it
from start to end, even while it has no connection. `write_queue.py` has the queue of writers.
"""

import errno
import fcntl
import os
import secrets
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection, event

from config import Config
from promptcrafter.database import file_identity, json_scalar
from promptcrafter.database.errors import FileUnusable, translating_driver_errors
from promptcrafter.files import fsync_folder, fsync_path

_MAGIC = b"SQLite format 3\x00"  # the beginning of every database file
BEGIN, BEGIN_AS_WRITER = "BEGIN", "BEGIN IMMEDIATE"
OPEN_LOCK_SUFFIX = "-open"
BACKUP_LOCK_SUFFIX = "-backup"  # held exclusively by a backup
WRITE_QUEUE_SUFFIX = "-queue"
BULK_QUEUE_SUFFIX = "-bulk"  # of those who hold the write lock for long: one of them at a time is in the write queue
PURGE_LOCK_SUFFIX = "-purge"  # held exclusively by the one process that purges
AGGREGATION_LOCK_SUFFIX = "-aggregation"  # held exclusively by the one process that computes aggregates
# Beside a database that has been written to. The other lock files may also be made beside one that was never there
_EVIDENCE = (
    *("-wal", "-shm", "-journal", WRITE_QUEUE_SUFFIX),
    *(BULK_QUEUE_SUFFIX, PURGE_LOCK_SUFFIX, AGGREGATION_LOCK_SUFFIX),
)
_CHECKPOINT_PAGES = 1000  # SQLite's own default: a commit makes a checkpoint when the log has so many pages
LOG_LIMIT_BYTES = 16 * 1024 * 1024  # of the write-ahead log; SQLite copies it into the file at each 4 MiB


class Restoring(sqlite3.OperationalError):
    """A restore is replacing the database."""


class InUse(Exception):
    """Another process holds the lock or has the database open."""


class NoSpace(Exception):
    """A disk is too full for an operation; the message says how many bytes are needed and free."""


class Connection(sqlite3.Connection):
    """A connection that holds the shared "open" lock until it is closed."""

    begin_statement = BEGIN  # of the next transaction
    _lock: int | None = None

    def __init__(self, database: str | Path, *args: Any, **kwargs: Any) -> None:
        lock = acquire_shared_lock(database)
        self._path = os.path.realpath(database)
        try:
            file_identity.add_connection(self._path)
        except sqlite3.Error:
            os.close(lock)
            raise
        self._lock = lock
        try:
            super().__init__(database, *args, **kwargs)
        except sqlite3.Error:
            self._release()
            raise

    def __del__(self) -> None:
        self._release()

    def start_transaction(self) -> None:
        """Begin a transaction by `begin_statement`, which is then set back.

        Raises FileUnusable if another file is where the file was that this connection has open: see `file_identity`.
        """
        statement, self.begin_statement = self.begin_statement, BEGIN
        if statement == BEGIN:
            self.check_file()
        else:
            file_identity.check_all(self._path)
        if statement:
            self.execute(statement)

    def check_file(self) -> None:
        """Raise FileUnusable if another file is where the file was that this connection has open."""
        file_identity.check(self._path)

    def close(self) -> None:
        """Close the connection and release the lock."""
        super().close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            file_identity.remove_connection(self._path)


def path_of(url: str) -> Path:
    """Return the path of the file that a URL of SQLAlchemy's form names."""
    return Path(url.removeprefix("sqlite:///"))


def ensure_file(path: Path) -> None:
    """Create an empty database and the folders it is in, unless the file exists. Raises OSError and sqlite3.Error."""
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fsync_folder(path.parent.parent)
    if not path.exists():
        create(path)
    refuse_no_file(path)


def refuse_no_file(path: Path) -> None:
    """Raise OSError, with the reason, if something else than a file is at the path. That nothing is there is right."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(mode := path.stat().st_mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "it is not a file")


def refuse_lost(path: Path) -> None:
    """Raise OSError, with the reason, if the file is missing or empty, but files beside it show that there was one.

    Other processes may create the file and write to it meanwhile: what lies beside it is looked at first.
    """
    evidence = [f"{path.name}{suffix}" for suffix in _EVIDENCE if Path(f"{path}{suffix}").exists()]
    if not evidence or (path.exists() and (not path.is_file() or path.stat().st_size)):
        return
    is_missing = not path.exists()
    raise OSError(
        errno.ENOENT if is_missing else errno.EINVAL,
        f"it {'does not exist' if is_missing else 'is empty'}, but there was a database, which has left "
        f"{', '.join(evidence)}. Put the file back, or restore a backup with flask --app wsgi restore FILE. To begin "
        "with an empty database, remove what was left",
    )


def refuse_unusable(path: Path) -> None:
    """Raise OSError, with the reason, if the file is not a database or may not be read, written and locked."""
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    if start not in (b"", _MAGIC):  # SQLite makes a database of an empty file
        raise OSError(errno.EINVAL, "it is not a SQLite database")
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    lock = open_locked(os.path.realpath(path), OPEN_LOCK_SUFFIX, fcntl.LOCK_SH | fcntl.LOCK_NB)
    if lock is not None:  # otherwise a restore has it, which the start of the server reports
        os.close(lock)


def largest_file(path: Path) -> int:
    """Return the size in bytes of the larger one of the database file and its write-ahead log."""
    return max(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())


def create(path: Path) -> None:
    """Create an empty database, unless another process has created it meanwhile.

    It is on the disk when this returns: a power cut leaves either no file or a whole one.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)  # it will hold password hashes; SQLite gives the files beside it the same mode
    try:
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # changing it later takes a VACUUM
            connection.execute("PRAGMA journal_mode=WAL")  # processes that start together would collide in this
        fsync_path(draft)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    fsync_folder(path.parent)


def configure_engine(engine: Engine, config: Config) -> None:
    """Set the pragmas of each new connection of an engine, and how its transactions begin."""

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, record: Any) -> None:
        for pragma in (
            f"busy_timeout={config.database_timeout_ms}",
            "journal_mode=WAL",
            f"synchronous={config.sqlite_synchronous.upper()}",
            "foreign_keys=ON",
            f"journal_size_limit={LOG_LIMIT_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        json_scalar.add_function(connection)

    # The driver's own transactions are off (isolation_level None), because it never begins one before a read. do_begin
    # is replaced, because a listener for the event "begin" makes the engine set up event dispatch for each connection
    engine.dialect.do_begin = _begin  # type: ignore[assignment, method-assign]


def begin_next(connection: sqlalchemy.Connection, statement: str) -> None:
    """Set the statement that begins the connection's next transaction; with "", each statement commits itself."""
    driver: Any = connection.connection.dbapi_connection
    driver.begin_statement = statement


def prepare_to_write(connection: sqlalchemy.Connection) -> None:
    """Let the connection's next transaction take the write lock at its beginning."""
    begin_next(connection, BEGIN_AS_WRITER)


def read_revisions(connection: sqlalchemy.Connection) -> list[str]:
    """Return the revisions of the schema; while the write lock is held, they stay.

    Raises DBAPIError, also if the database has no table of revisions.
    """
    driver: Any = connection.connection.dbapi_connection
    with translating_driver_errors():
        return [revision for (revision,) in driver.execute("SELECT version_num FROM alembic_version")]


@contextmanager
def busy_timeout(connection: sqlalchemy.Connection, seconds: float, usual_seconds: float) -> Iterator[None]:
    """Let statements in the block wait for the locks of other processes for `seconds`, instead of the usual time.

    Raises DBAPIError.
    """
    driver: Any = connection.connection.dbapi_connection
    with translating_driver_errors():
        driver.execute(f"PRAGMA busy_timeout={max(0, round(seconds * 1000))}")
    try:
        yield
    finally:
        with translating_driver_errors():
            driver.execute(f"PRAGMA busy_timeout={round(usual_seconds * 1000)}")


def _begin(connection: PoolProxiedConnection) -> None:
    driver: Any = connection.dbapi_connection
    with translating_driver_errors():
        driver.start_transaction()


@contextmanager
def without_checkpoints(connection: sqlalchemy.Connection) -> Iterator[None]:
    """Let commits of the connection make no checkpoint inside the block. Raises DBAPIError."""
    driver: Any = connection.connection.dbapi_connection
    with translating_driver_errors():
        driver.execute("PRAGMA wal_autocheckpoint=0")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):
            driver.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")


def acquire_shared_lock(database: str | Path) -> int:
    """Take the shared "open" lock; return its file descriptor.

    It is held until the descriptor is closed in this process and in all its forks. Raises FileUnusable when the lock
    file cannot be opened or locked, Restoring during a restore.
    """
    try:
        lock = open_locked(os.path.realpath(database), OPEN_LOCK_SUFFIX, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        raise lock_file_error(error) from error
    if lock is None:
        raise Restoring("a restore is under way")
    return lock


@contextmanager
def exclusive_lock(database: Path, suffix: str) -> Iterator[None]:
    """Hold the lock file of that suffix exclusively inside the block. Raises InUse at once when it is taken.

    Raises OSError when it cannot be opened or locked.
    """
    file = open_locked(os.path.realpath(database), suffix, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if file is None:
        raise InUse
    try:
        yield
    finally:
        os.close(file)


def is_open(database: Path) -> bool:
    """Return whether any process has the database open."""
    try:
        with exclusive_lock(database, OPEN_LOCK_SUFFIX):
            return False
    except InUse:
        return True


def lock_file_error(error: OSError) -> FileUnusable:
    """Return the error of the database that says why a lock file cannot be used."""
    text = f"unable to use the lock file {error.filename}: {error.strerror}"
    is_missing = error.errno == errno.ENOENT  # with its folder: a lock file that is not there is created
    summary = "The database file is missing." if is_missing else "A lock file of the database cannot be used."
    return FileUnusable(text, summary, error.errno)


def hold_open(database: Path) -> None:
    """Take the shared "open" lock, and expect the same file at the path, until this process and its forks have ended.

    Raises sqlite3.OperationalError, and Restoring during a restore.
    """
    acquire_shared_lock(database)
    file_identity.keep_known(os.path.realpath(database))


def open_locked(database: str, suffix: str, operation: int) -> int | None:
    """Open the lock file of that suffix, lock it, and return its descriptor; create it with the database's owner.

    `operation` is that of `flock`: with `LOCK_NB`, return None when the lock is taken. The path has no symbolic link in
    it. Raises OSError, with the name of the lock file, when it cannot be opened, or when the file system has no locks.
    """
    path = database + suffix
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        chown_like(file, Path(database))
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError as error:
        os.close(file)
        raise OSError(error.errno, error.strerror, path) from error
    return file


def chown_like(file: int | Path, like: Path) -> None:
    """Give `file` the owner of `like`, so that files created by root stay accessible to the service."""
    if os.geteuid() == 0:
        with suppress(OSError):  # root of a user namespace may not
            owner = like.stat()
            os.chown(file, owner.st_uid, owner.st_gid)


def refuse_full_disk(folder: Path, needed: int) -> None:
    """Raise NoSpace when the disk of a folder has fewer than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoSpace(f"it takes {needed:,} bytes in {folder}, where {free:,} are free")
