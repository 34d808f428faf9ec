"""`erase`: remove from the database's files what was deleted."""

import click
from sqlalchemy.exc import DBAPIError

from promptcrafter.cli.commands import Command, Refusal, describe_full_disk, progress, say
from promptcrafter.database import revisions, sqlite, storage
from promptcrafter.maintenance import purge, search_index, vacuum


@click.command("erase", cls=Command)
def erase() -> None:
    """Erase from the database's files what was deleted.

    Deleted texts are in no answer, but their bytes stay in the files until something else is written there. The service
    may run; it waits while the files are written anew.
    """
    try:
        revisions.refuse_mismatch()
        if purge.run() is purge.Outcome.BUSY:
            raise Refusal("Another process is still removing what was deleted. Try again when it is done.")
        with progress("Indexing") as on_progress:
            search_index.reindex(on_progress)
        vacuum.erase()
    except sqlite.NoSpace as error:
        raise Refusal(f"Nothing was erased: {error}.") from error
    except DBAPIError as error:
        if storage.is_full(error):
            raise Refusal(f"{describe_full_disk()} Nothing was erased.") from error
        raise
    say("What was deleted is erased. Backups from before still have it.")


COMMANDS = (erase,)
