"""The command `db downgrade` of Flask-Migrate, which asks before it loses what the older release has no place for.

It does not run while the SQLite file is in use: the service would answer calls that write with 503 afterwards.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from promptcrafter.cli.commands import IN_USE, Refusal, count, require_terminal, say
from promptcrafter.database import sqlite
from promptcrafter.database.session import get_engine, sqlite_path
from promptcrafter.maintenance.downgrade import Losses, find_losses


def add_confirmation(command: click.Command) -> None:
    """Let Flask-Migrate's command ask before it loses something, and give it the option `--yes`."""
    option = click.Option(["--yes"], is_flag=True, help="Do not ask before something is lost.")
    command.params = [*command.params, option]
    command.callback = _asking(command.callback)


def _asking(callback: Callable[..., Any] | None) -> Callable[..., Any]:
    assert callback is not None

    @wraps(callback)
    def call(*args: Any, yes: bool, **kwargs: Any) -> Any:
        if not kwargs["sql"]:
            _refuse_in_use()
            losses = find_losses(kwargs["revision"])
            if losses:
                _confirm(_describe(losses), is_confirmed=yes)
                _refuse_in_use()  # the service may have been started meanwhile
        return callback(*args, **kwargs)

    return call


def _refuse_in_use() -> None:
    """Raise Refusal if a process has the SQLite file open; nothing shows that of PostgreSQL."""
    path = sqlite_path()
    get_engine().dispose()  # this process has it open, too, as long as it keeps a connection
    if path is not None and sqlite.is_open(path):
        raise Refusal(IN_USE)


def _confirm(losses: str, is_confirmed: bool) -> None:
    """Show what is lost. Raise Refusal unless the loss is confirmed, by the option or in the terminal."""
    say(losses)
    if is_confirmed:
        return
    require_terminal("a confirmation", "--yes")
    if not click.confirm("Go on?", err=True):
        raise Refusal("Nothing was changed.")


def _describe(losses: Losses) -> str:
    numbers = {
        "shared workspace": losses.workspaces,
        "membership": losses.members,
        "invitation": losses.invitations,
        "restricted API key": losses.keys,
        "version comment": losses.comments,
        "message list": losses.messages,
        "config": losses.configs,
        "prompt description": losses.descriptions,
        "score": losses.scores,
        "score config": losses.score_configs,
        "pinned version": losses.pinned_variants,
    }
    details = f"status, error, user, session, environment and parameters of {count(losses.call_details, 'log')}"
    *others, last = [
        *(count(number, noun) for noun, number in numbers.items() if number),
        *([details] if losses.call_details else []),
        *([f"the audit trail ({losses.audit_entries:,})"] if losses.audit_entries else []),
    ]
    text = f"The downgrade removes {', '.join(others)}{' and ' if others else ''}{last}."
    if losses.messages:
        text += " The text of messages remains."
    if losses.workspaces:
        text += (
            " What a shared workspace has becomes that of its oldest owner, and a slug that this owner has already "
            "gets a number."
        )
    return text
