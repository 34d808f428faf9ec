"""What all commands have in common: their output, their errors and their exit status.

Results go to standard output, everything else to standard error. A command that succeeds exits with 0; one that fails
exits with 1 after a message of one line.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import click
from flask import current_app
from flask.cli import ScriptInfo
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as QueueTimeoutError

from config import ConfigError, describe_misspelt
from promptcrafter import jsonio, problems
from promptcrafter.database.errors import find_denial, find_lasting_refusal, find_refusal, is_unavailable
from promptcrafter.database.session import describe_database, sqlite_path
from promptcrafter.http import error_handlers
from promptcrafter.maintenance import Progress
from promptcrafter.text import display_width

IN_USE = "The database is in use: stop the service, and whatever else has it open."
_T = TypeVar("_T")
_COUNTED = ("user", "workspace", "prompt", "log", "experiment", "trace")


class Refusal(click.ClickException):
    """A command failed; the message says why."""


@contextmanager
def refusing_known_errors() -> Iterator[None]:
    """Raise Refusal for errors of the service, the database and the file system; needs an application context."""
    try:
        yield
    except problems.Problem as problem:
        raise Refusal(problem.message) from problem
    except ConfigError as error:
        raise Refusal(str(error)) from error
    except QueueTimeoutError as error:
        raise _unavailable(error) from error
    except DBAPIError as error:
        refusal = find_lasting_refusal(error)
        if refusal is not None:
            raise _unusable(refusal) from error
        denial = find_denial(error)
        if denial is not None:
            raise Refusal(f"PostgreSQL says: {denial}.") from error
        explained = error_handlers.explain(error)
        if explained is None:
            raise
        if type(explained) is problems.Unavailable:  # and not of the subclasses, which say what to do
            raise _unavailable(error) from error
        if isinstance(explained, problems.DiskFull):
            raise Refusal(f"{describe_full_disk()} Nothing was stored.") from error
        raise Refusal(explained.message) from error
    except sqlite3.Error as error:
        raise Refusal(f"SQLite says: {error}.") from error
    except OSError as error:
        end = f": {error.filename}" if error.filename else "."
        raise Refusal(f"{error.strerror or error}{end}") from error


def refusing(callback: Callable[..., Any] | None, *, needs_file: bool) -> Callable[..., Any]:
    """Return the callback of a library's command, which has an application context, with its errors as Refusals.

    Such commands prepare the start of the service, so an unreachable database is reported with the setting. With
    `needs_file` a missing SQLite file is an error, too, and the database is named as by a `Command`.
    """
    assert callback is not None
    from alembic.script.revision import RevisionError  # which loads slowly, and only these commands need

    @wraps(callback)
    def call(*args: Any, **kwargs: Any) -> Any:
        _warn_of_misspelt_settings()
        if needs_file:
            refuse_missing_file()
            _name_database()
        with refusing_known_errors():
            try:
                return callback(*args, **kwargs)
            except RevisionError as error:  # Alembic raises it uncaught for a revision to go back to
                raise Refusal(f"{error}.") from error
            except DBAPIError as error:
                refusal = find_refusal(error)
                if refusal is None:
                    raise
                raise _unusable(refusal) from error

    return call


class Command(click.Command):
    """A command that runs in an application context and turns known errors into a message and exit status 1.

    It does not run without the SQLite file, which it would create. On a terminal it says which database it uses: its
    settings may be others than those of the service.
    """

    uses_database = True
    needs_file = True

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises Refusal for errors of the service, the database and the file system."""
        if not current_app:
            ctx.with_resource(ctx.ensure_object(ScriptInfo).load_app().app_context())
        if jsonio.find_unstorable_text([value for value in ctx.params.values() if isinstance(value, str)]):
            raise Refusal("The arguments must be UTF-8.")
        _warn_of_misspelt_settings()
        if self.needs_file:
            refuse_missing_file()
        if self.uses_database:
            _name_database()
        with refusing_known_errors():
            return super().invoke(ctx)


