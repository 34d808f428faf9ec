"""What an operator does on the host: `flask --app wsgi user add …` and the like. Each command calls a store."""

from functools import cache

import click
from flask import Flask
from flask.cli import AppGroup


class _Commands(AppGroup):
    """The commands; ours are loaded when one is asked for: a server never asks, and would carry all they need."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name; None if there is none."""
        return super().get_command(ctx, cmd_name) or _load().get(cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted([*super().list_commands(ctx), *_load()])


@cache
def _load() -> dict[str, click.Command]:
    from promptcrafter.cli import accounts, backups, moving, pruning, transfer

    modules = (accounts, backups, moving, pruning, transfer)
    return {str(command.name): command for module in modules for command in module.COMMANDS}


def init_app(app: Flask) -> None:
    """Register the commands, beside those that libraries have registered."""
    app.cli = _Commands(app.name, commands=app.cli.commands)
