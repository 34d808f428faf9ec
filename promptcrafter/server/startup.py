"""Checks before Gunicorn starts: what would fail later, after retries or with a traceback, ends the start at once."""

import errno
import logging
import os
import socket
import sqlite3
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from config import Config, ConfigError, format_address
from promptcrafter.database import revisions, sqlite
from promptcrafter.database.errors import describe_cause, find_lasting_refusal
from promptcrafter.database.session import open_postgresql
from promptcrafter.maintenance import search_index
from promptcrafter.maintenance.backup import open_read_only
from promptcrafter.problems import MIGRATE, NewerSchema

_INHERITED = ("GUNICORN_FD", "LISTEN_FDS")  # the listening socket comes from the previous server or from systemd
_BIND_OPTIONS = ("-b", "--bind")
_CONNECT_TIMEOUT_MS = 2000
_SEARCH_CHECK_S = 1

_log = logging.getLogger(__name__)


@cache
def check(config: Config) -> str | None:
    """Raise ConfigError if the service could not listen on its address, or not use its database.

    A SQLite file that does not exist is created, unless files beside it show that there was one.
    It may not use one that a newer release has migrated. To one that lacks migrations of this release it does not write
    until they are applied. A PostgreSQL that cannot be reached is no error: the service answers 503 until it can.

    Return, in one line for the log, why the database cannot be used yet; None if it can. The result is cached, because
    Gunicorn reads its configuration again on SIGHUP, when the address is in use by itself.
    """
    if not is_bound_elsewhere():
        refuse_unusable_address(config.host, config.port)
    if config.database_url.startswith("sqlite"):
        return _refuse_unusable_file(config)
    return _refuse_rejected_connection(config)


def is_bound_elsewhere() -> bool:
    """Return whether Gunicorn listens on something else than HOST and PORT."""
    arguments = [*sys.argv[1:], *os.environ.get("GUNICORN_CMD_ARGS", "").split()]
    return any(name in os.environ for name in _INHERITED) or any(map(_is_bind_option, arguments))


def refuse_unusable_address(host: str, port: int) -> None:
    """Raise ConfigError if the address cannot be listened on. Gunicorn itself would try for five seconds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        variable = "PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "HOST"
        value = port if variable == "PORT" else repr(host)
        address = format_address(host, port)
        advice = " Choose another port, for example PORT=9000." if variable == "PORT" else ""
        raise ConfigError(
            f"{variable} is {value}, but {address} cannot be listened on: {error.strerror}.{advice}"
        ) from error


def check_search_after_unclean_stop(path: Path) -> None:
    """Log what to do if the last processes of a SQLite file did not end properly and the newest logs are not indexed.

    It takes about a second at most: the log file of SQLite, which the last process to end removes, is left behind, and
    the newest logs are compared until then. The connection is closed before workers are forked. Call it in the context
    of the app, whose settings say what is indexed.
    """
    log = Path(f"{path}-wal")
    if not log.exists() or not log.stat().st_size:
        return
    with suppress(DBAPIError), _read_only_engine(path).connect() as connection:
        if revisions.find_mismatch(connection) is None and search_index.find_recent_fault(connection, _SEARCH_CHECK_S):
            _log.error("the search index does not have all logs: run flask --app wsgi reindex")


def _is_bind_option(argument: str) -> bool:
    return argument.startswith(_BIND_OPTIONS)


def _refuse_unusable_file(config: Config) -> str | None:
    """Raise ConfigError if the file cannot be used; return, for the log, why it cannot be used yet."""
    path = sqlite.path_of(config.database_url).resolve()
    is_new = not path.exists()
    try:
        sqlite.refuse_lost(path)
        sqlite.ensure_file(path)
        sqlite.refuse_unusable(path)
    except (OSError, sqlite3.Error) as error:
        raise config.database_error(error) from error
    if is_new:
        remedy = f"{MIGRATE}, or correct {config.database_variable}"
        return f"the database file {path} did not exist and was created empty: {remedy}"
    try:
        with _read_only_engine(path).connect() as connection:
            return _refuse_newer_schema(config, connection)
    except DBAPIError as error:  # a locked or a damaged file is no reason not to start
        return _unavailable(error)


def _refuse_rejected_connection(config: Config) -> str | None:
    """Connect once; raise ConfigError if PostgreSQL, or each of several hosts, rejects the connection for good.

    Return, for the log, why the database cannot be used yet.
    """
    try:
        with open_postgresql(config.database_url, _CONNECT_TIMEOUT_MS) as engine, engine.connect() as connection:
            from promptcrafter.database.postgresql import find_encoding_fault  # its module loads the driver

            if fault := find_encoding_fault(connection):
                raise ConfigError(f"DATABASE_URL names a database that cannot be used: {fault}.")
            return _refuse_newer_schema(config, connection)
    except DBAPIError as error:
        refusal = find_lasting_refusal(error)
        if refusal is not None:
            raise ConfigError(f"DATABASE_URL names a database that cannot be used: {refusal}.") from error
        return _unavailable(error)


def _refuse_newer_schema(config: Config, connection: Connection) -> str | None:
    """Raise ConfigError if a newer release has migrated the database; return, for the log, whether it is to migrate."""
    mismatch = revisions.find_mismatch(connection)
    if isinstance(mismatch, NewerSchema):
        raise ConfigError(
            f"{config.database_variable} names a database that was migrated by a newer release than this one: upgrade "
            "this one, or restore a backup from before."
        )
    return None if mismatch is None else f"the database is not migrated: {MIGRATE}"


def _unavailable(error: DBAPIError) -> str:
    return f"database unavailable: {describe_cause(error)}"


def _read_only_engine(path: Path) -> Engine:
    return create_engine("sqlite://", creator=lambda: open_read_only(path), poolclass=NullPool)
