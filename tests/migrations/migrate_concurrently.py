"""Run `flask --app wsgi db upgrade` in as many processes at once as the argument says, and print their statuses.

They are forks that have loaded the code: they meet more closely than programs whose starts differ, and what a program
takes to load is paid for once.
"""

import gc
import os
import sys

import alembic.command
import flask.cli
import psycopg
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite.pysqlite

import promptcrafter

__all__ = ["alembic", "promptcrafter", "psycopg", "sqlalchemy"]

if __name__ == "__main__":
    count = int(sys.argv[1])
    gc.freeze()  # or each would go through it all again at its end
    for _ in range(count):
        if os.fork() == 0:
            sys.argv = ["flask", "--app", "wsgi", "db", "upgrade"]
            flask.cli.main()  # ends the process
    print([os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(count)])
