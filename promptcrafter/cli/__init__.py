"""What an operator does on the host: `flask --app wsgi user add …` and the like. Each command calls a store."""

from flask import Flask

from promptcrafter.cli import accounts, backups, moving, pruning, transfer

_MODULES = (accounts, backups, moving, pruning, transfer)


def init_app(app: Flask) -> None:
    """Register the commands."""
    for module in _MODULES:
        for command in module.COMMANDS:
            app.cli.add_command(command)
