"""Commands for whoever runs the service: `flask --app wsgi …`."""

from flask import Flask

from promptcrafter.cli import transfer


def init_app(app: Flask) -> None:
    """Register the commands."""
    for command in transfer.COMMANDS:
        app.cli.add_command(command)
