"""`backup` and `restore` of the SQLite file, by a copy that is checked before it is used."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import click

from promptcrafter import clock
from promptcrafter.cli.commands import IN_USE, Command, FileLessCommand, Refusal, describe_rows, progress, say
from promptcrafter.database import revisions, sqlite
from promptcrafter.database.base import Base
from promptcrafter.database.session import sqlite_path
from promptcrafter.files import fsync_folder, fsync_path
from promptcrafter.maintenance.backup import Contents, InvalidBackup, copy_database, open_read_only

_LOCKS = (
    *(sqlite.WRITE_QUEUE_SUFFIX, sqlite.OPEN_LOCK_SUFFIX, sqlite.BACKUP_LOCK_SUFFIX, sqlite.PURGE_LOCK_SUFFIX),
    *(sqlite.AGGREGATION_LOCK_SUFFIX, sqlite.BULK_QUEUE_SUFFIX),
)
_SUFFIXES = ("", "-wal", "-shm", *_LOCKS)
_PARTIAL_SUFFIX, _PARTIAL_LOCK_SUFFIX = ".partial", "-lock"
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@click.command("backup", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if there is one.")
def backup(file: Path, force: bool) -> None:
    """Copy the database to FILE and check the copy.

    The service may run. The copy is written aside, and takes its place only when it is whole.
    """
    path = _find_database("pg_dump copies it, and flask export what one workspace has")
    _refuse_own_file(file, path)
    if file.is_dir():
        raise Refusal(f"{_format(file)} is a folder.")
    if file.exists() and not force:
        raise Refusal(f"There is a {_format(file)}; --force replaces it.")
    with (
        _exclusive_lock(path, sqlite.BACKUP_LOCK_SUFFIX, "Another backup of this database is being made."),
        closing(sqlite3.connect(path, factory=sqlite.Connection, isolation_level=None)) as source,
        _locked_partial(file) as partial,
    ):
        contents = _copy(source, partial, "No backup was made")
        partial.replace(file)
    fsync_folder(file.absolute().parent)
    say(f"Backed up and checked: {describe_rows(contents.rows)}.")
    _warn_of_damaged_indices(contents, "All data are in the backup, but")
    click.echo(_format(file))


@click.command("restore", cls=FileLessCommand)
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path) -> None:
    """Put a backup in the database's place.

    The service must be stopped. What was there before is kept under another name, which is printed.
    """
    path = _find_database("pg_restore restores it")
    if not file.is_file():
        raise Refusal(f"There is no file {_format(file)}.")
    _refuse_own_file(file, path)
    draft = path.with_name(f"{path.name}.restoring")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        _exclusive_lock(path, sqlite.OPEN_LOCK_SUFFIX, IN_USE),
        closing(open_read_only(file)) as source,
        _temporary_file(draft),
    ):
        contents = _copy(source, draft, f"{_format(file)} cannot be restored")
        _refuse_unknown_revision(file, contents)
        sqlite.ensure_file(path)
        _prepare(draft, path)
        kept = _replace(path, draft)
    say(f"Restored {_format(file)}: {describe_rows(contents.rows)}.")
    if revisions.is_older(contents.revision):
        say("It is of an older release. Before the service starts: flask --app wsgi db upgrade")
    _warn_of_damaged_indices(contents, "All data are restored, but")
    if kept:
        say("What was there before is kept in:")
        click.echo(_format(kept))


COMMANDS = (backup, restore)


def _warn_of_damaged_indices(contents: Contents, beginning: str) -> None:
    if contents.damaged_indices:
        names = ", ".join(contents.damaged_indices)
        say(f"{beginning} the search does not find all of them ({names}): flask --app wsgi reindex")


def _find_database(alternative: str) -> Path:
    path = sqlite_path()
    if path is None:
        raise Refusal(f"The database is PostgreSQL's: {alternative}.")
    return path


def _refuse_own_file(file: Path, database: Path) -> None:
    """Raise Refusal for the database file and the files that SQLite and this service keep beside it, or would."""
    own = [database.with_name(database.name + suffix) for suffix in _SUFFIXES]
    is_same = file.exists() and any(path.exists() and file.samefile(path) for path in own)
    if is_same or file.resolve() in own:
        raise Refusal(f"{_format(file)} belongs to the database itself.")


@contextmanager
def _exclusive_lock(database: Path, suffix: str, message: str) -> Iterator[None]:
    try:
        with sqlite.exclusive_lock(database, suffix):
            yield
    except sqlite.InUse as error:
        raise Refusal(message) from error


@contextmanager
def _locked_partial(file: Path) -> Iterator[Path]:
    """Yield the path of the partial copy of `file`; delete what killed backups have left in its folder before.

    A lock file beside the partial copy is held until the block ends. One that nobody holds is of a killed backup.
    """
    partial = file.with_name(f"{file.name}{_PARTIAL_SUFFIX}")
    partial.absolute().parent.stat()  # so that the error of a folder that is missing names the folder
    with _partial_lock(partial, f"Another backup to {_format(file)} is being made."):
        for lock in sorted(file.absolute().parent.glob(f"*{_PARTIAL_SUFFIX}{_PARTIAL_LOCK_SUFFIX}")):
            leftover = lock.with_name(lock.name.removesuffix(_PARTIAL_LOCK_SUFFIX))
            if leftover.name != partial.name:
                with suppress(Refusal, OSError), _partial_lock(leftover, "It is in use."), _temporary_file(leftover):
                    say(f"Deleted {_format(leftover)}, which a backup that was killed has left.")
        with _temporary_file(partial):
            yield partial


@contextmanager
def _partial_lock(partial: Path, message: str) -> Iterator[None]:
    """Hold the lock file of a partial copy, and delete it at the end. Raises Refusal if a running backup holds it."""
    with _exclusive_lock(partial, _PARTIAL_LOCK_SUFFIX, message):
        try:
            yield
        finally:
            partial.with_name(f"{partial.name}{_PARTIAL_LOCK_SUFFIX}").unlink(missing_ok=True)


@contextmanager
def _temporary_file(draft: Path) -> Iterator[None]:
    """Delete the draft and SQLite's files beside it, before the block and after it unless the block has renamed it."""
    leftovers = [draft, *(draft.with_name(draft.name + suffix) for suffix in ("-journal", "-wal", "-shm"))]
    for path in leftovers:
        path.unlink(missing_ok=True)
    try:
        yield
    finally:
        for path in leftovers:
            path.unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, target: Path, failed: str) -> Contents:
    try:
        with progress("Copying") as on_progress:
            return copy_database(source, target, on_progress)
    except (InvalidBackup, sqlite.NoSpace, sqlite3.Error) as error:
        raise Refusal(f"{failed}: {error}.") from error


