"""Migrate and be killed, once for each argument: after the first statement that begins with it.

Print, as JSON, the exit status and the revision of the database after each time.
"""

import json
import os
import signal
import sys
from typing import Any

import alembic.command
from sqlalchemy import event

from promptcrafter.database import revisions
from promptcrafter.database.session import get_engine
from wsgi import app

__all__ = ["alembic"]  # loaded once, not by each fork


def migrate_until(beginning: str) -> None:
    """Migrate until a statement with this beginning has been executed."""
    with app.app_context():

        @event.listens_for(get_engine(), "after_cursor_execute")
        def die(connection: Any, cursor: Any, statement: str, *arguments: Any) -> None:
            if statement.lstrip().startswith(beginning):
                os.kill(os.getpid(), signal.SIGKILL)

        revisions.migrate()


def read_revision() -> str:
    """Return the revision of the database, which has one."""
    with app.app_context():
        with get_engine().connect() as connection:
            (revision,) = revisions.applied_to(connection)
        get_engine().dispose()  # no fork shares a connection
        return revision


if __name__ == "__main__":
    found = []
    for beginning in sys.argv[1:]:
        if os.fork() == 0:
            migrate_until(beginning)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.wait()[1])
        found.append((status, read_revision()))
    print(json.dumps(found))
