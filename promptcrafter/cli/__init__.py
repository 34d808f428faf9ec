"""What an operator does on the host: `flask --app wsgi user add …` and the like. Each command calls a store."""

from flask import Flask

<<<<<<< HEAD
from promptcrafter.cli import accounts, backups, transfer

_MODULES = (accounts, backups, transfer)
=======
from promptcrafter.cli import (
    accounts,
    backups,
    pruning,
)

_MODULES = (
    accounts,
    backups,
    pruning,
)
>>>>>>> 8820547 (Delete what is old in small steps, and give the disk its room back)


def init_app(app: Flask) -> None:
    """Register the commands."""
    for module in _MODULES:
        for command in module.COMMANDS:
            app.cli.add_command(command)