def _refuse_unknown_revision(file: Path, contents: Contents) -> None:
    if not revisions.is_newest(contents.revision) and not revisions.is_older(contents.revision):
        raise Refusal(
            f"{_format(file)} is of a newer release than this one, which does not know its migration "
            f"{contents.revision}: restore it with that release."
        )
    missing = sorted(set(Base.metadata.tables) - set(contents.rows))
    if missing and revisions.is_newest(contents.revision):
        raise Refusal(f"{_format(file)} cannot be restored: it has no table {missing[0]}.")


def _prepare(draft: Path, database: Path) -> None:
    """Give the draft the owner of the database and a write-ahead log, and sync it."""
    sqlite.chown_like(draft, database)
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    fsync_path(draft)


def _replace(database: Path, draft: Path) -> Path | None:
    """Replace the database by the draft; return the path of the old one, or None if it was empty."""
    kept = _keep_old(database)
    for suffix in ("-wal", "-shm"):  # of the old database: they would damage the new one
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    draft.replace(database)
    fsync_folder(database.parent)
    return kept


def _keep_old(database: Path) -> Path | None:
    """Link the database under a second name and return that; None if the database is empty.

    One that is too damaged for a checkpoint is kept together with its log. Raises InUse.
    """
    kept = Path(f"{database}.before-restore-{clock.to_text(clock.now()).replace(':', '')}")
    log, kept_log = (Path(f"{path}-wal") for path in (database, kept))
    os.link(database, kept)
    if log.exists():
        os.link(log, kept_log)  # before SQLite opens it: beside a damaged database it deletes the log
    try:
        tables = _checkpoint(database)
    except sqlite.InUse:
        for path in (kept, kept_log):
            path.unlink(missing_ok=True)
        raise
    if tables is not None:
        kept_log.unlink(missing_ok=True)
    if tables == 0:
        kept.unlink()
        return None
    return kept


def _checkpoint(database: Path) -> int | None:
    """Merge the log into the database file; return the number of its tables, or None if it is damaged.

    Raises InUse when a program that does not use this service's lock has it open.
    """
    try:
        with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
            return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
            raise sqlite.InUse from error
        return None


def _format(path: Path) -> str:
    return click.format_filename(path)
