"""The command `db downgrade` of Flask-Migrate, which asks before it loses what the older release has no place for."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from promptcrafter.cli.commands import Refusal, count, require_terminal, say
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
        losses = Losses() if kwargs["sql"] else find_losses(kwargs["revision"])
        if losses:
            _confirm(_describe(losses), is_confirmed=yes)
        return callback(*args, **kwargs)

    return call


def _confirm(losses: str, is_confirmed: bool) -> None:
    """Show what is lost. Raise Refusal unless the loss is confirmed, by the option or in the terminal."""
    say(losses)
    if is_confirmed:
        return
    require_terminal("a confirmation", "--yes")
    if not click.confirm("Go on?", err=True):
        raise Refusal("Nothing was changed.")


def _describe(losses: Losses) -> str:
    counted = (
        (losses.workspaces, "shared workspace"),
        (losses.members, "membership"),
        (losses.invitations, "invitation"),
        (losses.keys, "restricted API key"),
        (losses.comments, "comment of a version", "comments of versions"),
        (losses.audit_entries, "audit entry", "audit entries"),
        (losses.messages, "version's list of messages", "versions' lists of messages"),
        (losses.configs, "version's config", "versions' configs"),
        (losses.descriptions, "description of a prompt", "descriptions of prompts"),
    )
    lost = [count(*row) for row in counted if row[0]]
    text = f"The downgrade removes {' and '.join(filter(None, (', '.join(lost[:-1]), lost[-1])))}."
    if losses.messages:
        text += " The text of messages remains."
    if not losses.workspaces:
        return text
    return (
        f"{text} What a shared workspace has becomes that of its oldest owner, and a slug that this owner has already "
        "gets a number."
    )