class FileLessCommand(Command):
    """A command that runs also without the SQLite file."""

    needs_file = False


class Group(click.Group):
    """A group of commands, each a `Command`."""

    command_class = Command


def refuse_missing_file() -> None:
    """Raise Refusal if the database is a SQLite file that does not exist or is empty; needs an application context."""
    path = sqlite_path()
    new = "For a new installation run flask --app wsgi db upgrade."
    try:
        if path is None or path.stat().st_size:
            return
    except FileNotFoundError as error:
        question = "Are DATABASE_URL and INSTANCE_PATH set as for the service, and is the disk mounted?"
        raise Refusal(f"The database file {path} does not exist. {question} {new}") from error
    except OSError as error:
        raise Refusal(f"The database file {path} cannot be used: {error.strerror}.") from error
    raise Refusal(f"The database file {path} is empty. Restore a backup with flask --app wsgi restore FILE. {new}")


def say(text: str) -> None:
    """Print a message to standard error."""
    click.echo(text, err=True)


@contextmanager
def naming_options(options: Mapping[str, str]) -> Iterator[None]:
    """Raise Invalid with the names of options and arguments in place of those of the fields that they give."""
    try:
        yield
    except problems.Invalid as invalid:
        details: problems.Details = {}
        for field, reasons in (invalid.details or {}).items():
            known = details.setdefault(options.get(field.partition(".")[0], field), [])
            known += [reason for reason in reasons if reason not in known]
        raise problems.Invalid(details, invalid.code) from invalid


def describe_full_disk() -> str:
    """Return the sentence that says which disk is full."""
    path = sqlite_path()
    return f"The disk of {'PostgreSQL' if path is None else path.parent} is full."


def require_terminal(subject: str, option: str) -> None:
    """Raise Refusal without a terminal to ask on; the message names the option that makes the question needless."""
    if not sys.stdin.isatty():
        raise Refusal(f"There is no terminal to ask for {subject} on: use {option}.")


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 log` or `2,000 logs`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def describe_rows(rows: Mapping[str, int]) -> str:
    """Return `1 user, 2 prompts …` from the number of rows by table."""
    return ", ".join(count(rows[f"{noun}s"], noun) for noun in _COUNTED if f"{noun}s" in rows)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with aligned columns to standard output; control characters are replaced."""
    lines = [columns, *([_replace_unprintable(cell) for cell in row] for row in rows)]
    widths = [max(display_width(line[column]) for line in lines) for column in range(len(columns))]
    for line in lines:
        padded = (cell + " " * (width - display_width(cell)) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Show a progress bar, if standard error is a terminal; yield the function that moves it."""
    with _make_bar(label, length=1) as bar:

        def on_progress(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield on_progress


def with_progress(items: Iterable[_T], label: str) -> Iterator[_T]:
    """Yield the items, and show a progress bar as `progress` does; of items without a length it shows no end."""
    with _make_bar(label, iterable=items) as bar:
        yield from bar


def _make_bar(label: str, **extent: Any) -> Any:
    return click.progressbar(label=label, file=sys.stderr, hidden=not sys.stderr.isatty(), **extent)


def _warn_of_misspelt_settings() -> None:
    for line in describe_misspelt():
        say(line)


def _name_database() -> None:
    """Say on a terminal which database the command uses."""
    if sys.stderr.isatty():
        say(f"Database: {describe_database()}")


def _unusable(refusal: str) -> Refusal:
    return Refusal(f"{current_app.config['DATABASE_VARIABLE']} names a database that cannot be used: {refusal}.")


def _unavailable(error: DBAPIError | QueueTimeoutError) -> Refusal:
    """Return the refusal with the cause that the log of the service has; to try again helps only against some."""
    cause = error_handlers.describe_obstacle(error)
    if isinstance(error, DBAPIError) and not is_unavailable(error):
        return Refusal(f"The database cannot be used: {cause}.")
    return Refusal(f"The database is busy or away: {cause}. Try again.")


def _replace_unprintable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
