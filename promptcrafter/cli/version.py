"""The command `version`. `flask --version` reports Flask's own version."""

import click

from promptcrafter.cli.commands import FileLessCommand
from promptcrafter.version import VERSION


class _Command(FileLessCommand):
    uses_database = False


@click.command("version", cls=_Command)
def show_version() -> None:
    """Show the version of PromptCrafter."""
    click.echo(f"PromptCrafter {VERSION}")


COMMANDS = (show_version,)
