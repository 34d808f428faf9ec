"""The service as it is deployed: Gunicorn with its workers, in processes of their own.

Servers that several tests share are started as executables, those of one test by `tests.support.programs`.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.databases import DELETE_ALL
from tests.support.environment import ROOT, bin_path, free_port

EXECUTABLE = ()  # as `command`: start Gunicorn in a fresh interpreter


@dataclass
class LiveServer:
    """A running Gunicorn with its own database."""

    url: str
    process: programs.Program | subprocess.Popen[bytes]
    environment: dict[str, str]
    log_path: Path
    log_start: int = 0

    @property
    def log(self) -> str:
        """Return what the server has logged since this test began."""
        return self.log_path.read_bytes()[self.log_start :].decode()

    def workers(self) -> list[int]:
        """Return the process ids of all workers that its log names."""
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.log_path.read_text())]


Launch = Callable[..., LiveServer]


@pytest.fixture
def start_server(tmp_path: Path, sqlite_template: Path) -> Iterator[Launch]:
    """A factory of servers: migrates, starts Gunicorn as the Procfile does, and waits until it is ready."""
    servers: list[LiveServer] = []

    def start(
        database_url: str = "",
        *,
        migrate: bool = True,
        app: str = "wsgi:app",
        command: Sequence[str] | None = None,
        code: Path = ROOT,
        port: int | None = None,
        **settings: str,
    ) -> LiveServer:
        template = sqlite_template if migrate else None
        servers.append(_launch(tmp_path, database_url, template, settings, app, command, code, port))
        return servers[-1]

    yield start
    for server in servers:
        _stop(server)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[LiveServer]:
    """A server that tests use one after another, because starting one takes seconds."""
    server = _launch(tmp_path_factory.mktemp("live"), "", sqlite_template, {}, command=EXECUTABLE)
    yield server
    _stop(server)


@pytest.fixture
def live_server(shared_server: LiveServer) -> LiveServer:
    """A running server with an empty, migrated SQLite file; not to be stopped or changed."""
    with closing(sqlite3.connect(shared_server.environment["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        database.execute("PRAGMA foreign_keys=ON")
        for statement in DELETE_ALL:
            database.execute(statement)
        database.commit()
    return replace(shared_server, log_start=shared_server.log_path.stat().st_size)


@pytest.fixture(scope="session")
def shared_postgresql_server(
    tmp_path_factory: pytest.TempPathFactory, migrated_postgresql_url: str
) -> Iterator[LiveServer]:
    """A server on PostgreSQL that tests use one after another."""
    url = migrated_postgresql_url.replace("+psycopg", "")
    server = _launch(tmp_path_factory.mktemp("live_postgresql"), url, None, {}, command=EXECUTABLE)
    yield server
    _stop(server)


@pytest.fixture
def any_live_server(engine_name: str, request: pytest.FixtureRequest) -> LiveServer:
    """A running server on the test's engine, with an empty, migrated database; not to be stopped or changed."""
    if engine_name == "sqlite":
        server: LiveServer = request.getfixturevalue("live_server")
        return server
    request.getfixturevalue("database_url")  # empties the database
    shared: LiveServer = request.getfixturevalue("shared_postgresql_server")
    return replace(shared, log_start=shared.log_path.stat().st_size)


@contextmanager
def running_server(
    folder: Path, template: Path | None, database_url: str = "", **settings: str
) -> Iterator[LiveServer]:
    """Start a server for the tests of one module; its SQLite file is a copy of the template."""
    server = _launch(folder, database_url, template, settings, command=EXECUTABLE)
    yield server
    _stop(server)


def _launch(
    folder: Path,
    database_url: str,
    template: Path | None,
    settings: dict[str, str],
    app: str = "wsgi:app",
    command: Sequence[str] | None = None,
    code: Path = ROOT,
    port: int | None = None,
) -> LiveServer:
    """Start a server on a copy of the SQLite template, or on `database_url`, migrated if a template is given.

    `command` runs the executable that it gets as arguments. `code` is the folder of the release to start.
    `port` is a free one by default.
    """
    port = port or free_port()
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
        programs.run("flask", "--app", "wsgi", "db", "upgrade", environment=environment).check_returncode()
    elif template and not (folder / "live.db").exists():
        shutil.copy(template, folder / "live.db")
    log_path = folder / f"server-{port}.log"  # of the last server on this port
    arguments = ("gunicorn", "-c", "gunicorn.conf.py", app)
    process: programs.Program | subprocess.Popen[bytes]
    with log_path.open("wb") as log, open(os.devnull, "rb") as nothing:
        if command is None and code == ROOT and programs.CAN_FORK:
            process = programs.start(*arguments, environment=environment, stdin=nothing, stdout=log, stderr=log)
        else:
            program = [*(command or ()), bin_path(arguments[0]), *arguments[1:]]
            process = subprocess.Popen(program, cwd=code, env=environment, stdin=nothing, stdout=log, stderr=log)
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


@contextmanager
def suspended(process_id: int) -> Iterator[None]:
    """Suspend a process, with all its threads, during the block."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 10
        while not _is_suspended(process_id):  # until then it can still accept a connection
            assert time.monotonic() < deadline, "the process was not suspended"
            time.sleep(0.005)
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


def _is_suspended(process_id: int) -> bool:
    """Return whether all threads of a process are in the state T; always true where there is no /proc."""
    states = [
        path.read_text().rpartition(")")[2].split()[0] for path in Path("/proc").glob(f"{process_id}/task/*/stat")
    ]
    return all(state == "T" for state in states)
