"""The command `demo`: a workspace to look at, with content of 60 days that the command makes up."""

import click
from flask import current_app

from promptcrafter.cli.commands import Command, progress, say
from promptcrafter.transfer import demo, demo_data


@click.command("demo", cls=Command)
@click.option("--remove", is_flag=True, help="Remove the workspace, and the accounts of the demonstration.")
def make_demo(remove: bool) -> None:
    """Fill a new workspace "Demo" with prompts, outputs and scores of three made-up people, to look around.

    Writes the path of the page to sign in at, an e-mail address, and a password that is new each time.
    """
    if remove:
        _remove()
        return
    with progress("Making up") as on_progress:
        sign_in = demo.add(on_progress)
    say(f"Made the workspace {demo.SLUG}: {len(demo_data.PROMPTS)} prompts, {demo_data.OUTPUTS:,} outputs.")
    say("Sign in at this page, with this address and this password, which is shown this once:")
    click.echo(f"{current_app.config['BROWSER_URL']}/app/sign-in")
    click.echo(sign_in.email)
    click.echo(sign_in.password)


COMMANDS = (make_demo,)


def _remove() -> None:
    if demo.remove():
        say("Removed the workspace of the demonstration, and its accounts.")
    else:
        say("There is no demonstration to remove.")
