"""Run `flask --app wsgi db upgrade` in the given number of processes at once, and print their exit statuses.

They are forks of a process that has loaded the code, so they start more simultaneously than separate programs would,
and the code is loaded once.
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
    gc.freeze()  # so that no fork collects the parent's objects
    for _ in range(count):
        if os.fork() == 0:
            sys.argv = ["flask", "--app", "wsgi", "db", "upgrade"]
            flask.cli.main()  # ends the process
    print([os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(count)])
