"""The commands for operators, such as `flask --app wsgi user add …`."""

from copy import copy

import click
from flask import Flask
from flask.cli import AppGroup

from config import Config
from promptcrafter.database import revisions

_NEED_DATABASE = ("check", "current", "downgrade", "migrate", "stamp")  # commands of Flask-Migrate


class _Commands(AppGroup):
    """The commands, imported at first use: a server never uses them and would hold their libraries in memory."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app.name, commands=app.cli.commands)  # those that libraries have registered
        self._app = app
        self._is_loaded = False

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name; None if there is none."""
        if ctx.info_name == "flask":  # what help and messages repeat, to be used as it is
            ctx.info_name = "flask --app wsgi"
        self._load()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        self._load()
        return super().list_commands(ctx)

    def _load(self) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True
        from promptcrafter.cli import (
            accounts,
            backup,
            check,
            commands,
            costs,
            demo,
            downgrade,
            erase,
            move_to,
            prune,
            transfer,
            version,
            workspaces,
        )

        revisions.add_commands(self._app)
        database_commands = _copy(self.commands["db"])
        downgrade.add_confirmation(database_commands.commands["downgrade"])
        for name, command in database_commands.commands.items():
            command.callback = commands.refusing(command.callback, needs_file=name in _NEED_DATABASE)
        self.add_command(database_commands)
        for module in (accounts, backup, check, costs, demo, erase, move_to, prune, transfer, version, workspaces):
            for command in module.COMMANDS:
                self.add_command(command)


def _copy(group: click.Command) -> click.Group:
    """Return a copy of a library's group and of its commands, which all applications of the process share."""
    assert isinstance(group, click.Group)
    copied = copy(group)
    copied.commands = {name: copy(command) for name, command in group.commands.items()}
    return copied


def init_app(app: Flask, config: Config) -> None:
    """Register the commands."""
    app.config["PUBLIC_URL"] = f"https://YOUR-SERVER{config.script_name}"
    # of a proxy only the path is known
    app.config["BROWSER_URL"] = app.config["PUBLIC_URL"] if config.trusted_proxies else config.own_url
    app.cli = _Commands(app)
