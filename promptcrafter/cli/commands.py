"""How a command talks and ends.

What was asked for goes to standard output, everything else to standard error. A command that did it exits with 0. One
that did not exits with 1 and says why in one line.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from flask import current_app
from flask.cli import ScriptInfo
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as WaitedTooLong

from promptcrafter import jsonio, problems
from promptcrafter.http import error_handlers

Progress = Callable[[int, int], None]
_TOLD = ("user", "prompt", "log", "experiment", "trace")


class Refusal(click.ClickException):
    """A command was not done; the text says why."""


class Command(click.Command):
    """A command that runs with the application and ends as this module says."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if not current_app:
            ctx.with_resource(ctx.ensure_object(ScriptInfo).load_app().app_context())
        if jsonio.find_unstorable_text([value for value in ctx.params.values() if isinstance(value, str)]):
            raise Refusal("The arguments must be UTF-8.")
        try:
            return super().invoke(ctx)
        except problems.Problem as problem:
            raise Refusal(problem.message) from problem
        except WaitedTooLong as error:
            raise Refusal(problems.Unavailable().message) from error
        except DBAPIError as error:
            found = error_handlers.explain(error)
            if found is None:
                raise
            raise Refusal(found.message) from error
        except sqlite3.Error as error:
            raise Refusal(f"SQLite says: {error}.") from error
        except OSError as error:
            place = f": {error.filename}" if error.filename else "."
            raise Refusal(f"{error.strerror or error}{place}") from error


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def say(text: str) -> None:
    """Tell the person at the terminal."""
    click.echo(text, err=True)


def count(number: int, noun: str) -> str:
    """Return `1 log` or `2,000 logs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def tell_rows(rows: Mapping[str, int]) -> str:
    """Return `1 user, 2 prompts` and so on, by the number of rows of each table."""
    return ", ".join(count(rows[f"{noun}s"], noun) for noun in _TOLD if f"{noun}s" in rows)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to standard output, its columns aligned; what a terminal would obey is replaced."""
    lines = [columns, *([_visible(cell) for cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Show a bar on standard error while a person watches, moved by what is told: how much is done, of how much."""
    with click.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def told(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield told


def _visible(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
